/** Sockets and look-ups of names as plugins use them. Nothing blocks; a `NetworkError` is final. */
import { NetworkError } from "../../schemas/error/network.ts"
import { limitsFrom } from "./port.ts"
import { idle, type Waker } from "./waker.ts"

export const socketLimits = {
  /** Milliseconds to resolve a name, and to connect. */
  resolveMs: 10_000,
  connectMs: 10_000,
} as const
export type SocketLimits = { readonly [K in keyof typeof socketLimits]: number }

export interface SocketPlace {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  readonly port: number
}

export interface SocketConnection {
  /** Both ends once it is connected; undefined while it is not. */
  state(): { readonly local: SocketPlace; readonly remote: SocketPlace } | NetworkError | undefined
  /** 1 to `countMax` bytes, "end" when the other side has ended, undefined while there are none. */
  read(countMax: number): Uint8Array | "end" | NetworkError | undefined
  isReadable(): boolean
  /** Bytes it takes now. */
  room(): number | NetworkError
  write(bytes: Uint8Array): void
  /** Ends this side's half. */
  end(): void
  /** Asks a silent other side after this many milliseconds whether it is there; undefined: never. Absent where that cannot be set. */
  keepAlive?(idleMs: number | undefined): void
  close(): void
}

/** A place of this machine that others connect to. */
export interface SocketListener {
  /** Where it is, once it has it. */
  state(): { readonly local: SocketPlace } | NetworkError | undefined
  /** Takes connections from now on, of which `backlog` may wait to be accepted; until then they are turned away. */
  listen(backlog: number): void
  /** There is a connection to accept, or a failure. */
  isReadable(): boolean
  accept(): SocketConnection | NetworkError | undefined
  close(): void
}

export interface Datagram {
  readonly place: SocketPlace
  readonly bytes: Uint8Array
}

/** A place of this machine that datagrams leave from and come to. */
export interface SocketDatagrams {
  state(): { readonly local: SocketPlace } | NetworkError | undefined
  /** The next that came, from wherever; those for which there is no room are dropped. */
  receive(): Datagram | NetworkError | undefined
  isReadable(): boolean
  /** Bytes it takes now, in datagrams. */
  room(): number | NetworkError
  send(datagram: Datagram): void
  /** Why a datagram could not be sent, once for each. */
  unsent(): NetworkError | undefined
  hopLimit(hops: number): void
  close(): void
}

export interface SocketPort {
  /** See `HttpPort`. */
  readonly isGuarded: boolean
  readonly limits: SocketLimits
  /** Addresses of a name, all judged: one that is not global fails the look-up. */
  resolve(name: string, limits: SocketLimits): { result(): ReadonlyArray<Uint8Array> | NetworkError | undefined; close(): void }
  /** Connects to exactly this address, which was judged or granted by its name; `from` a place of this machine where that is given. */
  connect(place: SocketPlace, limits: SocketLimits, from?: SocketPlace): SocketConnection
  /** Takes a place for connections; its port 0 is one that the system chooses. Absent where that cannot be done. */
  listen?(place: SocketPlace): SocketListener
  /** The same for datagrams. */
  bind?(place: SocketPlace): SocketDatagrams
  readonly waker: Waker
}

const none = (host: string): NetworkError => new NetworkError("Unreachable", { host, detail: "this host has no network" })

/** No network, except for the names given: for tests, and for hosts without one. */
export function memorySocket(names: Readonly<Record<string, ReadonlyArray<Uint8Array>>> = {}, limits: Partial<SocketLimits> = {}): SocketPort {
  return {
    isGuarded: true,
    limits: limitsFrom("socket", socketLimits as SocketLimits, limits),
    waker: idle,
    resolve: (name) => ({
      result: () =>
        Object.hasOwn(names, name) ? (names[name] as ReadonlyArray<Uint8Array>) : new NetworkError("Unresolved", { host: name, detail: "unknown" }),
      close: () => undefined,
    }),
    connect(place) {
      const error = none(place.address.join("."))
      return { state: () => error, read: () => error, isReadable: () => true, room: () => error, write() {}, end() {}, close() {} }
    },
  }
}
