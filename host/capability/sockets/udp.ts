/**
 * UDP of `wasi:sockets`, over the socket port: what may be sent to is named by `udp:send` grants, what may be bound by
 * `udp:bind` ones. A socket that is bound where the system chooses hears only those that it may send to. One that is bound
 * under a grant hears everybody, and may answer whoever has sent to it from a global address: an address of the network
 * around is written to only where a grant names it, since whoever sends may claim any.
 */
import { CapabilityError } from "../../../schemas/error/capability.ts"
import { NetworkError } from "../../../schemas/error/network.ts"
import type { SocketDatagrams, SocketPlace } from "../../port/mod.ts"
import type { CallContext } from "../capability.ts"
import { chunkBytesMax, pending, type Pollable } from "../io.ts"
import { special } from "../network/address.ts"
import { clip, done, err, ok, type Result } from "../serve.ts"
import { codeOf, type Family, isMapped, type IpSocketAddress, isUnspecified, placeOf, shownPlace, socketAddressOf } from "./place.ts"
import { knownTo, localKey, reach, socketsMax } from "./reach.ts"

/** Datagrams of one `receive`, and of one `send`. */
export const datagramsMax = 64
const permitted = 16
/** Bytes of a datagram: 65,535 less the headers of IPv4 and UDP, or of UDP alone (RFC 768, RFC 8200 §8.1). */
const datagramBytesMax = { ipv4: 65_507, ipv6: 65_527 } as const
/** Peers that a socket remembers to have heard. */
const peersMax = 256
/** What a socket has until it is told otherwise (`ip(7)`). */
const hopLimitDefault = 64

export interface IncomingDatagram {
  readonly data: Uint8Array
  readonly remoteAddress: IpSocketAddress
}
export interface OutgoingDatagram {
  readonly data: Uint8Array
  readonly remoteAddress: IpSocketAddress | undefined
}

const isSamePlace = (a: SocketPlace, b: SocketPlace): boolean => a.port === b.port && shownPlace(a) === shownPlace(b)

/** Rep of `udp-socket`. */
export class UdpSocket {
  readonly family: Family
  #state: "unbound" | "bind" | "bound" = "unbound"
  #socket: SocketDatagrams | undefined
  /** What `udp:bind` is asked for; undefined where the system chose the place. */
  #key: string | undefined
  #shown = ""
  #remote: SocketPlace | undefined
  readonly #peers = new Set<string>()
  #hopLimit = hopLimitDefault
  #streams = 0

  constructor(call: CallContext, family: Family) {
    this.family = family
    knownTo(call).sockets++
  }

  startBind(call: CallContext, local: IpSocketAddress): Result<undefined, string> {
    const place = placeOf(local)
    if (local.tag !== this.family || isMapped(place.address)) return err("invalid-argument")
    if (this.#state !== "unbound") return err("invalid-state")
    const key = localKey(place)
    const shown = `udp:bind:${shownPlace(place)}`
    const grant = call.grants.match("udp:bind", key)
    const isFree = place.port === 0 && isUnspecified(place.address)
    if (grant === undefined && !(isFree && call.grants.reaches("udp:send"))) {
      call.denied(shown)
      return err("access-denied")
    }
    const { socket } = call.ports
    if (socket.bind === undefined) return err("not-supported")
    if (grant !== undefined) {
      this.#key = key
      call.used(grant, 0)
    }
    this.#shown = shown
    this.#socket = socket.bind(place)
    this.#state = "bind"
    return done
  }

  finishBind(): Result<undefined, string> {
    if (this.#state !== "bind") return err("not-in-progress")
    const state = this.#socket?.state()
    if (state === undefined) return err("would-block")
    if (state instanceof NetworkError) {
      this.#socket?.close()
      this.#socket = undefined
      this.#key = undefined
      this.#state = "unbound"
      return err(codeOf(state))
    }
    if (this.#hopLimit !== hopLimitDefault) this.#socket?.hopLimit(this.#hopLimit)
    this.#state = "bound"
    return done
  }

  /** Both halves, to everybody or to one place. Those handed out before must be gone: they would take each other's datagrams. */
  stream(call: CallContext, remote: IpSocketAddress | undefined): Result<readonly [IncomingDatagrams, OutgoingDatagrams], string> {
    if (this.#state !== "bound" || this.#streams > 0) return err("invalid-state")
    if (remote === undefined) this.#remote = undefined
    else {
      const checked = this.#check(call, remote)
      if (checked.tag === "err") return checked
      this.#remote = checked.val
    }
    this.#streams = 2
    return ok([new IncomingDatagrams(this), new OutgoingDatagrams(this)])
  }

  /** Where a datagram goes, if it may. */
  #check(call: CallContext, to: IpSocketAddress): Result<SocketPlace, string> {
    const place = placeOf(to)
    if (to.tag !== this.family || place.port === 0 || isMapped(place.address) || isUnspecified(place.address)) return err("invalid-argument")
    if (this.#mayReach(call, place) !== undefined) return ok(place)
    call.denied(`udp:send:${shownPlace(place)}`)
    return err("access-denied")
  }

  /** The grant under which something is sent to a place, or heard from it by who hears only those. */
  #mayReach(call: CallContext, place: SocketPlace): string | undefined {
    const key = reach(call, "udp:send", place)
    if (key !== undefined) return call.grants.match("udp:send", key)
    const isAnswer = this.#key !== undefined && special(place.address) === undefined && this.#peers.has(shownPlace(place))
    return isAnswer ? call.grants.match("udp:bind", this.#key as string) : undefined
  }

  /** The socket, as long as it is granted to be where it is. */
  #held(call: CallContext): Result<SocketDatagrams, string> {
    if (this.#socket === undefined) return err("invalid-state")
    if (this.#key === undefined || call.grants.match("udp:bind", this.#key) !== undefined) return ok(this.#socket)
    call.denied(this.#shown)
    this.#socket.close()
    return err("access-denied")
  }

  receive(call: CallContext, countMax: bigint): Result<ReadonlyArray<IncomingDatagram>, string> {
    const held = this.#held(call)
    if (held.tag === "err") return held
    const datagrams: Array<IncomingDatagram> = []
    let bytes = 0
    for (const most = clip(countMax, datagramsMax); datagrams.length < most && bytes < chunkBytesMax;) {
      const next = held.val.receive()
      if (next === undefined) break
      if (next instanceof NetworkError) {
        if (datagrams.length === 0) return err(codeOf(next))
        break
      }
      const grant = this.#hears(call, next.place)
      if (grant === undefined) continue
      call.used(grant, next.bytes.length)
      bytes += next.bytes.length
      datagrams.push({ data: next.bytes, remoteAddress: socketAddressOf(next.place, this.family) })
    }
    return ok(datagrams)
  }

  /** The grant under which a datagram from there is heard; undefined drops it. */
  #hears(call: CallContext, from: SocketPlace): string | undefined {
    if (this.#remote !== undefined && !isSamePlace(from, this.#remote)) return undefined
    if (this.#key === undefined) return this.#mayReach(call, from)
    const shown = shownPlace(from)
    this.#peers.delete(shown)
    if (this.#peers.size >= peersMax) this.#peers.delete(this.#peers.values().next().value as string)
    this.#peers.add(shown)
    return call.grants.match("udp:bind", this.#key)
  }

  /** Datagrams that may be sent now. */
  permit(call: CallContext): Result<number, string> {
    const held = this.#held(call)
    if (held.tag === "err") return held
    const room = held.val.room()
    return room instanceof NetworkError ? err(codeOf(room)) : ok(room > 0 ? permitted : 0)
  }

  /** "If at least one datagram has been sent successfully, this function never returns an error" (wasi-sockets, `send`). */
  send(call: CallContext, datagrams: ReadonlyArray<OutgoingDatagram>): Result<bigint, string> {
    const permit = this.permit(call)
    if (permit.tag === "err") return permit
    if (datagrams.length > permit.val)
      throw new CapabilityError("PortLimit", { port: "sockets", limit: "check-send", unit: "datagrams", max: permit.val, actual: datagrams.length })
    const socket = this.#socket as SocketDatagrams
    let sent = 0n
    for (const { data, remoteAddress } of datagrams) {
      const refusal = socket.unsent()
      const place = refusal === undefined ? this.#target(call, remoteAddress) : err(codeOf(refusal))
      const failure = place.tag === "err" ? place : data.length > datagramBytesMax[this.family] ? err("datagram-too-large") : undefined
      if (failure !== undefined) return sent === 0n ? failure : ok(sent)
      const { val } = place as { readonly val: SocketPlace }
      call.used(this.#mayReach(call, val) as string, data.length)
      socket.send({ place: val, bytes: data })
      sent++
    }
    return ok(sent)
  }

  #target(call: CallContext, given: IpSocketAddress | undefined): Result<SocketPlace, string> {
    if (this.#remote === undefined) return given === undefined ? err("invalid-argument") : this.#check(call, given)
    if (given !== undefined && !isSamePlace(placeOf(given), this.#remote)) return err("invalid-argument")
    return this.#check(call, socketAddressOf(this.#remote, this.family))
  }

  localAddress(): Result<IpSocketAddress, string> {
    const state = this.#state === "bound" ? this.#socket?.state() : undefined
    return state === undefined || state instanceof NetworkError ? err("invalid-state") : ok(socketAddressOf(state.local, this.family))
  }

  remoteAddress(): Result<IpSocketAddress, string> {
    return this.#remote === undefined || this.#streams === 0 ? err("invalid-state") : ok(socketAddressOf(this.#remote, this.family))
  }

  get hopLimit(): number {
    return this.#hopLimit
  }

  setHopLimit(value: number): Result<undefined, string> {
    if (value === 0) return err("invalid-argument")
    this.#hopLimit = value
    if (this.#state === "bound") this.#socket?.hopLimit(value)
    return done
  }

  subscribe(context: CallContext): Pollable {
    return pending(context.ports.socket.waker, () => this.#state !== "bind" || this.#socket?.state() !== undefined)
  }

  incomingReady(context: CallContext): Pollable {
    return pending(context.ports.socket.waker, () => this.#socket?.isReadable() !== false)
  }

  outgoingReady(context: CallContext): Pollable {
    return pending(context.ports.socket.waker, () => {
      const room = this.#socket?.room()
      return typeof room !== "number" || room > 0
    })
  }

  dropStream(): void {
    this.#streams--
  }

  drop(call: CallContext): void {
    knownTo(call).sockets--
    this.#socket?.close()
    this.#socket = undefined
  }
}

/** Rep of `incoming-datagram-stream`. */
export class IncomingDatagrams {
  readonly of: UdpSocket
  constructor(of: UdpSocket) {
    this.of = of
  }
}

/** Rep of `outgoing-datagram-stream`. */
export class OutgoingDatagrams {
  readonly of: UdpSocket
  constructor(of: UdpSocket) {
    this.of = of
  }
}

export const createUdpSocket = (call: CallContext, family: Family): Result<UdpSocket, string> =>
  knownTo(call).sockets >= socketsMax ? err("new-socket-limit") : ok(new UdpSocket(call, family))
