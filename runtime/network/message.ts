/** What a host's thread and the thread that touches the network tell each other. */
import type { MessagePort } from "node:worker_threads"
import type { HttpField, HttpHead, HttpRequest } from "../../host/port/http.ts"
import type { Datagram, SocketLimits, SocketPlace } from "../../host/port/socket.ts"
import type { NetworkError } from "../../schemas/error/network.ts"
import type { NetworkThreadOptions } from "./options.ts"

/** Bytes of one exchange or connection on their way, in each direction: what is sent and not yet taken. */
export const windowBytes = 256 << 10

/** What a datagram counts of the window: an empty one is kept as well. */
export const datagramCost = ({ bytes }: Datagram): number => bytes.length + 256

export type Command = { readonly id: number } & (
  | { readonly op: "http"; readonly request: HttpRequest }
  | { readonly op: "connect"; readonly place: SocketPlace; readonly limits: SocketLimits; readonly from: SocketPlace | undefined }
  | { readonly op: "listen"; readonly place: SocketPlace }
  /** Takes connections from now on. */
  | { readonly op: "accepting"; readonly backlog: number }
  /** This number is from now on of a connection that a listener was told of. */
  | { readonly op: "accept"; readonly listener: number; readonly connection: number }
  | { readonly op: "keepAlive"; readonly idleMs: number | undefined }
  | { readonly op: "bind"; readonly place: SocketPlace }
  | { readonly op: "send"; readonly datagram: Datagram }
  | { readonly op: "hopLimit"; readonly hops: number }
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
  | { readonly is: "bound"; readonly local: SocketPlace }
  | { readonly is: "incoming"; readonly connection: number; readonly local: SocketPlace; readonly remote: SocketPlace }
  | { readonly is: "datagram"; readonly datagram: Datagram }
  /** A datagram of this many bytes has left, or could not. */
  | { readonly is: "sent"; readonly bytes: number; readonly failure: Failure | undefined }
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
