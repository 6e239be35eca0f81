/** TCP of `wasi:sockets`: clients inside `tcp:connect` grants, servers inside `tcp:listen` ones, over the socket port. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { SocketConnection, SocketListener } from "../../port/mod.ts"
import type { CallContext } from "../capability.ts"
import { chunkBytesMax, closed, type InputStream, type OutputStream, pending, type Pollable, type StreamFailure } from "../io.ts"
import { clip, done, err, ok, type Result } from "../serve.ts"
import { codeOf, type Family, ioError, isMapped, type IpSocketAddress, isUnspecified, placeOf, shownPlace, socketAddressOf } from "./place.ts"
import { knownTo, localKey, reach, socketsMax } from "./reach.ts"

/** Connections that wait to be accepted, at most and unless it is set. */
export const backlogMax = 128

/** What a socket has until it is told otherwise: Linux's two hours. */
const idleNsDefault = 7_200_000_000_000n
/** The engines take whole seconds, of which the system has 15 bits. */
const secondNs = 1_000_000_000n
const idleNsMax = 32_767n * secondNs

type State = "unbound" | "bind" | "bound" | "listen" | "listening" | "connect" | "connected" | "closed"

/** Rep of `tcp-socket`. */
export class TcpSocket {
  readonly family: Family
  #state: State = "unbound"
  #connection: SocketConnection | undefined
  #listener: SocketListener | undefined
  /** What the grants are asked for at every operation, under which head. */
  #head = "tcp:connect"
  #key = ""
  #shown = ""
  #backlog = backlogMax
  #keepsAlive = false
  #idleNs = idleNsDefault
  #isReceiveShut = false
  #isSendShut = false

  constructor(call: CallContext, family: Family) {
    this.family = family
    knownTo(call).sockets++
  }

  /**
   * A place where the system is free to choose is taken when it connects, and needs no grant; any other is taken at once, so
   * that `local-address` and a port that is in use are known.
   */
  startBind(call: CallContext, local: IpSocketAddress): Result<undefined, string> {
    const place = placeOf(local)
    if (local.tag !== this.family || isMapped(place.address)) return err("invalid-argument")
    if (this.#state !== "unbound") return err("invalid-state")
    const key = localKey(place)
    const shown = `tcp:listen:${shownPlace(place)}`
    const isGranted = call.grants.match("tcp:listen", key) !== undefined
    if (!isGranted && !(place.port === 0 && isUnspecified(place.address))) {
      call.denied(shown)
      return err("access-denied")
    }
    if (isGranted) {
      const { socket } = call.ports
      if (socket.listen === undefined) return err("not-supported")
      this.#grantBy("tcp:listen", key, shown)
      this.#use(call, 0)
      this.#listener = socket.listen(place)
    }
    this.#state = "bind"
    return done
  }

  finishBind(): Result<undefined, string> {
    if (this.#state !== "bind") return err("not-in-progress")
    const state = this.#listener === undefined ? "free" : this.#listener.state()
    if (state === undefined) return err("would-block")
    if (state instanceof NetworkError) {
      this.#forgetListener()
      this.#state = "unbound"
      return err(codeOf(state))
    }
    this.#state = "bound"
    return done
  }

  startListen(call: CallContext): Result<undefined, string> {
    if (this.#state !== "bound") return err("invalid-state")
    if (this.#listener === undefined) {
      call.denied(`tcp:listen:${this.family === "ipv4" ? "0.0.0.0" : "[::]"}:*`)
      return err("access-denied")
    }
    if (this.#use(call, 0) !== undefined) return err("access-denied")
    this.#listener.listen(this.#backlog)
    this.#state = "listen"
    return done
  }

  finishListen(): Result<undefined, string> {
    if (this.#state !== "listen") return err("not-in-progress")
    this.#state = "listening"
    return done
  }

  get isListening(): boolean {
    return this.#state === "listening"
  }

  accept(call: CallContext): Result<readonly [TcpSocket, InputStream, OutputStream], string> {
    if (this.#state !== "listening") return err("invalid-state")
    if (this.#use(call, 0) !== undefined) return err("access-denied")
    // It waits where it is until there is room for it.
    if (knownTo(call).sockets >= socketsMax) return err("new-socket-limit")
    const connection = (this.#listener as SocketListener).accept()
    if (connection === undefined) return err("would-block")
    if (connection instanceof NetworkError) return err(codeOf(connection))
    const socket = new TcpSocket(call, this.family)
    socket.#grantBy(this.#head, this.#key, this.#shown)
    socket.#connection = connection
    socket.#state = "connected"
    socket.#keepsAlive = this.#keepsAlive
    socket.#idleNs = this.#idleNs
    socket.#applyKeepAlive()
    return ok([socket, socket.#input(call), socket.#output(call)])
  }

  startConnect(call: CallContext, remote: IpSocketAddress): Result<undefined, string> {
    if (this.#state !== "unbound" && this.#state !== "bound") return err("invalid-state")
    const place = placeOf(remote)
    const { address, port } = place
    if (remote.tag !== this.family || port === 0 || isMapped(address) || isUnspecified(address)) return err("invalid-argument")
    const key = reach(call, "tcp:connect", place)
    const shown = `tcp:connect:${shownPlace(place)}`
    if (key === undefined) {
      call.denied(shown)
      return err("access-denied")
    }
    const bound = this.#listener?.state()
    this.#forgetListener()
    this.#grantBy("tcp:connect", key, shown)
    this.#use(call, 0)
    const from = bound === undefined || bound instanceof NetworkError ? undefined : bound.local
    this.#connection = call.ports.socket.connect(place, call.ports.socket.limits, from)
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
    this.#applyKeepAlive()
    return ok([this.#input(call), this.#output(call)])
  }

  #grantBy(head: string, key: string, shown: string): void {
    this.#head = head
    this.#key = key
    this.#shown = shown
  }

  #forgetListener(): void {
    this.#listener?.close()
    this.#listener = undefined
  }

  /** The failure of an operation whose grant was taken back; else counts its bytes. */
  #use(call: CallContext, bytes: number): StreamFailure | undefined {
    const grant = call.grants.match(this.#head, this.#key)
    if (grant !== undefined) {
      call.used(grant, bytes)
      return undefined
    }
    call.denied(this.#shown)
    this.#connection?.close()
    this.#listener?.close()
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

  localAddress(): Result<IpSocketAddress, string> {
    const isBound = this.#state === "bound" || this.#state === "listen" || this.#state === "listening"
    const state = this.#state === "connected" ? this.#connection?.state() : isBound ? this.#listener?.state() : undefined
    return state === undefined || state instanceof NetworkError ? err("invalid-state") : ok(socketAddressOf(state.local, this.family))
  }

  remoteAddress(): Result<IpSocketAddress, string> {
    const state = this.#state === "connected" ? this.#connection?.state() : undefined
    return state === undefined || state instanceof NetworkError ? err("invalid-state") : ok(socketAddressOf(state.remote, this.family))
  }

  setBacklog(value: bigint): Result<undefined, string> {
    if (value === 0n) return err("invalid-argument")
    if (this.#state === "listen" || this.#state === "listening") return err("not-supported")
    if (this.#state === "connect" || this.#state === "connected") return err("invalid-state")
    this.#backlog = clip(value, backlogMax)
    return done
  }

  get keepsAlive(): boolean {
    return this.#keepsAlive
  }

  setKeepsAlive(call: CallContext, value: boolean): Result<undefined, string> {
    if (value && call.ports.socket.listen === undefined) return err("not-supported")
    this.#keepsAlive = value
    this.#applyKeepAlive()
    return done
  }

  get idleNs(): bigint {
    return this.#idleNs
  }

  /** "It might be silently clamped and/or rounded" (wasi-sockets, `set-keep-alive-idle-time`). */
  setIdleNs(value: bigint): Result<undefined, string> {
    if (value === 0n) return err("invalid-argument")
    const whole = ((value + secondNs - 1n) / secondNs) * secondNs
    this.#idleNs = whole > idleNsMax ? idleNsMax : whole
    this.#applyKeepAlive()
    return done
  }

  #applyKeepAlive(): void {
    // What it has from the start need not be set.
    if (this.#state === "connected" && (this.#keepsAlive || this.#idleNs !== idleNsDefault))
      this.#connection?.keepAlive?.(this.#keepsAlive ? Number(this.#idleNs / 1_000_000n) : undefined)
  }

  subscribe(context: CallContext): Pollable {
    return pending(context.ports.socket.waker, () => {
      switch (this.#state) {
        case "bind":
          return this.#listener === undefined || this.#listener.state() !== undefined
        case "connect":
          return this.#connection?.state() !== undefined
        case "listening":
          return this.#listener?.isReadable() !== false
        default:
          return true
      }
    })
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
    this.#forgetListener()
  }
}

export const createTcpSocket = (call: CallContext, family: Family): Result<TcpSocket, string> =>
  knownTo(call).sockets >= socketsMax ? err("new-socket-limit") : ok(new TcpSocket(call, family))
