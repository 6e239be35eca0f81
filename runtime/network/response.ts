/**
 * An HTTP/1.1 response, read from bytes as they come: RFC 9112, as a client of one request a connection. Strict: what two
 * readers could read in two ways is refused. No input makes it keep more than one header section or chunk line.
 */
import type { HttpField, HttpHead, HttpLimits } from "../../host/port/http.ts"
import { joined } from "../../host/port/port.ts"
import { NetworkError } from "../../schemas/error/network.ts"

export interface ResponseSink {
  head(head: HttpHead): void
  /** A part of what was pushed, which belongs to whoever pushed it. */
  data(bytes: Uint8Array): void
  end(trailers: ReadonlyArray<HttpField>): void
}

/** Interim answers (1xx) before the one that counts. */
const interimMax = 8
/** Bytes of a chunk's line, its extensions included. */
const chunkLineBytesMax = 256

const lineFeed = 10
const latin1 = new TextDecoder("latin1")
/** `TextDecoder`'s latin1 is windows-1252; a field's bytes are kept one to a character. */
function text(bytes: Uint8Array): string {
  if (!bytes.some((byte) => byte >= 0x80)) return latin1.decode(bytes)
  let out = ""
  for (const byte of bytes) out += String.fromCharCode(byte)
  return out
}

type State = "head" | "length" | "close" | "chunk line" | "chunk" | "chunk end" | "trailers" | "done"

const statusLine = /^HTTP\/1\.[01] ([1-9]\d\d)(?: .*)?$/
// RFC 9110 §5.6.2 token, §5.5 field-value: visible characters, spaces, tabs and obs-text.
const fieldLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/s
// oxlint-disable-next-line no-control-regex
const badValue = /[\u0000-\u0008\u000a-\u001f\u007f]/

export class ResponseReader {
  readonly #host: string
  readonly #isHead: boolean
  readonly #limits: HttpLimits
  readonly #sink: ResponseSink
  #state: State = "head"
  /** The unfinished line. */
  #line: Array<Uint8Array> = []
  #lineBytes = 0
  /** Of the section being read. */
  #sectionBytes = 0
  #status = 0
  #fields: Array<HttpField> = []
  #interim = 0
  /** Bytes that the length or the chunk still has. */
  #left = 0
  #bodyBytes = 0

  constructor(host: string, isHead: boolean, limits: HttpLimits, sink: ResponseSink) {
    this.#host = host
    this.#isHead = isHead
    this.#limits = limits
    this.#sink = sink
  }

  get isDone(): boolean {
    return this.#state === "done"
  }

  /** @throws NetworkError for what is not HTTP/1.1 or is over a limit */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && this.#state !== "done";) {
      switch (this.#state) {
        case "length":
        case "chunk": {
          const part = bytes.subarray(at, at + this.#left)
          at += part.length
          this.#left -= part.length
          this.#data(part)
          if (this.#left === 0) {
            if (this.#state === "length") this.#end([])
            else this.#state = "chunk end"
          }
          break
        }
        case "close":
          this.#data(bytes.subarray(at))
          at = bytes.length
          break
        default: {
          const feed = bytes.indexOf(lineFeed, at)
          const end = feed === -1 ? bytes.length : feed
          this.#keep(bytes.subarray(at, end))
          at = end + 1
          if (feed !== -1) this.#takeLine()
        }
      }
    }
  }

  /** The connection has ended. */
  close(): void {
    if (this.#state === "done") return
    if (this.#state === "close") return this.#end([])
    throw this.#wrong(this.#state === "head" && this.#sectionBytes === 0 ? "it ended the connection without one" : "it ends too early", "incomplete")
  }

  #keep(part: Uint8Array): void {
    this.#lineBytes += part.length
    if (this.#state === "head" || this.#state === "trailers") {
      this.#sectionBytes += part.length
      const { headerBytesMax } = this.#limits
      if (this.#sectionBytes > headerBytesMax)
        throw new NetworkError("Limit", { host: this.#host, limit: "headerBytesMax", unit: "bytes", max: headerBytesMax })
    } else if (this.#lineBytes > chunkLineBytesMax) throw this.#wrong("a chunk's line is too long", "transfer-coding")
    // Copied: the buffer belongs to the socket.
    if (part.length > 0) this.#line.push(part.slice())
  }

  #takeLine(): void {
    const whole = joined(this.#line)
    this.#line = []
    this.#lineBytes = 0
    const line = text(whole.at(-1) === 13 ? whole.subarray(0, -1) : whole)
    switch (this.#state) {
      case "chunk end":
        if (line !== "") throw this.#wrong("a chunk is longer than it says", "transfer-coding")
        this.#state = "chunk line"
        return
      case "chunk line": {
        // RFC 9112 §7.1; sizes above 2^48 are nobody's.
        const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/i.exec(line)?.[1]
        if (size === undefined) throw this.#wrong("a chunk has no length", "transfer-coding")
        this.#left = Number.parseInt(size, 16)
        if (this.#left > 0) this.#state = "chunk"
        else {
          this.#state = "trailers"
          this.#sectionBytes = 0
          this.#fields = []
        }
        return
      }
      case "trailers":
        if (line === "") this.#end(this.#fields)
        else this.#field(line)
        return
      default:
        if (this.#status === 0) {
          const status = statusLine.exec(line)?.[1]
          if (status === undefined) throw this.#wrong("it does not begin as one of HTTP/1.1")
          this.#status = Number(status)
        } else if (line === "") this.#headEnds()
        else this.#field(line)
    }
  }

  #field(line: string): void {
    const match = fieldLine.exec(line)
    if (match === null || badValue.test(match[2] as string)) throw this.#wrong("a header is malformed")
    const { headersMax } = this.#limits
    if (this.#fields.length >= headersMax) throw new NetworkError("Limit", { host: this.#host, limit: "headersMax", unit: "headers", max: headersMax })
    this.#fields.push([(match[1] as string).toLowerCase(), match[2] as string])
  }

  #values(name: string): ReadonlyArray<string> {
    return this.#fields.filter((field) => field[0] === name).flatMap(([, value]) => value.split(",").map((part) => part.trim().toLowerCase()))
  }

  #headEnds(): void {
    const status = this.#status
    if (status < 200) {
      if (status === 101) throw this.#wrong("it changes the protocol without being asked")
      if (++this.#interim > interimMax) throw this.#wrong("it has too many interim parts")
      this.#status = 0
      this.#fields = []
      // Not set back: all of them together are one header section's worth.
      return
    }
    // RFC 9112 §6.3, in its order.
    const codings = this.#values("transfer-encoding")
    const lengths = new Set(this.#values("content-length"))
    const hasBody = !this.#isHead && status !== 204 && status !== 304
    let next: State = "close"
    if (hasBody && codings.length > 0) {
      if (lengths.size > 0) throw this.#wrong("it has two lengths", "transfer-coding")
      if (codings.length > 1 || codings[0] !== "chunked") throw this.#wrong("its transfer coding is not chunked", "transfer-coding")
      next = "chunk line"
    } else if (hasBody && lengths.size > 0) {
      const [length = ""] = lengths
      if (lengths.size > 1 || !/^\d{1,15}$/.test(length)) throw this.#wrong("its length is not one number")
      this.#left = Number(length)
      if (this.#left > this.#limits.responseBytesMax) throw this.#tooLong()
      next = "length"
    }
    this.#sink.head({ status, headers: this.#fields })
    if (!hasBody || (next === "length" && this.#left === 0)) this.#end([])
    else this.#state = next
  }

  #data(bytes: Uint8Array): void {
    this.#bodyBytes += bytes.length
    if (this.#bodyBytes > this.#limits.responseBytesMax) throw this.#tooLong()
    if (bytes.length > 0) this.#sink.data(bytes)
  }

  #end(trailers: ReadonlyArray<HttpField>): void {
    this.#state = "done"
    this.#sink.end(trailers)
  }

  #tooLong(): NetworkError {
    return new NetworkError("Limit", { host: this.#host, limit: "responseBytesMax", unit: "bytes", max: this.#limits.responseBytesMax })
  }

  #wrong(detail: string, kind?: "transfer-coding" | "incomplete"): NetworkError {
    return new NetworkError("Protocol", { host: this.#host, detail, ...(kind === undefined ? {} : { kind }) })
  }
}
