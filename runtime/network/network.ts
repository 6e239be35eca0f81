/**
 * The network as a host's thread sees it: HTTP and sockets whose work another thread does, so that a guest can be blocked
 * on an answer and still be stopped at its deadline. The thread starts with the first request, and keeps no process alive.
 */
import type { MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads"
import { type HttpExchange, type HttpField, type HttpHead, httpLimits, type HttpLimits, type HttpPort, type HttpRequest } from "../../host/port/http.ts"
import { limitsFrom } from "../../host/port/port.ts"
import {
  type Datagram,
  type SocketConnection,
  type SocketDatagrams,
  type SocketListener,
  socketLimits,
  type SocketLimits,
  type SocketPlace,
  type SocketPort,
} from "../../host/port/socket.ts"
import type { Waker } from "../../host/port/waker.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { type Command, type Event, type Failure, datagramCost, type Line, windowBytes } from "./message.ts"
import type { NetworkOptions, NetworkThreadOptions } from "./options.ts"

/** Asked for when a thread is started: this file is loaded with the host, in browsers as well. */
const threads = () => process.getBuiltinModule("node:worker_threads")

const errorOf = ({ _tag, ...data }: Failure): NetworkError => new (NetworkError as unknown as new (reason: string, data: object) => NetworkError)(_tag, data)

/** Everything known of one exchange, connection or look-up. */
class Conduit {
  readonly id: number
  readonly #link: Link
  #head: HttpHead | undefined
  #connected: { readonly local: SocketPlace; readonly remote: SocketPlace } | undefined
  #bound: { readonly local: SocketPlace } | undefined
  /** Connections to accept, in order. */
  readonly #incoming: Array<{ readonly connection: number; readonly local: SocketPlace; readonly remote: SocketPlace }> = []
  readonly #datagrams: Array<Datagram> = []
  readonly #unsent: Array<NetworkError> = []
  #addresses: ReadonlyArray<Uint8Array> | undefined
  #failure: NetworkError | undefined
  #trailers: ReadonlyArray<HttpField> | undefined
  readonly #chunks: Array<Uint8Array> = []
  /** Bytes of the first chunk that have been read. */
  #at = 0
  #unwritten = 0
  /** Bytes read that the thread has not been told of. */
  #taken = 0
  #isClosed = false

  constructor(link: Link, id: number) {
    this.#link = link
    this.id = id
  }

  hear(event: Event): void {
    switch (event.is) {
      case "head":
        this.#head = event.head
        break
      case "connected":
        this.#connected = { local: event.local, remote: event.remote }
        break
      case "bound":
        this.#bound = { local: event.local }
        break
      case "incoming":
        this.#incoming.push(event)
        break
      case "datagram":
        this.#datagrams.push(event.datagram)
        break
      case "sent":
        this.#unwritten -= event.bytes
        if (event.failure !== undefined && this.#unsent.length === 0) this.#unsent.push(errorOf(event.failure))
        break
      case "addresses":
        this.#addresses = event.addresses
        break
      case "data":
        this.#chunks.push(event.bytes)
        break
      case "end":
        this.#trailers = event.trailers
        break
      case "written":
        this.#unwritten -= event.bytes
        break
      case "failed":
        this.fail(errorOf(event.failure))
    }
  }

  fail(error: NetworkError): void {
    this.#failure ??= error
  }

  head(): HttpHead | NetworkError | undefined {
    this.#link.listen()
    return this.#head ?? this.#failure
  }

  state(): { readonly local: SocketPlace; readonly remote: SocketPlace } | NetworkError | undefined {
    this.#link.listen()
    return this.#connected ?? this.#failure
  }

  bound(): { readonly local: SocketPlace } | NetworkError | undefined {
    this.#link.listen()
    return this.#failure ?? this.#bound
  }

  /** The connection that has come first and was not taken, under a number of its own. */
  accept(): Conduit | NetworkError | undefined {
    this.#link.listen()
    const next = this.#incoming.shift()
    if (next === undefined) return this.#failure
    const { connection, local, remote } = next
    const accepted = this.#link.open("the connection", (id) => ({ id, op: "accept", listener: this.id, connection }))
    accepted.#connected = { local, remote }
    return accepted
  }

  receive(): Datagram | NetworkError | undefined {
    this.#link.listen()
    const next = this.#datagrams.shift()
    if (next === undefined) return this.#failure
    this.#taken += datagramCost(next)
    if (this.#taken >= windowBytes / 4 && !this.#isClosed) {
      this.#link.send({ id: this.id, op: "taken", bytes: this.#taken })
      this.#taken = 0
    }
    return next
  }

  sendDatagram({ place, bytes }: Datagram): void {
    if (this.#isClosed) return
    const datagram = { place, bytes: bytes.slice() }
    this.#unwritten += datagramCost(datagram)
    this.#link.send({ id: this.id, op: "send", datagram })
  }

  unsent(): NetworkError | undefined {
    this.#link.listen()
    return this.#unsent.shift()
  }

  tell(
    command:
      | { readonly op: "accepting"; readonly backlog: number }
      | { readonly op: "keepAlive"; readonly idleMs: number | undefined }
      | { readonly op: "hopLimit"; readonly hops: number },
  ): void {
    if (!this.#isClosed) this.#link.send({ id: this.id, ...command })
  }

  keepAlive(idleMs: number | undefined): void {
    this.tell({ op: "keepAlive", idleMs })
  }

  result(): ReadonlyArray<Uint8Array> | NetworkError | undefined {
    this.#link.listen()
    return this.#addresses ?? this.#failure
  }

  isReadable(): boolean {
    this.#link.listen()
    return this.#hasNews() || this.#trailers !== undefined || this.#failure !== undefined
  }

  #hasNews(): boolean {
    return this.#chunks.length > 0 || this.#incoming.length > 0 || this.#datagrams.length > 0
  }

  read(countMax: number): Uint8Array | "end" | NetworkError | undefined {
    this.#link.listen()
    const chunk = this.#chunks[0]
    if (chunk === undefined) return this.#trailers === undefined ? this.#failure : "end"
    const part = chunk.slice(this.#at, this.#at + countMax)
    this.#at += part.length
    if (this.#at >= chunk.length) {
      this.#chunks.shift()
      this.#at = 0
    }
    // Not told of each: a guest may read byte by byte.
    this.#taken += part.length
    if (this.#taken >= windowBytes / 4 && !this.#isClosed && this.#trailers === undefined) {
      this.#link.send({ id: this.id, op: "taken", bytes: this.#taken })
      this.#taken = 0
    }
    return part
  }

  trailers(): ReadonlyArray<HttpField> {
    return this.#trailers ?? []
  }

  room(): number | NetworkError {
    this.#link.listen()
    // Who has answered before the request was whole does not want the rest.
    if (this.#head !== undefined && this.#trailers !== undefined) return windowBytes
    return this.#failure ?? Math.max(0, windowBytes - this.#unwritten)
  }

  write(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#isClosed) return
    this.#unwritten += bytes.length
    this.#link.send({ id: this.id, op: "write", bytes: bytes.slice() })
  }

  end(trailers: ReadonlyArray<HttpField> = []): void {
    if (!this.#isClosed) this.#link.send({ id: this.id, op: "end", trailers })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#chunks.length = 0
    this.#datagrams.length = 0
    // Whoever still holds it is told, and waits for nothing.
    this.fail(new NetworkError("Broken", { host: "the exchange", detail: "it was given up" }))
    this.#link.forget(this.id)
  }
}

/** The line to the thread. */
class Link {
  readonly #options: NetworkThreadOptions
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  readonly #conduits = new Map<number, Conduit>()
  #worker: Worker | undefined
  #port: MessagePort | undefined
  #receive: typeof receiveMessageOnPort | undefined
  #nextId = 1
  #heard = 0
  /** Messages read, by whichever way. */
  #isNews = false
  #queue: Array<Command> = []
  #waiting: Array<() => void> = []
  #isClosed = false

  constructor(options: NetworkThreadOptions) {
    this.#options = options
  }

  open(host: string, command: (id: number) => Command): Conduit {
    const id = this.#nextId++
    const conduit = new Conduit(this, id)
    if (this.#isClosed) {
      conduit.fail(new NetworkError("Unreachable", { host, detail: "the host is closed" }))
      return conduit
    }
    try {
      this.#start()
    } catch (error) {
      conduit.fail(new NetworkError("Unreachable", { host, detail: `its thread does not start: ${error instanceof Error ? error.message : String(error)}` }))
      return conduit
    }
    this.#conduits.set(id, conduit)
    // Only what is waited for keeps the process.
    if (this.#conduits.size === 1) this.#port?.ref()
    this.send(command(id))
    return conduit
  }

  forget(id: number): void {
    if (!this.#conduits.delete(id)) return
    this.send({ id, op: "close" })
    if (this.#conduits.size === 0) this.#port?.unref()
  }

  #start(): void {
    if (this.#worker !== undefined) return
    const { MessageChannel, receiveMessageOnPort, Worker: Thread } = threads()
    const { port1, port2 } = new MessageChannel()
    this.#receive = receiveMessageOnPort
    const line: Line = { ...this.#options, port: port2, signal: this.#signal.buffer as SharedArrayBuffer }
    // Neither flags nor variables, among them those of proxies, are inherited.
    const worker = new Thread(new URL("./worker.ts", import.meta.url), {
      workerData: line,
      transferList: [port2],
      execArgv: [],
      env: {},
      name: "stele-network",
    })
    this.#worker = worker
    this.#port = port1
    const end = (): void => {
      if (this.#worker !== worker) return
      // The next request starts another.
      this.#worker = undefined
      this.#port = undefined
      port1.close()
      for (const conduit of this.#conduits.values()) conduit.fail(new NetworkError("Broken", { host: "the network", detail: "its thread has ended" }))
      this.#tell()
    }
    worker.on("error", end)
    worker.on("exit", end)
    port1.on("message", (events: ReadonlyArray<Event>) => {
      this.#hear(events)
      this.#tell()
    })
    worker.unref()
    port1.unref()
  }

  send(command: Command): void {
    // What is asked for in one go is sent in one message, before anybody waits.
    if (this.#queue.push(command) === 1) queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    if (this.#queue.length === 0) return
    const queue = this.#queue
    this.#queue = []
    this.#port?.postMessage(queue)
  }

  #hear(events: ReadonlyArray<Event>): void {
    this.#isNews = true
    for (const event of events) this.#conduits.get(event.id)?.hear(event)
  }

  /** Takes what has arrived, without waiting. */
  listen(): void {
    this.#flush()
    if (this.#port === undefined || this.#receive === undefined || Atomics.load(this.#signal, 0) === this.#heard) return
    this.#heard = Atomics.load(this.#signal, 0)
    for (let message = this.#receive(this.#port); message !== undefined; message = this.#receive(this.#port))
      this.#hear(message.message as ReadonlyArray<Event>)
  }

  #tell(): void {
    this.#isNews = false
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  readonly waker: Waker = {
    wait: (ms) => {
      this.listen()
      if (!this.#isNews && this.#port !== undefined) Atomics.wait(this.#signal, 0, this.#heard, Math.min(ms, 0x7fff_ffff))
      this.#isNews = false
      this.listen()
      this.#isNews = false
    },
    changed: () => {
      this.listen()
      if (this.#isNews || this.#port === undefined) {
        this.#isNews = false
        return Promise.resolve()
      }
      return new Promise((resolve) => this.#waiting.push(resolve))
    },
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const conduit of this.#conduits.values()) conduit.fail(new NetworkError("Broken", { host: "the network", detail: "the host is closed" }))
    this.#conduits.clear()
    const worker = this.#worker
    this.#worker = undefined
    this.#port?.close()
    this.#port = undefined
    await worker?.terminate()
    this.#tell()
  }
}

const listener = (conduit: Conduit): SocketListener => ({
  state: () => conduit.bound(),
  listen: (backlog) => conduit.tell({ op: "accepting", backlog }),
  isReadable: () => conduit.isReadable(),
  accept: () => conduit.accept(),
  close: () => conduit.close(),
})

const datagrams = (conduit: Conduit): SocketDatagrams => ({
  state: () => conduit.bound(),
  receive: () => conduit.receive(),
  isReadable: () => conduit.isReadable(),
  room: () => conduit.room(),
  send: (datagram) => conduit.sendDatagram(datagram),
  unsent: () => conduit.unsent(),
  hopLimit: (hops) => conduit.tell({ op: "hopLimit", hops }),
  close: () => conduit.close(),
})

export interface Network {
  readonly http: HttpPort
  readonly socket: SocketPort
  close(): Promise<void>
}

function checkOptions({ dnsServers, certificateAuthority }: NetworkOptions): void {
  if (dnsServers !== undefined && (!Array.isArray(dnsServers) || dnsServers.length === 0 || dnsServers.some((one) => typeof one !== "string")))
    throw new ConfigError("Option", { option: "network.dnsServers", expected: "addresses of name servers", actual: JSON.stringify(dnsServers) })
  if (certificateAuthority !== undefined && !/-----BEGIN CERTIFICATE-----/.test(String(certificateAuthority)))
    throw new ConfigError("Option", { option: "network.certificateAuthority", expected: "certificates in PEM", actual: "other text" })
}

/** Opens nothing yet: what a plugin was not granted never starts the thread. Servers only. */
export function openNetwork(options: NetworkOptions = {}): Network {
  const { http, socket, ...thread } = options
  const known = ["http", "socket", "dnsServers", "certificateAuthority"]
  for (const key of Object.keys(options)) if (!known.includes(key)) throw new ConfigError("UnknownOption", { option: `network.${key}`, known })
  checkOptions(options)
  const link = new Link(thread)
  const { waker } = link
  return {
    http: {
      isGuarded: true,
      limits: limitsFrom("http", httpLimits as HttpLimits, http),
      waker,
      open: (request: HttpRequest): HttpExchange => link.open(new URL(request.url).host, (id) => ({ id, op: "http", request })),
    },
    socket: {
      isGuarded: true,
      limits: limitsFrom("socket", socketLimits as SocketLimits, socket),
      waker,
      resolve: (name, limits) => link.open(name, (id) => ({ id, op: "resolve", name, limits })),
      connect: (place, limits, from): SocketConnection => link.open(place.address.join("."), (id) => ({ id, op: "connect", place, limits, from })),
      listen: (place) => listener(link.open(place.address.join("."), (id) => ({ id, op: "listen", place }))),
      bind: (place) => datagrams(link.open(place.address.join("."), (id) => ({ id, op: "bind", place }))),
    },
    close: () => link.close(),
  }
}
