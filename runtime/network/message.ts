/** What a host's thread and the thread that touches the network tell each other. */
import type { MessagePort } from "node:worker_threads"
import type { HttpField, HttpHead, HttpRequest } from "../../host/port/http.ts"
import type { SocketLimits, SocketPlace } from "../../host/port/socket.ts"
import type { NetworkError } from "../../schemas/error/network.ts"
import type { NetworkThreadOptions } from "./options.ts"

/** Bytes of one exchange or connection on their way, in each direction: what is sent and not yet taken. */
export const windowBytes = 256 << 10

export type Command = { readonly id: number } & (
  | { readonly op: "http"; readonly request: HttpRequest }
  | { readonly op: "connect"; readonly place: SocketPlace; readonly limits: SocketLimits }
  | { readonly op: "resolve"; readonly name: string; readonly limits: SocketLimits }
  | { readonly op: "write"; readonly bytes: Uint8Array }
  | { readonly op: "end"; readonly trailers: ReadonlyArray<HttpField> }
  /** The other side has taken this many bytes. */
  | { readonly op: "taken"; readonly bytes: number }
  | { readonly op: "close" }
)

/** A `NetworkError` as data: classes do not survive the way between threads. */
export type Failure = NetworkError["reason"]

export type Event = { readonly id: number } & (
  | { readonly is: "head"; readonly head: HttpHead }
  | { readonly is: "connected"; readonly local: SocketPlace; readonly remote: SocketPlace }
  | { readonly is: "addresses"; readonly addresses: ReadonlyArray<Uint8Array> }
  | { readonly is: "data"; readonly bytes: Uint8Array }
  | { readonly is: "end"; readonly trailers: ReadonlyArray<HttpField> }
  | { readonly is: "written"; readonly bytes: number }
  | { readonly is: "failed"; readonly failure: Failure }
)

export interface Line extends NetworkThreadOptions {
  readonly port: MessagePort
  /** Int32: counts messages sent, for those who wait without an event loop. */
  readonly signal: SharedArrayBuffer
}
