/** A way to a server that a test can cut or slow down at a chosen statement. It reads the client's messages, and the server's not. */
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

export interface Proxy {
  readonly port: number
  /** What happens when this statement is about to be carried out; asked for each, the last answer of `undefined` lets it pass. */
  at: (sql: string) => "cut before" | "cut after" | number | undefined
  /** True: connections are refused. */
  isDown: boolean
  close(): Promise<void>
}

/** Cuts the client's stream into messages; the first has no type. */
function* messagesOf(buffer: Buffer, isStarted: boolean): Generator<Buffer> {
  for (let at = 0, isFirst = !isStarted; at < buffer.length; isFirst = false) {
    const head = isFirst ? 0 : 1
    if (buffer.length < at + head + 4) return
    const length = head + buffer.readUInt32BE(at + head)
    if (buffer.length < at + length) return
    yield buffer.subarray(at, at + length)
    at += length
  }
}

const ready = "Z".charCodeAt(0)

const textAt = (message: Buffer, from: number): string => message.subarray(from, message.indexOf(0, from)).toString()

export async function startProxy(to: { readonly path: string }): Promise<Proxy> {
  const open = new Set<Socket>()
  const serve = (client: Socket): void => {
    if (proxy.isDown) return void client.destroy()
    const server = connect(to)
    const cut = (): void => {
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      open.add(socket)
      socket.on("error", cut)
      socket.on("close", () => {
        open.delete(socket)
        cut()
      })
    }
    const statements = new Map<string, string>()
    let [left, isStarted, isMute]: [Buffer, boolean, boolean] = [Buffer.alloc(0), false, false]
    let queue = Promise.resolve()
    // Each statement ends with a Sync, and its answer with that the server is ready; so is the greeting.
    let [asked, answered, cutAt, heard] = [0, -1, Number.POSITIVE_INFINITY, Buffer.alloc(0) as Buffer]
    server.on("data", (data: Buffer) => {
      if (!isMute) client.write(data)
      heard = Buffer.concat([heard, data])
      for (const message of messagesOf(heard, true)) {
        if (message[0] === ready && ++answered >= cutAt) return cut()
        heard = heard.subarray(message.length)
      }
    })
    const pass = async (message: Buffer): Promise<void> => {
      const kind = String.fromCharCode(message[0] as number)
      if (kind === "P") statements.set(textAt(message, 5), textAt(message, 5 + Buffer.byteLength(textAt(message, 5)) + 1))
      if (kind === "B") {
        const name = textAt(message, 5 + Buffer.byteLength(textAt(message, 5)) + 1)
        const what = proxy.at(statements.get(name) ?? "")
        if (what === "cut before") return cut()
        if (what === "cut after") {
          // The server gets it and answers; nobody hears.
          isMute = true
          cutAt = asked + 1
        } else if (what !== undefined) await new Promise((done) => setTimeout(done, what))
      }
      if (kind === "S") asked++
      if (!server.destroyed) server.write(message)
    }
    client.on("data", (data: Buffer) => {
      left = Buffer.concat([left, data])
      for (const message of messagesOf(left, isStarted)) {
        const isFirst = !isStarted
        isStarted = true
        const copy = Buffer.from(message)
        queue = queue.then(() => (isFirst ? void server.write(copy) : pass(copy)))
        left = left.subarray(message.length)
      }
    })
  }
  const listener = createServer(serve)
  await once(listener.listen(0, "127.0.0.1"), "listening")
  const proxy: Proxy = {
    port: (listener.address() as { readonly port: number }).port,
    at: () => undefined,
    isDown: false,
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((done) => listener.close(done))
    },
  }
  return proxy
}
