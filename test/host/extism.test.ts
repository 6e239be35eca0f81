/** Extism plugins: each function they import against Extism's own host, and what only this host promises. */
import { readFile } from "node:fs/promises"
import createPlugin from "@extism/extism"
import t from "tap"
import { withNumbers } from "../../host/foreign/extism/user.ts"
import { ExtismError } from "../../schemas/error/extism.ts"
import { Host, memoryConfig, memoryHttp, memoryLog, memoryObserver, type Plugin, PluginError, SteleError, waits } from "../../host/mod.ts"
import { sha256Hex } from "./extism/vectors.ts"
import { kernelBase64 } from "../../host/foreign/extism/kernel.gen.ts"
import { wat } from "./component-builder.ts"
import { type Case, cases } from "./extism/cases.ts"
import { extismGuest, signatures } from "./extism/guest.ts"
import { type Kernel, play, random } from "./extism/script.ts"
import { isFull, replay, seed } from "../seed.ts"

const log = memoryLog()
const observer = memoryObserver()
const host = await Host.open({ cache: false, ports: { config: memoryConfig({ shared: { greeting: "hello", other: "secret" } }), log, observer } })
t.teardown(() => host.close())

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: unknown): string => new TextDecoder().decode(bytes as Uint8Array)
const i64 = (bytes: unknown): bigint => {
  const { buffer, byteOffset, byteLength } = bytes as Uint8Array
  return new DataView(buffer, byteOffset, byteLength).getBigInt64(0, true)
}
const call = (plugin: Plugin, input = "", name = "run"): Promise<unknown> => plugin.call(name, [encode(input)])
// ── Every function, on both hosts ───────────────────────────────────────────

/** `{ text }` or `{ number }` of an output, `{ error }` of a failure. */
const outcome = async (run: () => Promise<Uint8Array | undefined>, { gives }: Case): Promise<unknown> => {
  try {
    const output = (await run()) ?? new Uint8Array()
    return { gives: typeof gives === "bigint" ? (output.length === 8 ? i64(output) : output) : decode(output) }
  } catch (error) {
    if (error instanceof PluginError && error.reason._tag === "Guest") return { fails: error.reason.payload }
    const { message } = error as Error
    return { fails: message.replace(/^Plugin-originated error: /, "") }
  }
}

const settings = { greeting: "hello" }
for (const one of cases) {
  t.test(`\`${one.of}\` ${one.about}`, async (t) => {
    const bytes = await extismGuest(one)
    const expected = one.fails === undefined ? { gives: one.gives } : { fails: one.fails }
    for (const metering of ["deadline", "fuel", "yield"] as const) {
      await using plugin = await host.load(bytes, { grants: ["config:greeting", "log"], metering })
      t.same(await outcome(async () => (await call(plugin, one.input)) as Uint8Array, one), expected, `here, ${metering}`)
    }
    const peer = createPlugin({ wasm: [{ data: bytes as Uint8Array<ArrayBuffer> }] }, { config: settings, useWasi: false })
    const theirs = await outcome(async () => (await (await peer).call("run", encode(one.input ?? "")))?.bytes(), one)
    if (one.notIn103 === undefined) t.same(theirs, expected, "in Extism 1.0.3")
    else t.notSame(theirs, expected, `Extism 1.0.3 differs: ${one.notIn103}`)
    await peer.then((made) => made.close()).catch(() => undefined)
  })
}

t.test("every function that Extism defines has a case when they are counted", async (t) => {
  // Each has a test of its own below.
  const elsewhere = ["http_request", "http_status_code", "http_headers", "log_trace", "log_debug", "log_info", "log_warn", "log_error"]
  t.same([...new Set([...cases.map((one) => one.of).filter((name) => name !== "run"), ...elsewhere])].sort(), Object.keys(signatures).sort())
})

t.test("the kernel answers random scripts as the published one did", async (t) => {
  const vectors = JSON.parse(await readFile(new URL("extism/kernel-vectors.json", import.meta.url), "utf8")) as {
    readonly steps: number
    readonly seeds: Readonly<Record<string, string>>
  }
  const module = new WebAssembly.Module(Buffer.from(kernelBase64, "base64"))
  const wrong: Array<string> = []
  for (const [seed, digest] of Object.entries(vectors.seeds)) {
    const answers = play(new WebAssembly.Instance(module).exports as unknown as Kernel, Number(seed), vectors.steps)
    if (sha256Hex(answers.join("\n")).slice(0, 16) !== digest) wrong.push(seed)
  }
  t.same(wrong, [], "seeds of other answers")
  t.ok(Object.keys(vectors.seeds).length >= 100)
})

t.test("the offsets of Extism's own test of splitting blocks come out when its steps are taken", async (t) => {
  // extism/extism, kernel/src/lib.rs, `test_659`, as far as blocks are taken before memory must grow.
  const { alloc, free, length, reset } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(kernelBase64, "base64"))).exports as Record<
    string,
    (...args: Array<bigint>) => bigint
  >
  reset?.()
  t.equal(alloc?.(1065n), 77n)
  t.equal(alloc?.(288n), 1154n)
  t.equal(alloc?.(128n), 1454n)
  t.equal(length?.(1154n), 288n)
  free?.(1454n)
  t.equal(alloc?.(213n), 1594n)
  t.equal(alloc?.(511n), 1819n)
  t.equal(length?.(1819n), 511n)
})

// ── Grants ──────────────────────────────────────────────────────────────────

t.test("a setting without its grant is absent and denied when it is read", async (t) => {
  const bytes = await extismGuest({ data: "other", body: `(call $answer-i64 (call $config_get (call $block (i32.const 0) (i32.const 5))))` })
  for (const grants of [[], ["config:greeting"]]) {
    await using plugin = await host.load(bytes, { grants })
    t.equal(i64(await call(plugin)), 0n)
    t.match(plugin.describe().grants.denied, [{ grant: "config:other", count: 1 }])
    t.match(
      plugin.describe().imports.find((one) => one.functions.includes("config_get")),
      { name: "extism:host/env", status: grants.length === 0 ? "missing" : "granted", grant: "config:*" },
    )
  }
  await using granted = await host.load(bytes, { grants: ["config:other"] })
  t.not(i64(await call(granted)), 0n)
  granted.revoke("config:*")
  t.equal(i64(await call(granted)), 0n, "and none once it is revoked")
})

t.test("settings given at load win over the port's", async (t) => {
  const bytes = await extismGuest({ data: "greeting", body: `(call $answer (call $config_get (call $block (i32.const 0) (i32.const 8))))` })
  await using plugin = await host.load(bytes, { grants: ["config:greeting"], config: { greeting: "good day", ["__proto__"]: "x" } })
  t.equal(decode(await call(plugin)), "good day")
  await t.rejects(host.load(bytes, { config: { greeting: 1 } as never }), { code: "STELE-CFG-0002" })
})

t.test("messages go to the log with their level when it is granted, and nowhere when not", async (t) => {
  const levels = ["trace", "debug", "info", "warn", "error"]
  const bytes = await extismGuest({
    data: "told\\ff",
    body: `${levels.map((level) => `(call $log_${level} (call $block (i32.const 0) (i32.const 5)))`).join(" ")} (call $answer-i64 (i64.extend_i32_s (call $get_log_level)))`,
  })
  const before = log.records.length
  await using silent = await host.load(bytes)
  t.equal(i64(await call(silent)), 0x7fff_ffffn, "no level is wanted")
  t.equal(log.records.length, before)
  t.match(silent.describe().grants.denied, [{ grant: "log", count: 5 }])
  await using plugin = await host.load(bytes, { grants: ["log"] })
  t.equal(i64(await call(plugin)), 0n)
  t.match(
    log.records.slice(before),
    levels.map((level) => ({ level, message: "told\ufffd", plugin: plugin.digest, tenant: "default" })),
  )
})

// ── Variables ───────────────────────────────────────────────────────────────

const counting = (): Promise<Uint8Array> =>
  extismGuest({
    data: "n",
    locals: "(local $v i64)",
    body: `(local.set $v (call $var_get (call $block (i32.const 0) (i32.const 1))))
      (if (i64.eqz (local.get $v)) (then (local.set $v (call $alloc (i64.const 8))) (call $store_u64 (local.get $v) (i64.const 0))))
      (call $store_u64 (local.get $v) (i64.add (call $load_u64 (local.get $v)) (i64.const 1)))
      (call $var_set (call $block (i32.const 0) (i32.const 1)) (local.get $v)) (call $answer (local.get $v))`,
  })

t.test("variables live as long as their instance", async (t) => {
  const bytes = await counting()
  await using kept = await host.load(bytes, { instances: { reuse: "principal" } })
  const answers = []
  for (let i = 0; i < 4; i++) answers.push(i64(await call(kept)))
  t.same(answers, [1n, 2n, 3n, 4n])
  await using fresh = await host.load(bytes)
  for (let i = 0; i < 3; i++) t.equal(i64(await call(fresh)), 1n)
  await using other = await host.load(bytes, { instances: { reuse: "principal" }, tenant: "other" })
  t.equal(i64(await call(other)), 1n, "another tenant has its own")
})

t.test("a variable that is replaced does not count twice for good", async (t) => {
  await using plugin = await host.load(await counting(), { instances: { reuse: "principal" }, limits: { varBytesMax: 2 * (48 + 1 + 8) } })
  for (let i = 0; i < 5; i++) await call(plugin)
  t.equal(i64(await call(plugin)), 6n)
  await using off = await host.load(await counting(), { limits: { varBytesMax: 0 } })
  await t.rejects(call(off), { code: "STELE-LIM-0019", reason: { limit: 0, actual: 57 } })
})

// ── Host functions ──────────────────────────────────────────────────────────

const greeting = (module = "extism:host/user"): Promise<Uint8Array> =>
  extismGuest({
    data: "HelloAda",
    imports: `(import "${module}" "greet" (func $greet (param i64 i64) (result i64)))`,
    body: `(call $answer (call $greet (call $block (i32.const 0) (i32.const 5)) (call $block (i32.const 5) (i32.const 3))))`,
  })
const greet = (greeting: Uint8Array, name: Uint8Array): Uint8Array => encode(`${decode(greeting)}, ${decode(name)}!`)

t.test("a host function gets bytes and gives bytes", async (t) => {
  await using plugin = await host.load(await greeting(), { grants: ["call:greet"], imports: { "extism:host/user": { greet } } })
  const { result, usage } = await plugin.callWithUsage("run", [encode("")])
  t.equal(decode(result), "Hello, Ada!")
  t.same(usage.hostCalls, { "call:greet": 1 })
  await using named = await host.load(await greeting("acme:tools"), { grants: ["call:acme:tools#greet"], imports: { "acme:tools": { greet } } })
  t.equal(decode(await call(named)), "Hello, Ada!")
  const peer = await createPlugin(
    { wasm: [{ data: (await greeting()) as Uint8Array<ArrayBuffer> }] },
    {
      functions: {
        "extism:host/user": {
          greet: (cx, a: bigint, b: bigint) => cx.store(greet(cx.read(a)?.bytes() as Uint8Array, cx.read(b)?.bytes() as Uint8Array)),
        },
      },
    },
  )
  t.equal((await peer.call("run"))?.string(), "Hello, Ada!", "in Extism 1.0.3")
  await peer.close()
})

t.test("a host function is refused without its grant, and without an implementation", async (t) => {
  const bytes = await greeting()
  const imports = { "extism:host/user": { greet } }
  await t.rejects(host.load(bytes, { imports }), { code: "STELE-CAP-0003", reason: { grant: "call:greet", needed: ["call:greet"] } })
  await t.rejects(host.load(bytes, { grants: ["call:greet"] }), { code: "STELE-CAP-0002", message: /extism:host\/user#greet.*imports\["extism:host\/user"\]/ })
  await t.rejects(host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { toString: greet } } }), { code: "STELE-CAP-0002" })
  await t.rejects(host.load(bytes, { grants: ["call:greet"], imports: { ...imports, "extism:host/use": { greet } } }), { code: "STELE-CFG-0001" })
  await t.rejects(host.load(bytes, { grants: ["call:other", "call:greetings*"], imports }), { code: "STELE-CAP-0003", reason: { needed: ["call:greet"] } })
  await using trapping = await host.load(bytes, { missing: "trap" })
  await t.rejects(call(trapping), { code: "STELE-CAP-0004" })
  await using revoked = await host.load(bytes, { grants: ["call:*"], imports })
  revoked.revoke("call:greet")
  await t.rejects(call(revoked), { code: "STELE-CAP-0004" })
})

t.test("what a host function does wrong is a typed error", async (t) => {
  const bytes = await greeting()
  const attempt = async (greet: (...args: ReadonlyArray<never>) => unknown, code: string): Promise<void> => {
    await using plugin = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet } } })
    await t.rejects(call(plugin), { code })
    t.equal(plugin.instances, 0)
  }
  await attempt(() => {
    throw new Error("no")
  }, "STELE-PLG-0009")
  await attempt(() => 5, "STELE-EXT-0003")
  await attempt(() => ({ then: 1 }), "STELE-EXT-0003")
  await attempt(() => Promise.resolve("later"), "STELE-CAP-0006")
  await using empty = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet: () => undefined } } })
  t.equal(decode(await call(empty)), "", "nothing is the null block")
  await using text = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet: () => "text" } } })
  t.equal(decode(await call(text)), "text")
})

t.test("a host function may answer later", async (t) => {
  const bytes = await greeting()
  const later = async (greeting: Uint8Array, name: Uint8Array): Promise<string> => {
    await new Promise((resume) => setTimeout(resume, 5))
    return `${decode(greeting)}, ${decode(name)}, at last`
  }
  for (const metering of ["deadline", "fuel"] as const) {
    await using plugin = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet: later } }, metering })
    t.same(await Promise.all([call(plugin), call(plugin)]).then((both) => both.map(decode)), ["Hello, Ada, at last", "Hello, Ada, at last"])
    t.throws(() => plugin.callSync("run", [encode("")]), { code: "STELE-ASY-0001" })
  }
  const marked = waits(async ({ remainingMs }, greeting: Uint8Array) => `${decode(greeting)} ${remainingMs > 0}`)
  await using told = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet: marked } } })
  t.equal(decode(await call(told)), "Hello true")
  await using failing = await host.load(bytes, { grants: ["call:greet"], imports: { "extism:host/user": { greet: async () => 5 } } })
  await t.rejects(call(failing), { code: "STELE-EXT-0003" })
  await using never = await host.load(bytes, {
    grants: ["call:greet"],
    imports: { "extism:host/user": { greet: async () => new Promise(() => undefined) } },
    limits: { deadlineMs: 50 },
  })
  await t.rejects(call(never), { code: "STELE-LIM-0010" })
})

t.test("numbers pass as they are when they are no blocks", async (t) => {
  const bytes = await extismGuest({
    imports: `(import "extism:host/user" "add" (func $add (param i64 i64) (result i64))) (import "extism:host/user" "half" (func $half (param f64 i32) (result f64))) (import "extism:host/user" "note" (func $note (param i64)))`,
    body: `(call $note (i64.const 0)) (call $answer-i64 (i64.add (call $add (i64.const -5) (i64.const 7)) (i64.trunc_f64_s (call $half (f64.const 9) (i32.const 3)))))`,
  })
  const noted: Array<unknown> = []
  const imports = {
    "extism:host/user": {
      add: withNumbers((a: bigint, b: bigint) => a + b),
      half: (a: number, b: number) => a / b,
      note: (bytes: Uint8Array) => void noted.push(bytes.length),
    },
  }
  await using plugin = await host.load(bytes, { grants: ["call:*"], imports })
  t.equal(i64(await call(plugin)), 5n)
  t.same(noted, [0], "the null block is no bytes")
})

// ── HTTP ────────────────────────────────────────────────────────────────────

/** Sends the request that is its input, with a body where the input begins with one; answers with the body, else the status or the headers. */
const requesting = (answer: string, body = "(i64.const 0)"): Promise<Uint8Array> =>
  extismGuest({ data: "payload", locals: "(local $r i64)", body: `(local.set $r (call $http_request (call $input_offset) ${body})) ${answer}` })

t.test("`http_request` sends what is granted and gives status, headers and body", async (t) => {
  const asked: Array<readonly [string, string, string, string]> = []
  const http = memoryHttp((request, body) => {
    asked.push([request.method, request.url, decode(body), JSON.stringify(request.headers)])
    const { pathname } = new URL(request.url)
    if (pathname === "/moved") return { status: 302, headers: [["location", "/found"]] }
    if (pathname === "/away") return { status: 302, headers: [["location", "https://other.example.com/"]] }
    return {
      status: pathname === "/none" ? 404 : 200,
      headers: [
        ["content-type", "text/plain"],
        ["set-cookie", "a"],
        ["set-cookie", "b"],
      ],
      body: pathname === "/empty" ? "" : `from ${pathname}`,
    }
  })
  const networked = await Host.open({ cache: false, ports: { http } })
  t.teardown(() => networked.close())
  const grants = ["http:*:https://api.example.com/*"]
  const json = (path: string, more = {}): string => JSON.stringify({ url: `https://api.example.com${path}`, ...more })
  await using body = await networked.load(await requesting(`(call $answer (local.get $r))`), { grants })
  t.equal(decode(await call(body, json("/a", { method: "get", headers: { "X-One": "1" } }))), "from /a")
  t.equal(decode(await call(body, json("/none"))), "from /none", "any status is an answer")
  t.equal(decode(await call(body, json("/moved"))), "from /found", "a redirect is followed")
  t.equal(decode(await call(body, json("/empty"))), "", "an empty body is no block")
  await using post = await networked.load(await requesting(`(call $answer (local.get $r))`, `(call $block (i32.const 0) (i32.const 7))`), { grants })
  t.equal(decode(await call(post, json("/b", { method: "POST", header: { accept: "*/*" } }))), "from /b")
  t.match(asked[0], ["GET", "https://api.example.com/a", "", /"x-one","1"/])
  t.match(asked.at(-1), ["POST", "https://api.example.com/b", "payload", /accept/])
  await using status = await networked.load(await requesting(`(call $answer-i64 (i64.extend_i32_u (call $http_status_code)))`), { grants })
  t.equal(i64(await call(status, json("/none"))), 404n)
  await using headers = await networked.load(await requesting(`(call $answer (call $http_headers))`), { grants })
  t.same(JSON.parse(decode(await call(headers, json("/a")))), { "content-type": "text/plain", "set-cookie": "a,b" })
  const { usage } = await body.callWithUsage("run", [encode(json("/a"))])
  t.ok((usage.hostCalls["http:*:https://api.example.com/*"] ?? 0) >= 1, "the grant is accounted for")

  await t.rejects(call(body, JSON.stringify({ url: "https://other.example.com/" })), { code: "STELE-CAP-0004" })
  await t.rejects(call(body, json("/away")), { code: "STELE-CAP-0004" }, "nor is a redirect followed out of the grants")
  await using ungranted = await networked.load(await requesting(`(call $answer (local.get $r))`))
  const sent = asked.length
  await t.rejects(call(ungranted, json("/a")), { code: "STELE-CAP-0004", reason: { grant: "http:GET:https://api.example.com/a" } })
  t.equal(asked.length, sent, "nothing left")
  for (const bad of ["{", "[]", "{}", `{"url":5}`, json("/", { method: 5 }), json("/", { headers: [] }), json("/", { headers: { a: 1 } })])
    await t.rejects(call(body, bad), { code: "STELE-EXT-0006" }, bad)
  await t.rejects(call(body, JSON.stringify({ url: "file:///etc/passwd" })), { code: "STELE-NET-0008" })
  await t.rejects(call(body, json("/", { headers: { "bad name": "" } })), { code: "STELE-NET-0009" })
})

t.test("without a request there is no status and there are no headers", async (t) => {
  const bytes = await extismGuest({ body: `(call $answer-i64 (i64.or (call $http_headers) (i64.extend_i32_u (call $http_status_code))))` })
  await using plugin = await host.load(bytes)
  t.equal(i64(await call(plugin)), 0n)
  const peer = await createPlugin(
    { wasm: [{ data: (await extismGuest({ body: `(call $answer-i64 (i64.extend_i32_u (call $http_status_code)))` })) as Uint8Array<ArrayBuffer> }] },
    { logger: { ...console, error: () => undefined } },
  )
  t.equal(i64((await peer.call("run"))?.bytes()), 0n, "in Extism 1.0.3")
  await peer.close()
})

// ── Instances, start ────────────────────────────────────────────────────────

t.test("what makes a plugin ready runs once and first, as Extism's hosts run it", async (t) => {
  const plugin = (exports: ReadonlyArray<string>): Promise<Uint8Array> =>
    extismGuest({
      fields: `(global $log (mut i64) (i64.const 0)) ${exports
        .map(
          (name, i) =>
            `(func (export "${name}") ${name === "hs_init" ? "(param i32 i32)" : ""} (global.set $log (i64.add (i64.mul (global.get $log) (i64.const 10)) (i64.const ${i + 1}))))`,
        )
        .join(" ")}`,
      body: `(call $answer-i64 (global.get $log))`,
    })
  for (const [exports, ran] of [
    [[], 0n],
    [["_initialize"], 1n],
    [["__wasm_call_ctors"], 1n],
    [["_initialize", "__wasm_call_ctors"], 2n],
    [["_initialize", "hs_init"], 12n],
    [["hs_init", "_initialize"], 21n],
    [["hs_init", "__wasm_call_ctors"], 1n],
  ] as const) {
    await using loaded = await host.load(await plugin(exports), { instances: { reuse: "principal" } })
    t.equal(i64(await call(loaded)), ran, exports.join(", "))
    t.equal(i64(await call(loaded)), ran, "and not again")
    t.same(
      loaded.describe().exports.map(({ name }) => name),
      ["run"],
    )
  }
})

t.test("functions that Extism could not call are no exports", async (t) => {
  const bytes = await extismGuest({
    fields: `(func (export "nothing")) (func (export "takes") (param i32) (result i32) (i32.const 0)) (func (export "wide") (result i64) (i64.const 0)) (func (export "two") (result i32 i32) (i32.const 0) (i32.const 0)) (global (export "g") i32 (i32.const 0))`,
    body: "",
  })
  await using plugin = await host.load(bytes)
  const { exports } = plugin.describe()
  t.same(
    exports.map(({ name }) => name),
    ["nothing", "run"],
  )
  t.match(exports[0], { type: { params: [{ label: "input" }], result: { kind: "result" } } })
  t.equal(decode(await call(plugin, "", "nothing")), "", "no result is success")
  await t.rejects(plugin.call("run", ["text"] as never), { code: "STELE-WIT-0001", reason: { path: "args[0]" } })
  await t.rejects(plugin.call("run", [] as never), { code: "STELE-WIT-0002" })
})

t.test("a program that exits with code 0 has answered, whatever it did to its headers", async (t) => {
  const exiting = (body: string, code = 0): Promise<Uint8Array> =>
    extismGuest({
      data: "no",
      locals: "(local $a i64)",
      imports: `(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`,
      body: `${body} (call $exit (i32.const ${code}))`,
    })
  // As above: the walk to the error's block never ends, and after an exit nothing would stop it.
  const loop = `(drop (call $alloc (i64.const 5000))) (local.set $a (call $block (i32.const 0) (i32.const 2))) (call $store_u64 (i64.const 65) (i64.const 0xfffffff4_00000001)) (call $error_set (local.get $a))`
  for (const metering of ["deadline", "fuel", "yield"] as const) {
    await using echo = await host.load(await exiting(`(call $answer (call $input_offset))`), { metering })
    t.equal(decode(await call(echo, "hello")), "hello", metering)
    await using failing = await host.load(await exiting(`(call $error_set (call $block (i32.const 0) (i32.const 2)))`), { metering })
    await t.rejects(call(failing), { code: "STELE-PLG-0001", reason: { payload: "no" } })
    await using hostile = await host.load(await exiting(loop), { metering })
    await t.rejects(call(hostile), { code: "STELE-PLG-0001", reason: { payload: "no" } })
    await using other = await host.load(await exiting("", 3), { metering })
    await t.rejects(call(other), { code: "STELE-PLG-0012", reason: { status: 3 } })
  }
})

t.test("exports whose names could steer a terminal are left out", async (t) => {
  const bytes = await extismGuest({ fields: `(func (export "a\\1b[31m")) (func (export "b\\e2\\80\\ae")) (func (export "\\c3\\bc_is fine"))`, body: "" })
  await using plugin = await host.load(bytes)
  t.same(
    plugin.describe().exports.map(({ name }) => name),
    ["ü_is fine", "run"],
  )
  await t.rejects(call(plugin, "", "a\u001b[31m"), { code: "STELE-PLG-0003" })
})

t.test("the last call's bytes are gone in the next", async (t) => {
  const bytes = await extismGuest({
    locals: "(local $i i64) (local $sum i64)",
    body: `(loop $next (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $load_u8 (i64.add (i64.const 77) (local.get $i))))))
      (local.set $i (i64.add (local.get $i) (i64.const 1))) (br_if $next (i64.lt_u (local.get $i) (i64.const 4000))))
      (drop (call $input_length)) (call $answer-i64 (local.get $sum))`,
  })
  await using plugin = await host.load(bytes, { instances: { reuse: "principal" } })
  t.not(i64(await call(plugin, "x".repeat(3000))), 0n)
  t.equal(i64(await call(plugin)), 0n)
})

t.test("an import that Extism does not define is named when a plugin is loaded", async (t) => {
  for (const [text, name] of [
    [`(import "extism:host/env" "system" (func (param i64)))`, /extism:host\/env#system/],
    [`(import "extism:host/env" "alloc" (func (param i32) (result i32)))`, /alloc.*that signature/],
    [`(import "extism:host/env" "alloc" (global i32))`, /alloc/],
    [`(import "extism:host/env" "begin" (func (param i32 i32 i32 i32) (result i32)))`, /begin/],
    [`(import "extism:host/env" "memory" (memory 1))`, /memory/],
    [`(import "wasi_snapshot_preview1" "no_such" (func))`, /no_such/],
    [`(import "extism:host/user" "odd" (func (param externref)))`, /odd/],
    [`(import "extism:host/user" "table" (table 1 funcref))`, /table/],
    [`(import "tools\\1b[31m" "f" (func))`, /tools\\u\{1b\}\[31m#f/],
  ] as const)
    await t.rejects(
      host.load(await wat(`(module (import "extism:host/env" "length" (func (param i64) (result i64))) ${text})`)),
      { code: "STELE-VFY-0017", message: name },
      text,
    )
})

// ── Limits and stops ────────────────────────────────────────────────────────

t.test("an endless plugin is stopped, and the next call is answered", async (t) => {
  const endless = `(loop $l (br $l))`
  // The first block's size is now -12: the walk comes back to it.
  const inKernel = `(drop (call $alloc (i64.const 5000))) (call $store_u64 (i64.const 65) (i64.const 0xfffffff4_00000001)) (drop (call $length (i64.const 4000)))`
  const fromHost = `(drop (call $alloc (i64.const 5000))) (call $store_u64 (i64.const 65) (i64.const 0xfffffff4_00000001)) (drop (call $var_get (i64.const 4000)))`
  for (const [what, body] of [
    ["in the plugin", endless],
    ["in the kernel, whose headers it wrote", inKernel],
    ["in the kernel, which the host asks", fromHost],
  ] as const) {
    const bytes = await extismGuest({ fields: `(func (export "fine") (result i32) (call $answer-i64 (i64.const 3)) (i32.const 0))`, body })
    await using plugin = await host.load(bytes, { limits: { deadlineMs: 50 }, instances: { reuse: "principal" } })
    await t.rejects(call(plugin), { code: "STELE-LIM-0010" }, what)
    t.equal(i64(await call(plugin, "", "fine")), 3n)
    await using fuelled = await host.load(bytes, { metering: "fuel", limits: { fuel: 1_000_000, deadlineMs: 20_000 } })
    await t.rejects(call(fuelled), { code: "STELE-LIM-0009" }, what)
  }
})

t.test("the kernel's memory counts in `memoryBytesMax`", async (t) => {
  const bytes = await extismGuest({
    locals: "(local $n i64)",
    body: `(loop $next (if (i64.ne (call $alloc (i64.const 65536)) (i64.const 0)) (then (local.set $n (i64.add (local.get $n) (i64.const 1))) (br $next))))
      (call $free (i64.const 77)) (call $answer-i64 (local.get $n))`,
  })
  await using plugin = await host.load(bytes, { limits: { memoryBytesMax: 64 * 65_536 } })
  const { result, usage } = await plugin.callWithUsage("run", [encode("")])
  // One page is the plugin's own; each block takes a little more than a page.
  t.equal(i64(result), 62n)
  t.equal(usage.memoryPeakBytes, 64 * 65_536)
  await t.rejects(host.load(bytes, { limits: { memoryBytesMax: 65_536 } }), { code: "STELE-LIM-0001" })
  await t.rejects(plugin.call("run", [new Uint8Array(64 * 65_536)]), { code: "STELE-LIM-0001", reason: { limit: 64 * 65_536 } }, "input without room")
  const setting = await extismGuest({ data: "long", body: `(call $answer (call $config_get (call $block (i32.const 0) (i32.const 4))))` })
  await using full = await host.load(setting, { grants: ["config:long"], config: { long: "x".repeat(3 * 65_536) }, limits: { memoryBytesMax: 3 * 65_536 } })
  await t.rejects(call(full), { code: "STELE-LIM-0001" }, "a setting without room")
})

t.test("output and error are bounded", async (t) => {
  const bytes = await extismGuest({
    body: `(call $answer (call $alloc (i64.load (i32.const 0))))`,
    data: "\\00\\10\\00\\00\\00\\00\\00\\00",
    fields: `(func (export "fail") (result i32) (call $error_set (call $alloc (i64.load (i32.const 0)))) (i32.const 1))`,
  })
  await using plugin = await host.load(bytes, { limits: { outputBytesMax: 4095 } })
  await t.rejects(call(plugin), { code: "STELE-LIM-0004", reason: { limit: 4095, actual: 4096 } })
  await t.rejects(call(plugin, "", "fail"), { code: "STELE-LIM-0004" })
  await using enough = await host.load(bytes, { limits: { outputBytesMax: 4096 } })
  t.equal(((await call(enough)) as Uint8Array).length, 4096)
})

t.test("fuel is the same in every run", async (t) => {
  await using plugin = await host.load(await counting(), { metering: "fuel" })
  const spent = new Set<unknown>()
  for (let i = 0; i < 3; i++) spent.add((await plugin.callWithUsage("run", [encode("some input")])).usage.fuel)
  t.equal(spent.size, 1)
})

// ── Hostile plugins ─────────────────────────────────────────────────────────

t.test("offsets of no block are refused by name wherever the host reads one", async (t) => {
  for (const [name, body] of [
    ["config_get", `(drop (call $config_get (i64.const 5)))`],
    ["var_get", `(drop (call $var_get (i64.const -1)))`],
    ["var_set", `(call $var_set (i64.const 0) (i64.const 0))`],
    ["var_set", `(call $var_set (call $block (i32.const 0) (i32.const 1)) (i64.const 99))`],
    ["log_info", `(call $log_info (i64.const 0x7fffffffffffffff))`],
  ] as const) {
    await using plugin = await host.load(await extismGuest({ data: "a", body }), { grants: ["log", "config:*"] })
    const error = await call(plugin).catch((thrown: unknown) => thrown)
    t.ok(error instanceof ExtismError, String(error))
    t.match(error, { code: "STELE-EXT-0001", reason: { function: name } })
  }
  await using unreadable = await host.load(await extismGuest({ data: "\\ff", body: `(drop (call $var_get (call $block (i32.const 0) (i32.const 1))))` }))
  await t.rejects(call(unreadable), { code: "STELE-EXT-0002" })
})

t.test("a size that the plugin wrote into a header is not believed", async (t) => {
  // `used` of the first block, behind `size`: the host copies no gigabyte and reads nothing outside.
  const forged = `(local.set $a (call $alloc (i64.const 8))) (call $store_u64 (i64.sub (local.get $a) (i64.const 8)) (i64.const 0x7fffffff_00000008))`
  for (const body of [
    `${forged} (call $log_info (local.get $a))`,
    `${forged} (call $error_set (local.get $a))`,
    `${forged} (call $var_set (local.get $a) (local.get $a))`,
  ]) {
    await using plugin = await host.load(await extismGuest({ locals: "(local $a i64)", body }), { grants: ["log"] })
    await t.rejects(call(plugin), { code: "STELE-PLG-0011" })
  }
})

t.test("random calls of every function give an answer or a typed error, and no other instance's bytes", async (t) => {
  t.comment(`${replay} replays`)
  const next = random(seed)
  const names = Object.keys(signatures).filter((name) => !name.startsWith("http"))
  const marker = "another instance's own bytes"
  await using victim = await host.load(await counting(), { instances: { reuse: "principal" } })
  await victim.call("run", [encode(marker.repeat(100))])
  const value = (): string => {
    const kinds = [next(100), 60 + next(200), next(2 ** 31), 2 ** 31 + next(2 ** 31), 0]
    const small = BigInt(kinds[next(kinds.length)] as number)
    return String(next(3) === 0 ? BigInt.asIntN(64, -small - 1n) : next(6) === 0 ? BigInt.asIntN(64, (small << 32n) | small) : small)
  }
  const outcomes = new Map<string, number>()
  const rounds = isFull ? 4_000 : 150
  for (let round = 0; round < rounds; round++) {
    const steps = Array.from({ length: 1 + next(12) }, () => {
      const name = names[next(names.length)] as string
      const params = [...(signatures[name] as string).matchAll(/\(param ([^)]*)\)/g)].flatMap((match) => (match[1] as string).split(" "))
      const args = params.map((type) => {
        if (type === "i32") return `(i32.const ${next(2 ** 32) | 0})`
        return next(3) === 0 ? "(local.get $p)" : next(4) === 0 ? `(i64.add (local.get $p) (i64.const ${value()}))` : `(i64.const ${value()})`
      })
      const text = `(call $${name} ${args.join(" ")})`
      const result = /\(result (\w+)\)/.exec(signatures[name] as string)?.[1]
      return result === undefined ? text : result === "i64" ? `(local.set $p ${text})` : `(drop ${text})`
    })
    const bytes = await extismGuest({ locals: "(local $p i64)", body: `(local.set $p (call $alloc (i64.const 40))) ${steps.join("\n")}` })
    const metering = next(2) === 0 ? "deadline" : "fuel"
    await using plugin = await host.load(bytes, {
      grants: ["log", "config:*"],
      metering,
      limits: { deadlineMs: 2_000, fuel: 5_000_000, memoryBytesMax: 4 << 20, outputBytesMax: 1 << 20 },
    })
    try {
      const output = (await plugin.call("run", [encode("input")])) as Uint8Array
      if (decode(output).includes("another instance")) t.fail(`another instance's bytes in round ${round}`)
      outcomes.set("ok", (outcomes.get("ok") ?? 0) + 1)
    } catch (error) {
      if (!(error instanceof SteleError)) t.fail(`round ${round}: not typed: ${String(error)}\n${steps.join("\n")}`)
      else outcomes.set(error.code, (outcomes.get(error.code) ?? 0) + 1)
    }
    t.equal(plugin.instances, 0)
  }
  t.comment([...outcomes].map(([code, count]) => `${code} ${count}`).join(", "))
  t.ok((outcomes.get("ok") ?? 0) > rounds / 20, "many scripts end well")
  t.equal(i64(await call(victim)), 2n, "the other instance lives")
})
