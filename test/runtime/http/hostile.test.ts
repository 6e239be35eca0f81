/** Bytes that no client sends: each gets an answer with a code or a closed connection, and the next request works. */
import t, { type Test } from "tap"
import { greeterQuery, raw, smuggled, start, statuses, token } from "./start.ts"

t.setTimeout(120_000)
const on = await start({ limits: { bodyMs: 400, bodyBytesMax: 10_000, componentBytesMax: 200_000 } })
t.teardown(() => on[Symbol.asyncDispose]())
const { ask, call, put, server } = on
await put("greeter", "greeter", greeterQuery)
const authorization = `authorization: Bearer ${token}\r\n`
const head = (method: string, path: string, more = ""): string => `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${authorization}${more}\r\n`
const json = "content-type: application/json\r\n"
const callPath = "/v1/plugins/greeter/calls/greet"
const alive = async (t: Test): Promise<void> =>
  void t.strictSame((await call("greeter", "greet", [{ name: "Bo" }])).json, { result: { message: "Hello, Bo!" } }, "the next request works")

t.test("requests that two parsers would read differently are refused, and never become two", async (t) => {
  for (const [what, bytes] of smuggled(head, callPath)) {
    const text = await raw(server.port, [bytes], { quietMs: 1_000 })
    const [first] = statuses(text)
    t.ok(first === undefined || first >= 400, `${what}: ${first}`)
    t.equal((await ask("GET", "/v1/plugins/greeter")).status, 200, `${what}: what was smuggled was not done`)
    if (first === 400 && !text.includes("\r\n\r\n{")) t.fail(`${what}: an empty 400: ${text}`)
  }
  await alive(t)
})

t.test("headers are bounded, alone and together, and the refusal has its code", async (t) => {
  for (const bomb of [`x: ${"a".repeat(20_000)}\r\n`, Array.from({ length: 1_500 }, (_, i) => `x-${i}: ${i}\r\n`).join("")]) {
    const text = await raw(server.port, [head("GET", "/v1/plugins", bomb)])
    t.strictSame(statuses(text), [431])
    t.match(text, "STELE-HTP-0009")
    t.match(text, /application\/problem\+json/)
  }
  t.strictSame(statuses(await raw(server.port, [`GET /${"a".repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`])), [431], "so is the target")
  await alive(t)
})

t.test("bodies are bounded whether their length is announced or not", async (t) => {
  const announced = await raw(server.port, [head("POST", callPath, `${json}content-length: 1000000000\r\n`)])
  t.strictSame(statuses(announced), [413])
  t.match(announced, "STELE-HTP-0007")
  t.match(announced, /connection: close/i)
  const chunk = `1000\r\n${" ".repeat(0x1000)}\r\n`
  const chunked = await raw(server.port, [head("POST", callPath, `${json}transfer-encoding: chunked\r\n`), ...Array.from({ length: 100 }, () => chunk)])
  t.strictSame(statuses(chunked).slice(0, 1), [413])
  const expecting = await raw(server.port, [head("POST", callPath, `${json}content-length: 1000000000\r\nexpect: 100-continue\r\n`)])
  t.notOk(statuses(expecting).includes(200), "what is refused is not asked for")
  t.equal((await ask("PUT", "/v1/plugins/big", { body: new Uint8Array(200_001) })).status, 413)
  t.equal((await call("greeter", "greet", ` ${JSON.stringify([{ name: "x".repeat(9_000) }])}`)).status, 200, "what is within them is taken")
  await alive(t)
})

t.test("bodies that come slowly, stop, or end early are given up on", async (t) => {
  const slow = await raw(server.port, [head("POST", callPath, `${json}content-length: 100\r\n`), ...Array.from({ length: 20 }, () => " ")], {
    pauseMs: 100,
    quietMs: 5_000,
  })
  t.strictSame(statuses(slow).slice(0, 1), [408])
  t.match(slow, "STELE-HTP-0008")
  const stopped = await raw(server.port, [head("POST", callPath, `${json}content-length: 100\r\n`), "["], { quietMs: 5_000 })
  t.strictSame(statuses(stopped).slice(0, 1), [408])
  await alive(t)
  t.ok(on.http.requests <= 1, "none of them holds a place")
})

t.test("requests in a row on one connection are answered in order", async (t) => {
  const body = '[{"name":"A"}]'
  const one = `${head("POST", callPath, `${json}content-length: ${body.length}\r\n`)}${body}`
  const text = await raw(server.port, [one + one + head("GET", "/nowhere") + one], { quietMs: 1_000 })
  t.strictSame(statuses(text), [200, 200, 404, 200])
})

t.test("methods that mean something to proxies are refused", async (t) => {
  t.ok((statuses(await raw(server.port, ["CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n"]))[0] ?? 400) >= 400)
  t.strictSame(statuses(await raw(server.port, [head("TRACE", "/v1/plugins")], { quietMs: 800 })).slice(0, 1), [405])
  t.ok(
    (statuses(await raw(server.port, [head("GET", "http://evil.example/v1/plugins")], { quietMs: 800 }))[0] ?? 0) >= 200,
    "an absolute target is answered as a path",
  )
  const upgrade = await raw(server.port, [head("GET", "/v1/plugins", "connection: upgrade\r\nupgrade: websocket\r\n")], { quietMs: 800 })
  t.notOk(statuses(upgrade).includes(101))
  await alive(t)
})

t.test("more requests than are answered at a time are refused with retry-after", async (t) => {
  await using few = await start({ limits: { requestsMax: 5, bodyMs: 2_000 } })
  const held = Array.from({ length: 5 }, () => raw(few.server.port, [head("POST", callPath, `${json}content-length: 9\r\n`)], { quietMs: 10_000 }))
  while (few.http.requests < 5) await new Promise((next) => setTimeout(next, 5))
  const refused = await few.ask("GET", "/v1/plugins")
  t.equal(refused.json["code"], "STELE-HTP-0010")
  t.equal(refused.headers.get("retry-after"), "1")
  t.equal((await few.ask("GET", "/healthz", { bare: true })).status, 200, "health is answered all the same")
  for (const answered of await Promise.all(held)) t.strictSame(statuses(answered).slice(0, 1), [408])
  t.equal((await few.ask("GET", "/v1/plugins")).status, 200)
})

t.test("rates are bounded for the token and for each address, and pass", async (t) => {
  await using few = await start({ limits: { tokenRate: 3, tokenBurst: 5, addressRate: 10, addressBurst: 50 } })
  const codes = (await Promise.all(Array.from({ length: 12 }, () => few.ask("GET", "/v1/plugins")))).map(({ status }) => status)
  t.ok(codes.includes(429) && codes.filter((status) => status === 200).length >= 5, codes.join())
  const refused = await Promise.all(Array.from({ length: 100 }, () => few.ask("GET", "/v1/plugins", { bare: true })))
  t.ok(
    refused.some(({ json }) => json["code"] === "STELE-HTP-0011" && /address/.test(String(json["detail"]))),
    "an address without a token has a bound of its own",
  )
  const limited = refused.find(({ status }) => status === 429)
  t.match(limited?.headers.get("retry-after"), /^\d+$/)
  await new Promise((next) => setTimeout(next, 400))
  t.equal((await few.ask("GET", "/v1/plugins")).status, 200)
})

t.test("a service that is known by names answers for no other", async (t) => {
  await using named = await start({ hosts: ["stele.example"] })
  const get = async (host: string): Promise<number | undefined> =>
    statuses(await raw(named.server.port, [`GET /healthz HTTP/1.1\r\nhost: ${host}\r\n\r\n`], { quietMs: 500 }))[0]
  for (const host of ["localhost", "127.0.0.1:80", "[::1]:9", "stele.example", "stele.example:4747"]) t.equal(await get(host), 200, host)
  for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "stele.example.evil"]) t.equal(await get(host), 421, host)
})

t.test("a wrong token takes as long whichever character of it is wrong", async (t) => {
  const { tokenCheck } = await import("../../../runtime/http/token.ts")
  const secret = `stele_${"k".repeat(43)}`
  const check = tokenCheck([secret])
  const wrong = { first: `Bearer x${secret.slice(1)}`, last: `Bearer ${secret.slice(0, -1)}x` }
  t.notOk(check(wrong.first) || check(wrong.last))
  t.ok(check(`Bearer ${secret}`))
  const times: Record<keyof typeof wrong, Array<number>> = { first: [], last: [] }
  for (let round = 0; round < 60; round++)
    for (const which of ["first", "last"] as const) {
      const startedMs = performance.now()
      for (let i = 0; i < 2_000; i++) check(wrong[which])
      times[which].push(performance.now() - startedMs)
    }
  const least = (all: ReadonlyArray<number>): number => Math.min(...all)
  t.comment(`least of 60 rounds of 2,000: first wrong ${least(times.first).toFixed(3)} ms, last wrong ${least(times.last).toFixed(3)} ms`)
  t.ok(Math.abs(least(times.first) - least(times.last)) < 0.35 * least(times.first), "no difference beyond noise")
})

t.test("what fails while a refusal is written takes no place for ever", async (t) => {
  let logs = 0
  const log = (): void => {
    logs++
    throw new Error("the disk is full")
  }
  await using own = await start({ log, limits: { requestsMax: 2 } })
  // Not a failure of the caller's: it is an incident, which is logged.
  own.host.store = () => Promise.reject(new Error("no store"))
  for (let i = 0; i < 5; i++) t.equal((await own.put("greeter", "greeter", greeterQuery)).status, 500)
  t.ok(logs >= 5)
  t.equal(own.http.requests, 0)
  t.equal((await own.ask("GET", "/v1/plugins")).status, 200, "there is room")
})
