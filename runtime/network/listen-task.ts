/** A place of this machine that others connect to, on the network's thread. */
import type { Server, Socket } from "node:net"
import { printAddress } from "../../host/capability/network/address.ts"
import type { SocketPlace } from "../../host/port/socket.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import type { Task, Told } from "./exchange.ts"
import { Connection, placeOf } from "./socket-task.ts"

const net = process.getBuiltinModule("node:net")

/** Why a place was not given, as every engine says it. */
export function bindError({ address, port }: SocketPlace, error: unknown): NetworkError {
  const { code = "", message } = error as NodeJS.ErrnoException
  const kind = code === "EADDRINUSE" ? "in-use" : code === "EACCES" || code === "EPERM" ? "denied" : "not-bindable"
  return new NetworkError("Bind", { host: `${printAddress(address)} port ${port}`, detail: code === "" ? message : code, kind })
}

/** Connections have their place in the system's queue before they are taken; those beyond the backlog are ended. */
export class Listener implements Task {
  readonly #tell: (told: Told) => void
  readonly #server: Server
  readonly #waiting = new Map<number, Socket>()
  #backlog = 0
  #next = 1

  constructor(place: SocketPlace, tell: (told: Told) => void) {
    this.#tell = tell
    // Ends of halves are the guest's to make, and nothing is read before it takes the connection.
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#incoming(socket))
    this.#server.on("error", (error) => tell({ is: "failed", failure: bindError(place, error).reason }))
    this.#server.listen({ host: printAddress(place.address), port: place.port, ipv6Only: place.address.length === 16, exclusive: true }, () => {
      const at = this.#server.address()
      if (at !== null && typeof at === "object") tell({ is: "bound", local: placeOf(at.address, at.port) })
    })
  }

  #incoming(socket: Socket): void {
    socket.on("error", () => undefined)
    if (this.#waiting.size >= this.#backlog) return void socket.destroy()
    const connection = this.#next++
    this.#waiting.set(connection, socket)
    this.#tell({
      is: "incoming",
      connection,
      local: placeOf(socket.localAddress, socket.localPort),
      remote: placeOf(socket.remoteAddress, socket.remotePort),
    })
  }

  accept(backlog: number): void {
    this.#backlog = backlog
  }

  /** The connection as a task of its own. */
  give(connection: number, tell: (told: Told) => void): Connection | undefined {
    const socket = this.#waiting.get(connection)
    this.#waiting.delete(connection)
    if (socket === undefined) return undefined
    return new Connection(placeOf(socket.remoteAddress, socket.remotePort), { connectMs: 0, resolveMs: 0 }, tell, socket)
  }

  write(): void {}
  end(): void {}
  taken(): void {}

  close(): void {
    this.#server.close()
    for (const socket of this.#waiting.values()) socket.destroy()
    this.#waiting.clear()
  }
}
