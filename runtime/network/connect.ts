/**
 * From a name to a connection: resolved once, every address judged, connected to one of those by number. What the engine
 * would resolve again, or read from a proxy variable, never comes into it.
 */
import type { Socket } from "node:net"
import { parseAddress, printAddress, special } from "../../host/capability/network/address.ts"
import type { SocketPlace } from "../../host/port/socket.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import type { NetworkThreadOptions } from "./options.ts"

const dns = process.getBuiltinModule("node:dns")
const net = process.getBuiltinModule("node:net")
const tls = process.getBuiltinModule("node:tls")

/** Addresses of a name, as text; rejects with what the system says. */
export type Resolve = (name: string) => Promise<ReadonlyArray<string>>

/** Addresses of one name that are tried. */
const addressesMax = 16

/** The system's resolver, which knows its hosts file; or the name servers given. */
export function resolver({ dnsServers }: NetworkThreadOptions): Resolve {
  if (dnsServers === undefined) {
    return (name) =>
      new Promise((resolve, reject) => {
        dns.lookup(name, { all: true, verbatim: true }, (error, found) => (error === null ? resolve(found.map(({ address }) => address)) : reject(error)))
      })
  }
  const asked = new dns.promises.Resolver({ timeout: 2_000, tries: 2 })
  asked.setServers(dnsServers)
  return async (name) => {
    const found = await Promise.allSettled([asked.resolve4(name), asked.resolve6(name)])
    const addresses = found.flatMap((one) => (one.status === "fulfilled" ? one.value : []))
    if (addresses.length === 0) throw (found[0] as PromiseRejectedResult).reason
    return addresses
  }
}

const codeOf = (error: unknown): string => {
  const { code } = error as { readonly code?: unknown }
  return typeof code === "string" ? code : error instanceof Error ? error.message : String(error)
}

/**
 * Addresses of a name that may be connected to.
 * @throws NetworkError `Unresolved`, `Prohibited`
 */
export async function addressesOf(name: string, resolve: Resolve): Promise<ReadonlyArray<Uint8Array>> {
  let found: ReadonlyArray<string>
  try {
    found = await resolve(name)
  } catch (error) {
    throw new NetworkError("Unresolved", { host: name, detail: codeOf(error) })
  }
  const addresses: Array<Uint8Array> = []
  for (const text of found) {
    const address = parseAddress(text)
    // An address with a zone, such as fe80::1%eth0, is of this machine's links.
    if (address === undefined) throw new NetworkError("Prohibited", { host: name, address: text, kind: "no plain address" })
    const kind = special(address)
    if (kind !== undefined) throw new NetworkError("Prohibited", { host: name, address: printAddress(address), kind })
    addresses.push(address)
  }
  if (addresses.length === 0) throw new NetworkError("Unresolved", { host: name, detail: "it has no address" })
  return addresses.slice(0, addressesMax)
}

/** How a failure of a socket is told. */
export function socketError(host: string, error: unknown, isConnected: boolean): NetworkError {
  if (error instanceof NetworkError) return error
  const code = codeOf(error)
  if (/^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)|certificate/i.test(code))
    return new NetworkError("Tls", { host, detail: code, isCertificate: true })
  if (/^(?:EPROTO|ERR_SSL_|ERR_TLS_)|\bssl\b/i.test(code)) return new NetworkError("Tls", { host, detail: code, isCertificate: false })
  if (isConnected) return new NetworkError("Broken", { host, detail: code })
  return new NetworkError("Unreachable", { host, detail: code, ...(/REFUSED/i.test(code) ? { isRefused: true } : {}) })
}

/** Connects to one address; `signal` ends it. */
function connectTo(address: string, port: number, secure: Secure | undefined, host: string, signal: AbortSignal, from?: SocketPlace): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    // For an address the certificate must name the address.
    const socket: Socket =
      secure === undefined
        ? net.connect({ host: address, port, ...(from === undefined ? {} : { localAddress: printAddress(from.address), localPort: from.port }) })
        : tls.connect({
            host: address,
            port,
            servername: secure.isAddress ? "" : host,
            ALPNProtocols: ["http/1.1"],
            minVersion: "TLSv1.2",
            ...(secure.certificateAuthority === undefined ? {} : { ca: [...tls.rootCertificates, secure.certificateAuthority] }),
          })
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    signal.addEventListener("abort", onAbort, { once: true })
    socket.once("error", (error) => {
      signal.removeEventListener("abort", onAbort)
      socket.destroy()
      reject(socketError(host, error, false))
    })
    socket.once("close", () => reject(socketError(host, new Error("it ended the connection"), false)))
    socket.once(secure === undefined ? "connect" : "secureConnect", () => {
      signal.removeEventListener("abort", onAbort)
      socket.removeAllListeners("error")
      socket.removeAllListeners("close")
      resolve(socket)
    })
  })
}

export interface Secure {
  readonly isAddress: boolean
  readonly certificateAuthority: string | undefined
}

/** Tries the addresses one after another; a certificate that is not trusted is no reason to ask the next. */
export async function connectFirst(
  addresses: ReadonlyArray<Uint8Array>,
  port: number,
  secure: Secure | undefined,
  host: string,
  signal: AbortSignal,
  msMax: number,
  from?: SocketPlace,
): Promise<Socket> {
  let failure: unknown
  for (const [i, address] of addresses.entries()) {
    const isLast = i === addresses.length - 1
    // An address that does not answer leaves time for the others.
    const own = isLast ? signal : AbortSignal.any([signal, AbortSignal.timeout(Math.max(250, msMax / addresses.length))])
    try {
      return await connectTo(printAddress(address), port, secure, host, own, from)
    } catch (error) {
      failure = error
      if (signal.aborted || (error instanceof NetworkError && error.reason._tag === "Tls")) throw error
    }
  }
  throw socketError(host, failure, false)
}
