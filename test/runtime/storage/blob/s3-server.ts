/**
 * An S3 server as a process of its own: `s3rver`, and before it a few things that it lacks and Amazon's has, or that go
 * wrong on a network: `If-None-Match: *`, listing and aborting uploads in parts, `SlowDown`, denials, answers that never come.
 *
 *     node s3-server.ts FOLDER     prints its ports: the server's own, and the one in front of it
 */
import { createCipheriv } from "node:crypto"
import { createServer, request } from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"

// s3rver hides the key in the token of a next page with DES, which OpenSSL 3 has no more; nobody here uses that token.
const crypto = createRequire(import.meta.url)("node:crypto") as { createCipheriv: typeof createCipheriv }
crypto.createCipheriv = ((name: string, key: Buffer, iv: Buffer) =>
  name === "des" ? createCipheriv("aes-128-cbc", Buffer.concat([key, key]), Buffer.concat([iv, iv])) : createCipheriv(name, key, iv)) as typeof createCipheriv
const S3rver = createRequire(import.meta.url)("s3rver") as new (options: object) => { run(): Promise<AddressInfo>; close(): Promise<void> }
const [folder = ""] = process.argv.slice(2)
const server = new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory: folder, configureBuckets: [{ name: "objects" }] })
const { port } = await server.run()

/** Key by upload id: what `s3rver` does not list. */
const uploads = new Map<string, { readonly key: string; readonly initiated: Date }>()
/** What the next requests meet, told by `POST /-/faults`. */
let faults: { slow?: number; hang?: number; deny?: string } = {}
const xml = (code: string): string => `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`

const front = createServer((incoming, outgoing) => {
  const url = new URL(incoming.url ?? "/", "http://localhost")
  const answer = (status: number, body: string): void => {
    incoming.resume()
    outgoing.writeHead(status, { "content-type": "application/xml" }).end(body)
  }
  if (url.pathname === "/-/faults") {
    let text = ""
    incoming.on("data", (data: Buffer) => (text += data.toString()))
    incoming.on("end", () => {
      faults = JSON.parse(text) as typeof faults
      outgoing.end(String(uploads.size))
    })
    return
  }
  if ((faults.slow ?? 0) > 0) {
    faults.slow = (faults.slow as number) - 1
    return answer(503, xml("SlowDown"))
  }
  if ((faults.hang ?? 0) > 0) {
    faults.hang = (faults.hang as number) - 1
    return
  }
  if (faults.deny !== undefined) return answer(403, xml(faults.deny))
  const id = url.searchParams.get("uploadId")
  if (incoming.method === "GET" && url.searchParams.has("uploads")) {
    const rows = [...uploads].map(
      ([of, { key, initiated }]) => `<Upload><Key>${key}</Key><UploadId>${of}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`,
    )
    return answer(
      200,
      `<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${rows.join("")}</ListMultipartUploadsResult>`,
    )
  }
  if (incoming.method === "DELETE" && id !== null) return uploads.delete(id) ? answer(204, "") : answer(404, xml("NoSuchUpload"))
  if (incoming.method === "PUT" && id !== null && !uploads.has(id)) return answer(404, xml("NoSuchUpload"))
  const forward = (): void => {
    const on = request({ port, path: incoming.url, method: incoming.method, headers: incoming.headers }, (reply) => {
      const isStart = incoming.method === "POST" && url.searchParams.has("uploads")
      if (isStart) {
        let text = ""
        reply.on("data", (data: Buffer) => (text += data.toString()))
        reply.on("end", () => {
          const started = /<UploadId>([^<]+)</.exec(text)?.[1]
          if (started !== undefined) uploads.set(started, { key: decodeURIComponent(url.pathname).replace(/^\/[^/]*\//, ""), initiated: new Date() })
          outgoing.writeHead(reply.statusCode ?? 500, reply.headers).end(text)
        })
        return
      }
      if (incoming.method === "POST" && id !== null) uploads.delete(id)
      outgoing.writeHead(reply.statusCode ?? 500, reply.headers)
      reply.pipe(outgoing)
    })
    on.on("error", () => outgoing.destroy())
    incoming.pipe(on)
  }
  if (incoming.method !== "PUT" || incoming.headers["if-none-match"] !== "*") return forward()
  // What is there: asked by a list, which needs no signature.
  const look = request({ port, path: `/objects?prefix=${encodeURIComponent(decodeURIComponent(url.pathname).replace(/^\/[^/]*\//, ""))}` }, (reply) => {
    let text = ""
    reply.on("data", (data: Buffer) => (text += data.toString()))
    reply.on("end", () => (text.includes("<Key>") ? answer(412, xml("PreconditionFailed")) : forward()))
  })
  look.end()
})
front.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port, front: (front.address() as AddressInfo).port })))
