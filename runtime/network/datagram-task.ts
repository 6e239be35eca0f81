/** A place of this machine that datagrams leave from and come to, on the network's thread. */
import type { Socket } from "node:dgram"
import { printAddress } from "../../host/capability/network/address.ts"
import type { Datagram, SocketPlace } from "../../host/port/socket.ts"
import { socketError } from "./connect.ts"
import type { Task, Told } from "./exchange.ts"
import { bindError } from "./listen-task.ts"
import { datagramCost, windowBytes } from "./message.ts"
import { placeOf } from "./socket-task.ts"

const dgram = process.getBuiltinModule("node:dgram")

export class Datagrams implements Task {
  readonly #tell: (told: Told) => void
  readonly #socket: Socket
  #untaken = 0
  #isBound = false
  #isDone = false

  constructor(place: SocketPlace, tell: (told: Told) => void) {
    this.#tell = tell
    const isIpv6 = place.address.length === 16
    this.#socket = dgram.createSocket({
      type: isIpv6 ? "udp6" : "udp4",
      ipv6Only: isIpv6,
      // Only addresses are sent to: there is nothing to look up.
      lookup: (address, _options, answer) => answer(null, address, isIpv6 ? 6 : 4),
    })
    this.#socket.on("error", (error) => {
      if (!this.#isBound) this.#say({ is: "failed", failure: bindError(place, error).reason })
    })
    this.#socket.on("message", (bytes, { address, port }) => this.#heard({ place: placeOf(address, port), bytes: new Uint8Array(bytes) }))
    this.#socket.bind({ address: printAddress(place.address), port: place.port, exclusive: true }, () => {
      this.#isBound = true
      const at = this.#socket.address()
      this.#say({ is: "bound", local: placeOf(at.address, at.port) })
    })
  }

  #say(told: Told): void {
    if (!this.#isDone) this.#tell(told)
  }

  #heard(datagram: Datagram): void {
    const cost = datagramCost(datagram)
    if (this.#untaken + cost > windowBytes) return
    this.#untaken += cost
    this.#say({ is: "datagram", datagram })
  }

  send(datagram: Datagram): void {
    const { place, bytes } = datagram
    const cost = datagramCost(datagram)
    const host = `${printAddress(place.address)} port ${place.port}`
    const sent = (error: unknown): void =>
      this.#say({ is: "sent", bytes: cost, failure: error === null || error === undefined ? undefined : socketError(host, error, false).reason })
    try {
      this.#socket.send(bytes, place.port, printAddress(place.address), (error) => sent(error))
    } catch (error) {
      sent(error)
    }
  }

  hopLimit(hops: number): void {
    try {
      this.#socket.setTTL(hops)
    } catch {
      // It is closed, or this system has no such option: datagrams go as far as they did.
    }
  }

  write(): void {}
  end(): void {}

  taken(bytes: number): void {
    this.#untaken -= bytes
  }

  close(): void {
    if (this.#isDone) return
    this.#isDone = true
    try {
      this.#socket.close()
    } catch {
      // It never opened.
    }
  }
}
