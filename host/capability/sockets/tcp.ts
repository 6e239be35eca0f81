/** TCP clients and look-ups of `wasi:sockets`, over the socket port and inside `tcp:connect` grants. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { SocketConnection, SocketPort } from "../../port/mod.ts"
import type { Waker } from "../../port/waker.ts"
import type { CallContext } from "../capability.ts"
import { chunkBytesMax, closed, type InputStream, type OutputStream, pending, type Pollable, type StreamFailure } from "../io.ts"
import { printAddress, special } from "../network/address.ts"
import { parseHost, type Place, tcpKey } from "../network/target.ts"
import { done, err, ok, type Result } from "../serve.ts"
import { addressOf, bytesOf, codeOf, type Family, ioError, type IpAddress, type IpSocketAddress, socketAddressOf } from "./place.ts"

/** Sockets, and look-ups, of one plugin instance at once. */
export const socketsMax = 16
/** Addresses that an instance's look-ups are remembered for. */
const addressesMax = 256

interface Known {
  sockets: number
  /** What look-ups found: names by address. */
  readonly names: Map<string, Set<Place>>
}
const instances = new WeakMap<CallContext, Known>()
function knownTo(call: CallContext): Known {
  let known = instances.get(call)
  if (known === undefined) instances.set(call, (known = { sockets: 0, names: new Map() }))
  return known
}

const head = "tcp:connect"

/** Is there a port on which this name may be connected to? */
function mayResolve(call: CallContext, place: Place): string | undefined {
  for (const { scope } of call.grants.under(head)) {
    const port = /^tcp:(\d*)/.exec(scope.text)?.[1]
    if (port === undefined) continue
    const grant = call.grants.match(head, tcpKey(place, Number(port)))
    if (grant !== undefined) return grant
  }
  return undefined
}

/** Rep of `resolve-address-stream`. */
export class AddressStream {
  readonly #found: Array<Uint8Array> = []
  readonly #place: Place
  readonly #lookup: ReturnType<SocketPort["resolve"]> | undefined
  readonly #waker: Waker
  #error: NetworkError | undefined
  #isKnown = false

  constructor(call: CallContext, place: Place) {
    this.#place = place
    this.#waker = call.ports.socket.waker
    if (place.address !== undefined) {
      this.#isKnown = true
      this.#found.push(place.address)
      return
    }
    knownTo(call).sockets++
    this.#lookup = call.ports.socket.resolve(place.host, call.ports.socket.limits)
  }

  #look(call: CallContext): void {
    if (this.#isKnown) return
    const found = this.#lookup?.result()
    if (found === undefined) return
    this.#isKnown = true
    if (found instanceof NetworkError) {
      this.#error = found
      return
    }
    const { names } = knownTo(call)
    for (const address of found) {
      const text = printAddress(address)
      if (!names.has(text) && names.size >= addressesMax) continue
      const places = names.get(text) ?? new Set()
      places.add(this.#place)
      names.set(text, places)
      this.#found.push(address)
    }
  }

  next(call: CallContext): Result<IpAddress | undefined, string> {
    this.#look(call)
    if (!this.#isKnown) return err("would-block")
    if (this.#error !== undefined) return err(codeOf(this.#error))
    const address = this.#found.shift()
    return ok(address === undefined ? undefined : addressOf(address))
  }

  subscribe(): Pollable {
    return pending(this.#waker, (call) => {
      this.#look(call)
      return this.#isKnown
    })
  }

  drop(call: CallContext): void {
    if (this.#lookup === undefined) return
    knownTo(call).sockets--
    this.#lookup.close()
  }
}

export function resolveAddresses(call: CallContext, name: string): Result<AddressStream, string> {
  const place = name.length > 256 ? undefined : parseHost(name)
  if (place === undefined) return err("invalid-argument")
  if (place.address === undefined) {
    const grant = mayResolve(call, place)
    if (grant === undefined) {
      call.denied(`${head}:${place.host}:*`)
      return err("access-denied")
    }
    if (knownTo(call).sockets >= socketsMax) return err("new-socket-limit")
    call.used(grant, 0)
  }
  return ok(new AddressStream(call, place))
}

type State = "unbound" | "bind" | "bound" | "connect" | "connected" | "closed"

/** Rep of `tcp-socket`. */
export class TcpSocket {
  readonly family: Family
  #state: State = "unbound"
  #connection: SocketConnection | undefined
  /** What the grant is asked for at every operation. */
  #key = ""
  #shown = ""
  #isReceiveShut = false

  constructor(call: CallContext, family: Family) {
    this.family = family
    knownTo(call).sockets++
  }

  get connection(): SocketConnection | undefined {
    return this.#connection
  }

  /** Only where the system is free to choose: a place of its own is for those who listen. */
  startBind(local: IpSocketAddress): Result<undefined, string> {
    if (local.tag !== this.family) return err("invalid-argument")
    if (this.#state !== "unbound") return err("invalid-state")
    if (local.val.port !== 0 || local.val.address.some((part) => part !== 0)) return err("access-denied")
    this.#state = "bind"
    return done
  }

  finishBind(): Result<undefined, string> {
    if (this.#state !== "bind") return err("not-in-progress")
    this.#state = "bound"
    return done
  }

  startConnect(call: CallContext, remote: IpSocketAddress): Result<undefined, string> {
    if (this.#state !== "unbound" && this.#state !== "bound") return err("invalid-state")
    const { port } = remote.val
    const address = bytesOf(remote.tag, remote.val.address)
    const isMapped = address.length === 16 && address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff
    if (remote.tag !== this.family || port === 0 || isMapped || address.every((byte) => byte === 0)) return err("invalid-argument")
    const text = printAddress(address)
    const literal = tcpKey({ host: text, address }, port)
    let key = call.grants.match(head, literal) === undefined ? undefined : literal
    // Found under a name that may be connected to on this port; judged when it was found, and again.
    if (key === undefined && special(address) === undefined) {
      for (const place of knownTo(call).names.get(text) ?? []) {
        const named = tcpKey(place, port)
        if (call.grants.match(head, named) !== undefined) key = named
      }
    }
    this.#shown = `${head}:${address.length === 16 ? `[${text}]` : text}:${port}`
    if (key === undefined) {
      call.denied(this.#shown)
      return err("access-denied")
    }
    this.#key = key
    this.#use(call, 0)
    this.#connection = call.ports.socket.connect({ address, port }, call.ports.socket.limits)
    this.#state = "connect"
    return done
  }

  finishConnect(call: CallContext): Result<readonly [InputStream, OutputStream], string> {
    if (this.#state !== "connect") return err("not-in-progress")
    const state = this.#connection?.state()
    if (state === undefined) return err("would-block")
    if (state instanceof NetworkError) {
      this.#state = "closed"
      return err(codeOf(state))
    }
    this.#state = "connected"
    return ok([this.#input(call), this.#output(call)])
  }

  /** The failure of an operation whose grant was taken back; else counts its bytes. */
  #use(call: CallContext, bytes: number): StreamFailure | undefined {
    const grant = call.grants.match(head, this.#key)
    if (grant !== undefined) {
      call.used(grant, bytes)
      return undefined
    }
    call.denied(this.#shown)
    this.#connection?.close()
    return { tag: "last-operation-failed", val: ioError(new NetworkError("Prohibited", { host: this.#shown, address: "", kind: "no longer granted" })) }
  }

  #input(context: CallContext): InputStream {
    const connection = this.#connection as SocketConnection
    return {
      ready: pending(context.ports.socket.waker, () => this.#isReceiveShut || connection.isReadable()),
      read: (call, countMax) => {
        if (countMax === 0) return ok(new Uint8Array())
        const denied = this.#use(call, 0)
        if (denied !== undefined) return err(denied)
        if (this.#isReceiveShut) return err(closed)
        const chunk = connection.read(Math.min(countMax, chunkBytesMax))
        if (chunk === undefined) return ok(new Uint8Array())
        if (chunk === "end") return err(closed)
        if (chunk instanceof NetworkError) return err({ tag: "last-operation-failed", val: ioError(chunk) })
        this.#use(call, chunk.length)
        return ok(chunk)
      },
    }
  }

  #isSendShut = false

  #output(context: CallContext): OutputStream {
    const connection = this.#connection as SocketConnection
    const room = (): Result<number, StreamFailure> => {
      if (this.#isSendShut) return err(closed)
      const left = connection.room()
      return left instanceof NetworkError ? err({ tag: "last-operation-failed", val: ioError(left) }) : ok(Math.min(left, chunkBytesMax))
    }
    return {
      ready: pending(context.ports.socket.waker, () => {
        const left = room()
        return left.tag === "err" || left.val > 0
      }),
      permit: room,
      write: (call, bytes) => {
        const denied = this.#use(call, bytes.length)
        if (denied !== undefined) return err(denied)
        connection.write(bytes)
        return done
      },
      flush: () => {
        const left = room()
        return left.tag === "ok" ? done : left
      },
    }
  }

  address(which: "local" | "remote"): Result<IpSocketAddress, string> {
    const state = this.#state === "connected" ? this.#connection?.state() : undefined
    if (state === undefined || state instanceof NetworkError) return err("invalid-state")
    return ok(socketAddressOf(state[which], this.family))
  }

  subscribe(context: CallContext): Pollable {
    return pending(context.ports.socket.waker, () => this.#state !== "connect" || this.#connection?.state() !== undefined)
  }

  shutdown(how: "receive" | "send" | "both"): Result<undefined, string> {
    if (this.#state !== "connected") return err("invalid-state")
    if (how !== "send") this.#isReceiveShut = true
    if (how !== "receive" && !this.#isSendShut) {
      this.#isSendShut = true
      this.#connection?.end()
    }
    return done
  }

  drop(call: CallContext): void {
    knownTo(call).sockets--
    this.#connection?.close()
  }
}

export const createTcpSocket = (call: CallContext, family: Family): Result<TcpSocket, string> =>
  knownTo(call).sockets >= socketsMax ? err("new-socket-limit") : ok(new TcpSocket(call, family))
