/** A request that came, as a guest's handler sees it, and its response: gathered until the call ends, or sent on as it is written. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { HttpField } from "../../port/mod.ts"
import { idle } from "../../port/waker.ts"
import { chunkBytesMax } from "../io.ts"
import type { Sink, Source } from "./body.ts"
import { Fields, isForbiddenField } from "./fields.ts"
import { IncomingRequest, type OutgoingResponse, ResponseOutparam } from "./message.ts"

export interface Incoming {
  readonly method: string
  /** Absolute. */
  readonly url: string
  readonly headers: ReadonlyArray<HttpField>
  /** Whole, or still on its way. */
  readonly body: Uint8Array | Source
}

/** A response that is sent while its guest goes on. */
export interface Streaming {
  readonly sink: Sink
  /** Called once: what stands before its body, which goes into `sink` where there is one. */
  readonly begin: (head: Omit<Answered, "body">, hasBody: boolean) => void
}

export interface Answered {
  readonly status: number
  readonly headers: ReadonlyArray<HttpField>
  /** Its parts, as they were written. */
  readonly body: ReadonlyArray<Uint8Array>
}

function sourceOf(bytes: Uint8Array): Source {
  let at = 0
  return {
    isReadable: () => true,
    read(countMax) {
      if (at >= bytes.length) return "end"
      const chunk = bytes.slice(at, at + countMax)
      at += chunk.length
      return chunk
    },
    trailers: () => [],
    close() {},
    waker: idle,
  }
}

/** Arguments of `wasi:http/incoming-handler#handle`, and what became of them. */
export function prepareIncoming({ method, url, headers, body }: Incoming, streaming?: Streaming) {
  const { protocol, host, pathname, search } = new URL(url)
  const chunks: Array<Uint8Array> = []
  let response: OutgoingResponse | undefined
  let problem: string | undefined = "set no response"
  const gathered: Sink = {
    room: () => chunkBytesMax,
    write: (bytes) => void (bytes.length > 0 && chunks.push(bytes.slice())),
    end: () => {},
    abort: () => {},
    waker: idle,
  }
  const to = streaming?.sink ?? gathered
  const sink: Sink = {
    room: (call) => to.room(call),
    write: (bytes) => to.write(bytes),
    end(trailers) {
      problem = undefined
      to.end(trailers)
    },
    abort(error) {
      problem = "left the body of its response unfinished"
      to.abort(error)
    },
    waker: to.waker,
  }
  const request = new IncomingRequest(
    {
      method,
      pathWithQuery: `${pathname}${search}`,
      scheme: { tag: protocol === "https:" ? "HTTPS" : "HTTP" },
      authority: host,
      // What is of the connection is the server's, as it is on the way out.
      headers: Fields.received(headers.filter(([name]) => !isForbiddenField(name))),
    },
    body instanceof Uint8Array ? sourceOf(body) : body,
  )
  const outparam = new ResponseOutparam((call, given) => {
    if (given.tag === "err") {
      problem = `answered with the error ${given.val.tag}`
      return
    }
    response = given.val
    const { outgoing } = response
    streaming?.begin({ status: response.status, headers: response.headers.list() }, outgoing !== undefined)
    if (outgoing === undefined) problem = undefined
    else {
      problem = "left the body of its response unfinished"
      outgoing.attach(call, sink)
    }
  })
  return {
    args: [request, outparam] as const,
    /** @throws NetworkError `NoAnswer` */
    answer(): Answered {
      if (response === undefined || problem !== undefined) throw new NetworkError("NoAnswer", { detail: problem ?? "set no response" })
      return { status: response.status, headers: response.headers.list(), body: chunks }
    },
  }
}
