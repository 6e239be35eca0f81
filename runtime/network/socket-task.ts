/** TCP connections and look-ups of names on the network's thread. */
import type { Socket } from "node:net"
import { parseAddress, printAddress } from "../../host/capability/network/address.ts"
import type { SocketLimits, SocketPlace } from "../../host/port/socket.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { addressesOf, connectFirst, type Resolve, socketError } from "./connect.ts"
import type { Task, Told } from "./exchange.ts"
import { windowBytes } from "./message.ts"

export const placeOf = (address: string | undefined, port: number | undefined): SocketPlace => ({
  address: parseAddress((address ?? "0.0.0.0").replace(/%.*$/, "")) ?? new Uint8Array(4),
  port: port ?? 0,
})

export class Connection implements Task {
  readonly #tell: (told: Told) => void
  readonly #abort = new AbortController()
  readonly #host: string
  #socket: Socket | undefined
  #early: Array<() => void> = []
  #isDone = false
  #untaken = 0

  /** `from`: where it is to be connected from; or a socket that is connected, which somebody has accepted. */
  constructor({ address, port }: SocketPlace, { connectMs }: SocketLimits, tell: (told: Told) => void, from?: SocketPlace | Socket) {
    this.#tell = tell
    this.#host = `${printAddress(address)} port ${port}`
    if (from !== undefined && "destroy" in from) {
      this.#begin(from)
      return
    }
    const timer = setTimeout(() => this.#fail(new NetworkError("Timeout", { host: this.#host, limit: "connectMs", ms: connectMs })), connectMs)
    connectFirst([address], port, undefined, this.#host, this.#abort.signal, connectMs, from)
      .then((socket) => (this.#isDone ? void socket.destroy() : this.#begin(socket)))
      .catch((error: unknown) => this.#fail(socketError(this.#host, error, false)))
      .finally(() => clearTimeout(timer))
  }

  #begin(socket: Socket): void {
    this.#socket = socket
    socket.allowHalfOpen = true
    socket.on("data", (bytes: Uint8Array) => {
      if (this.#isDone) return
      this.#untaken += bytes.length
      this.#tell({ is: "data", bytes: bytes.slice() })
      if (this.#untaken >= windowBytes) socket.pause()
    })
    socket.on("end", () => {
      if (!this.#isDone) this.#tell({ is: "end", trailers: [] })
    })
    socket.on("error", (error) => this.#fail(socketError(this.#host, error, true)))
    this.#tell({ is: "connected", local: placeOf(socket.localAddress, socket.localPort), remote: placeOf(socket.remoteAddress, socket.remotePort) })
    for (const act of this.#early.splice(0)) act()
    // One that was accepted was held until now.
    socket.resume()
  }

  write(bytes: Uint8Array): void {
    if (this.#isDone) return
    if (this.#socket === undefined) return void this.#early.push(() => this.write(bytes))
    this.#socket.write(bytes, () => {
      if (!this.#isDone) this.#tell({ is: "written", bytes: bytes.length })
    })
  }

  end(): void {
    if (this.#isDone) return
    if (this.#socket === undefined) return void this.#early.push(() => this.end())
    this.#socket.end()
  }

  keepAlive(idleMs: number | undefined): void {
    this.#socket?.setKeepAlive(idleMs !== undefined, idleMs ?? 0)
  }

  taken(bytes: number): void {
    this.#untaken -= bytes
    if (!this.#isDone && this.#untaken < windowBytes) this.#socket?.resume()
  }

  #fail(error: NetworkError): void {
    if (this.#isDone) return
    this.#tell({ is: "failed", failure: error.reason })
    this.close()
  }

  close(): void {
    this.#isDone = true
    this.#early = []
    this.#abort.abort()
    this.#socket?.destroy()
  }
}

/** A look-up cannot be taken back: closing it only means that nobody hears. */
export function lookUp(name: string, { resolveMs }: SocketLimits, resolve: Resolve, tell: (told: Told) => void): Task {
  let isDone = false
  const finish = (told: Told): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    tell(told)
  }
  const timer = setTimeout(
    () => finish({ is: "failed", failure: new NetworkError("Timeout", { host: name, limit: "resolveMs", ms: resolveMs }).reason }),
    resolveMs,
  )
  addressesOf(name, resolve).then(
    (addresses) => finish({ is: "addresses", addresses }),
    (error: unknown) => finish({ is: "failed", failure: socketError(name, error, false).reason }),
  )
  return {
    write() {},
    end() {},
    taken() {},
    close() {
      isDone = true
      clearTimeout(timer)
    },
  }
}
