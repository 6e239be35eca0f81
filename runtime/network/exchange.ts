/** One HTTP exchange on the network's thread: connects, writes the request, reads the answer, within limits and times. */
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { parseAddress } from "../../host/capability/network/address.ts"
import { joined } from "../../host/port/port.ts"
import type { HttpField, HttpRequest } from "../../host/port/http.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { addressesOf, connectFirst, type Resolve, socketError } from "./connect.ts"
import { type Event, windowBytes } from "./message.ts"
import { ResponseReader } from "./response.ts"

const zlib = process.getBuiltinModule("node:zlib")

/** An event without the number of its exchange. */
export type Told = Event extends infer E ? (E extends Event ? Omit<E, "id"> : never) : never

/** What the thread does for one number. */
export interface Task {
  write(bytes: Uint8Array): void
  end(trailers: ReadonlyArray<HttpField>): void
  taken(bytes: number): void
  close(): void
}

export interface ThreadContext {
  readonly resolve: Resolve
  readonly certificateAuthority: string | undefined
}

/** A time that can be set again; does nothing once it has struck or was ended. */
class Timer {
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #strike: (limit: string, ms: number) => void

  constructor(strike: (limit: string, ms: number) => void) {
    this.#strike = strike
  }

  set(limit: string, ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#strike, ms, limit, ms)
  }

  clear(): void {
    clearTimeout(this.#timer)
  }
}

const decoders: Readonly<Record<string, () => Duplex>> = {
  gzip: () => zlib.createGunzip(),
  "x-gzip": () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
  br: () => zlib.createBrotliDecompress(),
}

export class Exchange implements Task {
  readonly #request: HttpRequest
  readonly #tell: (told: Told) => void
  readonly #host: string
  readonly #abort = new AbortController()
  readonly #step = new Timer((limit, ms) => this.#fail(new NetworkError("Timeout", { host: this.#host, limit, ms })))
  readonly #whole = new Timer((limit, ms) => this.#fail(new NetworkError("Timeout", { host: this.#host, limit, ms })))
  #socket: Socket | undefined
  #decoder: Duplex | undefined
  #isDone = false
  #isSent = false
  /** Parts of the body that came before the connection. */
  #early: Array<() => void> = []
  /** Bytes told and not yet taken. */
  #untaken = 0
  #decompressed = 0
  /** Parts of the body in what the socket has just brought: told as one, for a server may send one byte a chunk. */
  #parts: Array<Uint8Array> = []

  constructor(request: HttpRequest, context: ThreadContext, tell: (told: Told) => void) {
    this.#request = request
    this.#tell = tell
    this.#host = new URL(request.url).host
    this.#whole.set("exchangeMs", request.limits.exchangeMs)
    void this.#run(context).catch((error: unknown) => this.#fail(socketError(this.#host, error, this.#socket !== undefined)))
  }

  async #run({ resolve, certificateAuthority }: ThreadContext): Promise<void> {
    const { url, isAddress, limits } = this.#request
    const { protocol, hostname, port } = new URL(url)
    const isSecure = protocol === "https:"
    this.#step.set("connectMs", limits.connectMs)
    const name = hostname.replace(/^\[|\]$/g, "")
    const own = parseAddress(name)
    // A host that is written as an address and was not granted as one never comes here; if it does, it is a name nobody has.
    const addresses = isAddress && own !== undefined ? [own] : await addressesOf(name.replace(/\.$/, ""), resolve)
    if (this.#isDone) return
    const secure = isSecure ? { isAddress, certificateAuthority } : undefined
    const socket = await connectFirst(
      addresses,
      port === "" ? (isSecure ? 443 : 80) : Number(port),
      secure,
      isAddress ? this.#host : name,
      this.#abort.signal,
      limits.connectMs,
    )
    if (this.#isDone) return void socket.destroy()
    this.#socket = socket
    this.#begin(socket)
  }

  #begin(socket: Socket): void {
    const { limits, method } = this.#request
    const reader = new ResponseReader(this.#host, method === "HEAD", limits, {
      head: (head) => this.#head(head.status, head.headers, method === "HEAD"),
      data: (bytes) => this.#parts.push(bytes),
      end: (trailers) => this.#end(trailers),
    })
    const read = (act: () => void): void => {
      if (this.#isDone) return
      try {
        act()
        if (reader.isDone) this.#letGo()
      } catch (error) {
        this.#fail(error)
      }
    }
    socket.setNoDelay(true)
    socket.on("data", (bytes: Uint8Array) => {
      if (!this.#isDone) this.#step.set("betweenBytesMs", limits.betweenBytesMs)
      read(() => {
        reader.push(bytes)
        this.#gathered()
      })
    })
    socket.on("error", (error) => read(() => this.#fail(socketError(this.#host, error, true))))
    socket.on("end", () => read(() => reader.close()))
    socket.on("close", () => read(() => reader.close()))
    this.#step.clear()
    this.#send(socket)
  }

  #send(socket: Socket): void {
    const { method, url, headers, bodyBytes } = this.#request
    const target = new URL(url)
    const framing: ReadonlyArray<HttpField> =
      bodyBytes === undefined
        ? [["transfer-encoding", "chunked"]]
        : bodyBytes > 0 || /^(?:POST|PUT|PATCH)$/.test(method)
          ? [["content-length", String(bodyBytes)]]
          : []
    const coding: ReadonlyArray<HttpField> =
      this.#request.decompress && !headers.some(([name]) => name === "accept-encoding") ? [["accept-encoding", "gzip, deflate, br"]] : []
    const lines = [...headers, ...coding, ...framing].map(([name, value]) => `${name}: ${value}\r\n`).join("")
    const head = `${method} ${target.pathname}${target.search} HTTP/1.1\r\nhost: ${target.host.replace(/\.(?=:|$)/, "")}\r\n${lines}connection: close\r\n\r\n`
    socket.write(Buffer.from(head, "latin1"))
    for (const act of this.#early.splice(0)) act()
    if (bodyBytes === 0) this.#sent()
  }

  #sent(): void {
    if (this.#isSent) return
    this.#isSent = true
    this.#step.set("firstByteMs", this.#request.limits.firstByteMs)
  }

  write(bytes: Uint8Array): void {
    if (this.#isDone) return
    const socket = this.#socket
    if (socket === undefined) return void this.#early.push(() => this.write(bytes))
    const told = (): void => {
      if (!this.#isDone) this.#tell({ is: "written", bytes: bytes.length })
    }
    if (this.#request.bodyBytes === undefined) {
      socket.write(`${bytes.length.toString(16)}\r\n`)
      socket.write(bytes)
      socket.write("\r\n", told)
    } else socket.write(bytes, told)
  }

  end(trailers: ReadonlyArray<HttpField>): void {
    if (this.#isDone || this.#isSent) return
    const socket = this.#socket
    if (socket === undefined) return void this.#early.push(() => this.end(trailers))
    if (this.#request.bodyBytes === undefined)
      socket.write(Buffer.from(`0\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`, "latin1"))
    this.#sent()
  }

  #head(status: number, headers: ReadonlyArray<HttpField>, isHead: boolean): void {
    if (!this.#request.decompress || isHead) return this.#tell({ is: "head", head: { status, headers } })
    const codings = headers.filter(([name]) => name === "content-encoding").flatMap(([, value]) => value.split(",").map((part) => part.trim().toLowerCase()))
    const coding = codings.filter((name) => name !== "" && name !== "identity")
    if (coding.length === 0) return this.#tell({ is: "head", head: { status, headers } })
    const make = decoders[coding[0] as string]
    if (coding.length > 1 || !Object.hasOwn(decoders, coding[0] as string) || make === undefined)
      throw new NetworkError("Protocol", { host: this.#host, detail: `its content coding is ${codings.join(", ").slice(0, 100)}`, kind: "content-coding" })
    const decoder = (this.#decoder = make())
    const { decompressedBytesMax } = this.#request.limits
    decoder.on("data", (bytes: Uint8Array) => {
      if (this.#isDone) return
      this.#decompressed += bytes.length
      if (this.#decompressed > decompressedBytesMax)
        return this.#fail(new NetworkError("Limit", { host: this.#host, limit: "decompressedBytesMax", unit: "bytes", max: decompressedBytesMax }))
      this.#give(bytes)
    })
    decoder.on("error", (error) =>
      this.#fail(new NetworkError("Protocol", { host: this.#host, detail: `its content coding is damaged: ${error.message}`, kind: "content-coding" })),
    )
    decoder.on("end", () => this.#finish([]))
    // What is said of the coded body is not true of what is handed on.
    this.#tell({ is: "head", head: { status, headers: headers.filter(([name]) => name !== "content-encoding" && name !== "content-length") } })
  }

  #gathered(): void {
    // Copied: the buffer belongs to the socket.
    const bytes = joined(this.#parts)
    this.#parts = []
    if (bytes.length === 0 || this.#isDone) return
    if (this.#decoder === undefined) return this.#give(bytes)
    // The socket rests until the decoder has worked off what it was given.
    if (!this.#decoder.write(bytes)) {
      this.#socket?.pause()
      this.#decoder.once("drain", () => this.#flow())
    }
  }

  #give(bytes: Uint8Array): void {
    this.#untaken += bytes.length
    this.#tell({ is: "data", bytes })
    if (this.#untaken >= windowBytes) this.#flow()
  }

  taken(bytes: number): void {
    this.#untaken -= bytes
    this.#flow()
  }

  /** Reads on while there is room; a guest that does not read is no fault of the server, so its time stands still. */
  #flow(): void {
    if (this.#isDone) return
    const isFull = this.#untaken >= windowBytes
    if (isFull) this.#decoder?.pause()
    else this.#decoder?.resume()
    if (isFull || this.#decoder?.writableNeedDrain === true) {
      this.#socket?.pause()
      this.#step.clear()
    } else if (this.#socket?.isPaused() === true) {
      this.#socket.resume()
      this.#step.set("betweenBytesMs", this.#request.limits.betweenBytesMs)
    }
  }

  #end(trailers: ReadonlyArray<HttpField>): void {
    this.#gathered()
    if (this.#decoder === undefined) this.#finish(trailers)
    else this.#decoder.end()
  }

  #finish(trailers: ReadonlyArray<HttpField>): void {
    if (this.#isDone) return
    this.#tell({ is: "end", trailers })
    this.close()
  }

  #fail(error: unknown): void {
    if (this.#isDone) return
    this.#tell({ is: "failed", failure: socketError(this.#host, error, true).reason })
    this.close()
  }

  /** The answer is whole: the connection is not needed, what is decoded still flows. */
  #letGo(): void {
    this.#step.clear()
    this.#socket?.destroy()
  }

  close(): void {
    this.#isDone = true
    this.#step.clear()
    this.#whole.clear()
    this.#early = []
    this.#abort.abort()
    this.#decoder?.destroy()
    this.#socket?.destroy()
  }
}
