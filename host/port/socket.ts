/** TCP connections and look-ups of names as plugins make them. Nothing blocks; a `NetworkError` is final. */
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
  close(): void
}

export interface SocketPort {
  /** See `HttpPort`. */
  readonly isGuarded: boolean
  readonly limits: SocketLimits
  /** Addresses of a name, all judged: one that is not global fails the look-up. */
  resolve(name: string, limits: SocketLimits): { result(): ReadonlyArray<Uint8Array> | NetworkError | undefined; close(): void }
  /** Connects to exactly this address, which was judged or granted by its name. */
  connect(place: SocketPlace, limits: SocketLimits): SocketConnection
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
