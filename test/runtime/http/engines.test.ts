/** Hostile requests and the end under load on Deno and Bun, whose own servers parse what Node's does in `hostile.test.ts` and `drain.test.ts`. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { greeterQuery, raw, smuggled, statuses, wasm } from "./start.ts"
import { endUnderLoad, up } from "./up.ts"

t.setTimeout(240_000)
const folder = await mkdtemp(join(tmpdir(), "stele-engines-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

for (const engine of ["deno", "bun"] as const)
  t.test(`hostile requests and the end under load (${engine})`, async (t) => {
    const on = await up(folder, engine, [], engine)
    t.teardown(() => on.child.kill("SIGKILL"))
    const port = Number(new URL(on.url).port)
    const authorization = { authorization: `Bearer ${on.token}` }
    const put = (): Promise<Response> =>
      fetch(`${on.url}/v1/plugins/greeter${greeterQuery}&isolation=inline`, {
        method: "PUT",
        body: wasm("greeter"),
        headers: { ...authorization, "content-type": "application/wasm" },
      })
    t.match(String((await put()).status), /^20[01]$/)
    const head = (method: string, path: string, more = ""): string =>
      `${method} ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization.authorization}\r\n${more}\r\n`
    const callPath = "/v1/plugins/greeter/calls/greet"
    for (const [what, bytes] of smuggled(head, callPath)) {
      const text = await raw(port, [bytes], { quietMs: 500 })
      // "A recipient MAY recognize a single LF as a line terminator" (RFC 9112 §2.2): then what follows is another request by right.
      // So it is behind one that is refused for its hosts alone, since these engines close no connection when they are asked to.
      if (["a bare line feed", "no host", "two hosts"].includes(what)) await put()
      const { status } = await fetch(`${on.url}/v1/plugins/greeter`, { headers: authorization })
      t.equal(status, 200, `${what}: what was smuggled was not done: ${statuses(text).join()}`)
    }
    const json = "content-type: application/json\r\n"
    for (const [what, bytes] of [
      ["an announced body that is too large", head("POST", callPath, `${json}content-length: 1000000000\r\n`)],
      ["a body without end", `${head("POST", callPath, `${json}transfer-encoding: chunked\r\n`)}${`10000\r\n${"x".repeat(0x10000)}\r\n`.repeat(20)}`],
      ["headers without end", head("GET", "/v1/plugins", `x: ${"a".repeat(500_000)}\r\n`)],
      ["a target without end", `GET /${"a".repeat(500_000)} HTTP/1.1\r\nhost: x\r\n\r\n`],
      ["a million empty lines", "\r\n".repeat(500_000)],
    ] as const) {
      const [first] = statuses(await raw(port, [bytes], { quietMs: 1_000 }))
      t.ok(first === undefined || first >= 400, `${what}: ${first}`)
    }
    const problem = await fetch(`${on.url}${callPath}`, {
      method: "POST",
      body: '[{"nme":1}]',
      headers: { ...authorization, "content-type": "application/json" },
    })
    t.equal(problem.status, 400)
    t.match(await problem.json(), { code: "STELE-HTP-0005", data: { problems: [{ path: /^args\[0\]/ }] } }, "every problem with its path")
    const { exit, tookMs, cutOff, answered, refused, closed } = await endUnderLoad(on)
    t.strictSame(exit, [0, null], on.errors())
    t.ok(tookMs < 15_000, "within its bound")
    t.comment(`${answered} answered, ${refused} refused, ${closed} found nobody`)
    t.strictSame(cutOff, [], "none hangs, none is cut off")
  })
