/**
 * Good and hostile calls at once and at full load, for seconds here, for ten minutes with `STELE_TEST_FULL=1`, as long as one likes with `STELE_TEST_SOAK_MS`: every answer is
 * right or typed, nothing hangs, and memory does not grow. @alone
 */
import { Agent, request } from "node:http"
import t from "tap"
import { greeterQuery, raw, start, token } from "./start.ts"
import { isFull } from "../../seed.ts"

const ms = Number(process.env.STELE_TEST_SOAK_MS ?? (isFull ? 600_000 : 4_000))
t.setTimeout(ms + 120_000)

interface Answered {
  readonly status: number
  readonly text: string
}

t.test("good and hostile calls at full load: every answer is right or typed, and memory stays flat", async (t) => {
  await using on = await start({ limits: { bodyMs: 1_000, bodyBytesMax: 20_000, tokenRate: 1e6, tokenBurst: 1e6, addressRate: 1e6, addressBurst: 1e6 } })
  for (const [name, of, query] of [
    ["greeter", "greeter", greeterQuery],
    ["spinner", "spinner", "?limit=deadlineMs=20"],
    // Where what is put runs unless something else is said.
    ["text", "text-stats", "?grant=log&isolation=process"],
  ] as const)
    t.equal((await on.put(name, of, query)).status, 201)
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const send = (method: string, path: string, body: string | undefined, headers: Record<string, string> = {}): Promise<Answered> =>
    new Promise((resolve, reject) => {
      const asked = request(
        `${on.server.url}${path}`,
        {
          method,
          agent,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
            ...headers,
          },
        },
        (response) => {
          let text = ""
          response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
          response.on("end", () => resolve({ status: response.statusCode ?? 0, text }))
          response.on("error", reject)
        },
      )
      asked.setTimeout(20_000, () => asked.destroy(new Error(`no answer to ${method} ${path}`)))
      asked.on("error", reject)
      asked.end(body)
    })
  const isTyped =
    (code: string) =>
    ({ text }: Answered) =>
      (JSON.parse(text) as { readonly code: string }).code === code
  let n = 0
  const jobs: ReadonlyArray<readonly [what: string, work: () => Promise<Answered>, isRight: (answered: Answered) => boolean]> = [
    ["a good call", () => send("POST", "/v1/plugins/greeter/calls/greet", '[{"name":"Ada"}]'), ({ text }) => text === '{"result":{"message":"Hello, Ada!"}}'],
    [
      "text",
      () => send("POST", "/v1/plugins/text/calls/analyze", '["one two two three three three", {"top": 2, "minLetters": 1}]'),
      ({ text }) => text.includes('"words":6'),
    ],
    ["an endless loop", () => send("POST", "/v1/plugins/spinner/calls/spin", "[1]"), isTyped("STELE-LIM-0010")],
    ["wrong types", () => send("POST", "/v1/plugins/greeter/calls/greet", '[{"nme":[]}]'), isTyped("STELE-HTP-0005")],
    ["no JSON", () => send("POST", "/v1/plugins/greeter/calls/greet", "[{"), isTyped("STELE-HTP-0004")],
    ["too much", () => send("POST", "/v1/plugins/greeter/calls/greet", `["${"x".repeat(30_000)}"]`), isTyped("STELE-HTP-0007")],
    ["nobody's export", () => send("POST", `/v1/plugins/greeter/calls/nobody${n++}`, "[]"), isTyped("STELE-PLG-0003")],
    ["nobody's plugin", () => send("GET", `/v1/plugins/nobody${n++}`, undefined), isTyped("STELE-HTP-0014")],
    ["nobody's path", () => send("GET", `/nowhere/${n++}`, undefined), isTyped("STELE-HTP-0002")],
    ["no token", () => send("GET", "/v1/plugins", undefined, { authorization: "Bearer x" }), isTyped("STELE-HTP-0001")],
    ["another plugin in its place", async () => (await on.put("greeter", "greeter", greeterQuery)) as unknown as Answered, ({ status }) => status === 200],
    [
      "one that comes and goes",
      async () => (await on.put("brief", "spinner"), await send("DELETE", "/v1/plugins/brief", undefined)),
      ({ status }) => status === 204 || status === 404,
    ],
    [
      "half a request",
      async () => ({ status: 0, text: await raw(on.server.port, ["POST /v1/plugins/greeter/calls/greet HTTP/1.1\r\nhost: x\r\n"], { quietMs: 20 }) }),
      () => true,
    ],
    [
      "rubbish",
      async () => ({ status: 0, text: await raw(on.server.port, ["\0\x16\x03garbage\r\n\r\n"], { quietMs: 5_000 }) }),
      ({ text }) => text.includes("STELE-HTP-0017"),
    ],
  ]
  const wrong: Array<string> = []
  const counts = new Map<string, number>()
  const rss: Array<number> = []
  const startedMs = performance.now()
  const sampler = setInterval(() => rss.push(process.memoryUsage().rss), ms / 40)
  const lane = async (first: number): Promise<void> => {
    for (let i = first; performance.now() - startedMs < ms && wrong.length < 10; i++) {
      // Good calls are half of all.
      const [what, work, isRight] = jobs[i % 2 === 0 ? (i % 4 === 0 ? 0 : 1) : (i >> 1) % jobs.length] as (typeof jobs)[number]
      try {
        const answered = await work()
        counts.set(what, (counts.get(what) ?? 0) + 1)
        if (!isRight(answered)) wrong.push(`${what}: ${answered.status} ${answered.text.slice(0, 200)}`)
      } catch (error) {
        wrong.push(`${what}: ${String(error)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, i) => lane(i * 7)))
  clearInterval(sampler)
  agent.destroy()
  t.strictSame(wrong, [])
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  // From a quarter on: what is compiled and cached at first is no leak.
  const [early, late] = [rss[Math.floor(rss.length / 4)] ?? 0, Math.max(...rss.slice(-4))]
  t.comment(
    `${total} requests in ${Math.round(ms / 1_000)} s; memory ${Math.round(early / 2 ** 20)} MiB after a quarter, ${Math.round(late / 2 ** 20)} MiB at the end`,
  )
  t.equal(counts.size, jobs.length, "each kind was there")
  t.ok(late < early * 1.5 + 64 * 2 ** 20, `memory stays flat: ${early} ${late}`)
  for (let i = 0; i < 100 && on.http.requests > 0; i++) await new Promise((next) => setTimeout(next, 20))
  t.equal(on.http.requests, 0, "nothing hangs")
})
