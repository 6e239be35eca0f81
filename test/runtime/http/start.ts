/** A service on a port of its own, and requests to it; raw bytes too, for what no client would send. */
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { serve, type ServeOptions, service, type ServiceOptions } from "../../../runtime/http/mod.ts"
import { Host, type HostOptions } from "../../../runtime/mod.ts"
import { example, root } from "../command-line.ts"

export const token = "test_token_of_32_characters_long"
export const wasm = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(root, example(name))))

export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON. */
  readonly json: Record<string, unknown> & { readonly data?: Record<string, unknown> }
}

export async function start(options: Partial<ServiceOptions> = {}, serving: ServeOptions = {}, hosting: HostOptions = {}) {
  const host = await Host.open(hosting)
  // Inline where a test is about something else: a process of its own takes a while to start on a busy machine.
  const http = await service(host, { token, log: () => {}, isolation: "inline", ...options })
  const server = await serve(http, { port: 0, noticeMs: 50, ...serving })
  const ask = async (method: string, path: string, init: RequestInit & { readonly bare?: boolean } = {}): Promise<Answered> => {
    const headers = { ...(init.bare === true ? {} : { authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string> | undefined) }
    const response = await fetch(server.url + path, { ...init, method, headers })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: text !== "" && /json/.test(response.headers.get("content-type") ?? "") ? (JSON.parse(text) as Answered["json"]) : {},
    }
  }
  return {
    host,
    http,
    server,
    ask,
    put: (name: string, of: string, query = "") =>
      ask("PUT", `/v1/plugins/${name}${query}`, { body: wasm(of), headers: { "content-type": "application/wasm" } }),
    call: (name: string, exported: string, body: unknown, query = "") =>
      ask("POST", `/v1/plugins/${name}/calls/${encodeURIComponent(exported)}${query}`, {
        body: typeof body === "string" ? body : JSON.stringify(body),
        headers: { "content-type": "application/json" },
      }),
    async [Symbol.asyncDispose]() {
      server.destroy()
      await server.close()
      await http.close()
      await host.close()
    },
  }
}

export const greeterQuery = "?grant=log&grant=kv:read:prices/*"

/** Sends bytes as they are and reads until the server closes or is silent for `quietMs`. `undefined` text: nothing came. */
export function raw(port: number, parts: ReadonlyArray<string | Uint8Array>, { quietMs = 3_000, pauseMs = 0 } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    let text = ""
    const end = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(quietMs, end)
    socket.on("error", end)
    socket.on("close", end)
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk))
    socket.on("connect", async () => {
      for (const part of parts) {
        if (socket.destroyed) return
        socket.write(part)
        if (pauseMs > 0) await new Promise((next) => setTimeout(next, pauseMs))
      }
    })
  })
}

/** Statuses of the answers in what a connection got. */
export const statuses = (text: string): ReadonlyArray<number> => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

/** Requests that two parsers would read differently, each with one inside that takes the greeter away. `head` writes a request's head. */
export function smuggled(
  head: (method: string, path: string, more?: string) => string,
  callPath: string,
): ReadonlyArray<readonly [what: string, bytes: string | Uint8Array]> {
  const json = "content-type: application/json\r\n"
  const authorization = /^authorization:.*\r\n/im.exec(head("GET", "/"))?.[0] ?? ""
  const inner = head("DELETE", "/v1/plugins/greeter")
  return [
    ["both lengths", `${head("POST", callPath, `${json}content-length: 4\r\ntransfer-encoding: chunked\r\n`)}0\r\n\r\n${inner}`],
    ["two lengths", `${head("POST", callPath, `${json}content-length: 2\r\ncontent-length: 300\r\n`)}[]${inner}`],
    ["a length with a sign", `${head("POST", callPath, `${json}content-length: +2\r\n`)}[]${inner}`],
    ["an encoding in disguise", `${head("POST", callPath, `${json}transfer-encoding: xchunked\r\n`)}0\r\n\r\n${inner}`],
    ["an encoding after a blank", `${head("POST", callPath, `${json}transfer-encoding : chunked\r\n`)}0\r\n\r\n${inner}`],
    ["a bare line feed", `POST ${callPath} HTTP/1.1\nhost: localhost\n${authorization}content-length: 2\n\n[]${inner}`],
    ["a folded header", `${head("POST", callPath, `${json}x: a\r\n transfer-encoding: chunked\r\n`)}0\r\n\r\n${inner}`],
    ["a chunk size with rubbish", `${head("POST", callPath, `${json}transfer-encoding: chunked\r\n`)}2;\nx\r\n[]\r\n0\r\n\r\n${inner}`],
    ["a chunk size beyond numbers", `${head("POST", callPath, `${json}transfer-encoding: chunked\r\n`)}fffffffffffffffff2\r\n[]\r\n0\r\n\r\n${inner}`],
    ["a carriage return in a header", `${head("POST", callPath, `x: a\rb: c\r\n${json}content-length: 2\r\n`)}[]${inner}`],
    ["no host", `GET /v1/plugins HTTP/1.1\r\n${authorization}\r\n${inner}`],
    ["two hosts", `GET /v1/plugins HTTP/1.1\r\nhost: a\r\nhost: b\r\n${authorization}\r\n${inner}`],
    ["another version", `GET /v1/plugins HTTP/3.7\r\nhost: a\r\n${authorization}\r\n${inner}`],
    ["no version", `GET /v1/plugins\r\n\r\n${inner}`],
    ["TLS", Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3)],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a method that is none", head("G@T", "/v1/plugins") + inner],
    ["a nul", head("GET", "/v1/\0plugins") + inner],
  ]
}
