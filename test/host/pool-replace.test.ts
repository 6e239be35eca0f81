/** Hot swap: a plugin's component is replaced while calls run. Each answer carries the version it ran; none may be lost or mixed. */
import t from "tap"
import { type GuestResource, Host, type Plugin, type UsageRecord } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { componentOf, guest, wat } from "./component-builder.ts"
import { isFull } from "../seed.ts"

const observer = memoryObserver({ eventsMax: 1_000_000 })

/** Set by a test: how long the admission port takes, in milliseconds. */
let askMs = (): number => 0
const admission = {
  load: async () => ({ admit: true }) as const,
  call: () => {
    const ms = askMs()
    return ms === 0 ? ({ admit: true } as const) : new Promise<{ readonly admit: true }>((done) => setTimeout(() => done({ admit: true }), ms))
  },
}
const host = await Host.open({ cache: false, ports: { observer, admission } })
t.teardown(() => host.close())

/** Answers `n × 1000 + version`, from a constant in code, one in memory and one that the start function made. */
const versioned = (version: number): Promise<Uint8Array> =>
  wat(`(module
    (memory 1) (data (i32.const 8) "\\${version.toString(16).padStart(2, "0")}") (global $made (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $made (i32.const ${version})))
    (func (export "run") (param i32) (result i32)
      (if (i32.or (i32.ne (i32.load8_u (i32.const 8)) (i32.const ${version})) (i32.ne (global.get $made) (i32.const ${version}))) (then unreachable))
      (i32.add (i32.mul (local.get 0) (i32.const 1000)) (i32.const ${version})))
    (func (export "spin") (loop (br 0)))${version === 0 ? "" : `(func (export "only-${version}"))`})`)

const usages = (): ReadonlyArray<UsageRecord> => observer.drain().flatMap((event) => (event.type === "usage" ? [event.record] : []))

t.test("a plugin answers with its new component from the moment it is replaced", async (t) => {
  await using plugin = await host.load(await versioned(1))
  const { digest } = plugin
  t.equal(await plugin.call("run", [7]), 7001)
  await plugin.replace(await versioned(2))
  t.not(plugin.digest, digest)
  t.equal(plugin.describe().digest, plugin.digest)
  t.equal(plugin.callSync("run", [7]), 7002)
  t.equal(plugin.instances, 0)
})

for (const reuse of ["never", "principal"] as const) {
  t.test(`no call is lost or mixed while the component is replaced under load (reuse: ${reuse})`, async (t) => {
    const calls = isFull ? 100_000 : 10_000
    const components = await Promise.all([1, 2, 3].map(versioned))
    await using plugin = await host.load(components[0] as Uint8Array, { instances: { reuse, max: 4, queue: 1_000 } })
    const digests = new Map<string, number>()
    let random = 12_345
    // One call in eight waits up to 3 ms between its beginning and its run.
    askMs = () => (((random = (random * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 8) % 8 === 0 ? 1 + ((random >> 12) % 3) : 0)
    usages()
    let begun = 0
    const isOver = (): boolean => begun >= calls
    let answered = 0
    let mixed = 0
    let swaps = 0
    const problems: Array<unknown> = []
    const perVersion = new Map<number, number>()
    const caller = async (): Promise<void> => {
      while (begun < calls) {
        const n = begun++
        try {
          const { result, usage } = await plugin.callWithUsage("run", [n])
          const version = (result as number) % 1000
          answered++
          if (Math.floor((result as number) / 1000) !== n || digests.get(usage.plugin) !== version) mixed++
          perVersion.set(version, (perVersion.get(version) ?? 0) + 1)
        } catch (error) {
          problems.push(error)
        }
        if (n % 16 === 0) await new Promise((next) => setTimeout(next, 0))
      }
    }
    digests.set(plugin.digest, 1)
    // Known before they serve: a call may begin the moment the replacement is done.
    for (const [at, bytes] of components.entries()) {
      const probe = await host.load(bytes)
      digests.set(probe.digest, at + 1)
      await probe.close()
    }
    const swapper = async (): Promise<void> => {
      for (let at = 1; !isOver(); at++) {
        await plugin.replace(components[at % 3] as Uint8Array)
        swaps++
        await new Promise((next) => setTimeout(next, 2))
      }
    }
    await Promise.all([...Array.from({ length: 64 }, caller), swapper()])
    askMs = () => 0
    t.same(problems, [])
    t.equal(answered, calls, "every call has an answer")
    t.equal(mixed, 0, "and it is its own, of one version, under that version's digest")
    t.ok(swaps >= 10, `${swaps} replacements, ${[...perVersion].map(([version, count]) => `${count} of version ${version}`).join(", ")}`)
    t.equal(perVersion.size, 3)
    await new Promise((next) => setTimeout(next, 10))
    t.ok(plugin.instances <= (reuse === "never" ? 0 : 4), "no instance of an old component is kept")
  })
}

t.test("a call that began before ends on the old component when the plugin is replaced meanwhile", async (t) => {
  await using plugin = await host.load(await versioned(1))
  const { digest } = plugin
  askMs = () => 30
  const slow = plugin.callWithUsage("run", [1])
  askMs = () => 0
  await plugin.replace(await versioned(2))
  t.equal(await plugin.call("run", [2]), 2002, "a later one is answered before")
  const { result, usage } = await slow
  t.equal(result, 1001)
  t.equal(usage.plugin, digest)
})

t.test("a call that never ends on the old component meets its deadline", async (t) => {
  await using plugin = await host.load(await versioned(1))
  askMs = () => 5
  const endless = t.rejects(plugin.call("spin", [], { deadlineMs: 40 }), { code: "STELE-LIM-0010" })
  askMs = () => 0
  await plugin.replace(await versioned(2))
  await endless
  t.equal(plugin.callSync("run", [2]), 2002)
})

t.test("replacing from inside a call leaves that call on its component", async (t) => {
  const component = (version: number) =>
    guest({
      core: `(import "host" "hook" (func $hook)) (func (export "run") (result u32) (call $hook) (i32.const ${version}))`.replace("u32", "i32"),
      imports: { hook: "" },
      exports: { run: "(result u32)" },
    })
  let swapped: Promise<void> | undefined
  const two = await component(2)
  const hook = (): void => {
    swapped ??= plugin.replace(two)
  }
  const plugin: Plugin = await host.load(await component(1), { imports: { hook: hook as never } })
  t.equal(plugin.callSync("run", []), 1)
  await swapped
  t.equal(plugin.callSync("run", []), 2, "the embedder's own imports are given again")
  await plugin.close()
})

const canSuspend = "Suspending" in WebAssembly
t.test("suspended calls end on the old component while new ones are answered", { skip: canSuspend ? false : "this engine suspends no guest" }, async (t) => {
  const component = (version: number) =>
    guest({
      core: `(import "host" "hook" (func $hook (result i32)))
        (func (export "run") (param i32) (result i32) (i32.add (i32.mul (i32.add (local.get 0) (call $hook)) (i32.const 10)) (i32.const ${version})))`,
      imports: { hook: "(result u32)" },
      exports: { run: `(param "n" u32) (result u32)` },
    })
  let release: () => void = () => undefined
  let waitsFor: Promise<void> = new Promise((done) => (release = done))
  const hook = async (): Promise<number> => {
    await waitsFor
    return 0
  }
  await using plugin = await host.load(await component(1), { imports: { hook: hook as never }, instances: { max: 8, queue: 100 } })
  const { digest } = plugin
  // Eight are suspended, the rest wait for their instances.
  const old = Array.from({ length: 50 }, (_, n) => plugin.callWithUsage("run", [n]))
  const late = plugin.call("run", [1_000], { deadlineMs: 60 })
  const gone = t.rejects(late, { code: "STELE-LIM-0010" })
  await new Promise((next) => setTimeout(next, 10))
  await plugin.replace(await component(2))
  const young = plugin.callWithUsage("run", [77])
  await gone
  t.match(plugin.pool, { live: 9, waiting: 42 })
  release()
  waitsFor = Promise.resolve()
  t.match(await young, { result: 772, usage: { plugin: plugin.digest } })
  for (const [n, each] of (await Promise.all(old)).entries()) t.match(each, { result: n * 10 + 1, usage: { plugin: digest } })
  await new Promise((next) => setTimeout(next, 1))
  t.match(plugin.pool, { live: 0, waiting: 0 })
})

t.test("a component that fails to load leaves the old one serving", async (t) => {
  await using plugin = await host.load(await versioned(1))
  await t.rejects(plugin.replace(Uint8Array.of(1, 2, 3)), { code: "STELE-VFY-0001" })
  await t.rejects(plugin.replace("/no/such/file.wasm"), { code: "STELE-PLG-0008" })
  const asks = await guest({ core: `(func (export "run") (param i32) (result i32) (i32.const 0))`, head: "", exports: { run: `(param "n" u32) (result u32)` } })
  t.equal(plugin.callSync("run", [1]), 1001)
  await t.rejects(plugin.replace(asks), { code: "STELE-POL-0003", reason: { changed: ['"run"'] } }, "a foreign ABI's numbers are signed")
  await t.rejects(plugin.replace(await versioned(2), { tenant: "other" } as never), { code: "STELE-CFG-0001" }, "the tenant stays")
  await t.rejects(plugin.replace(await versioned(2), { exports: "some" as never }), { code: "STELE-CFG-0002" })
  t.equal(plugin.callSync("run", [3]), 3001)
})

t.test("exports in use must keep their types, unless every caller knows", async (t) => {
  const one = await wat(
    `(module (func (export "a") (result i32) (i32.const 1)) (func (export "b") (result i32) (i32.const 1)) (func (export "c") (result i32) (i32.const 1)))`,
  )
  const two = await wat(`(module (func (export "a") (result i32) (i32.const 2)) (func (export "b") (result f64) (f64.const 2)))`)
  await using plugin = await host.load(one)
  t.equal(plugin.callSync("a", []), 1)
  await t.rejects(plugin.replace(two, { exports: "all" }), { code: "STELE-POL-0003", reason: { missing: ['"c"'], changed: ['"b"'] } })
  plugin.callSync("b", [])
  await t.rejects(plugin.replace(two), { code: "STELE-POL-0003", reason: { missing: [], changed: ['"b"'] } })
  plugin.callSync("c", [])
  await t.rejects(plugin.replace(two), {
    message: 'Cannot replace the plugin: the new component lacks "c" and has another type for "b"',
    reason: { missing: ['"c"'] },
  })
  t.equal(plugin.callSync("b", []), 1)
  await plugin.replace(two, { exports: "any" })
  t.equal(plugin.callSync("b", []), 2)
  t.throws(() => plugin.callSync("c", []), { code: "STELE-PLG-0003" })
})

t.test("a second replacement during the first is refused, and a closed plugin is not replaced", async (t) => {
  const plugin = await host.load(await versioned(1))
  const [two, three] = [await versioned(2), await versioned(3)]
  const first = plugin.replace(two)
  await t.rejects(plugin.replace(three), { code: "STELE-POL-0002", isRetryable: true })
  await first
  await plugin.replace(three)
  t.equal(plugin.callSync("run", [0]), 3)
  const last = plugin.replace(two)
  await plugin.close()
  await t.rejects(last, { code: "STELE-PLG-0006" })
  await t.rejects(plugin.replace(two), { code: "STELE-PLG-0006" })
})

t.test("grants stay as they are at the moment of replacement", async (t) => {
  await using plugin = await host.load(await versioned(1), { grants: ["log", "kv:read:a/*"] })
  plugin.revoke("kv:read:a/secret")
  const replacing = plugin.replace(await versioned(2))
  plugin.revoke("log")
  await replacing
  const { granted, revoked } = plugin.describe().grants
  t.same(granted, ["kv:read:a/*"])
  t.same(revoked, ["kv:read:a/secret"])
  await plugin.replace(await versioned(3), { grants: ["log"] })
  t.same(plugin.describe().grants.granted, ["log"], "unless others are given")
})

t.test("a revocation reaches calls that still run on the old component", async (t) => {
  await using plugin = await host.load(await versioned(1), { grants: ["log"] })
  askMs = () => 20
  const slow = plugin.call("run", [1])
  askMs = () => 0
  await plugin.replace(await versioned(2))
  observer.drain()
  t.equal(plugin.revoke("log"), true)
  t.same(
    observer.drain().map((event) => event.type),
    ["grant", "grant"],
    "both are told",
  )
  await slow
})

t.test("resources that the embedder holds stay on the old component until they are dropped", async (t) => {
  const counters = (step: number) =>
    componentOf(
      `package test:swap;
      interface counters { resource counter { constructor(start: u32); increment: func() -> u32; } version: func() -> u32; }
      world w { export counters; }`,
      `(module
        (import "[export]test:swap/counters" "[resource-new]counter" (func $new (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "test:swap/counters#[constructor]counter") (param i32) (result i32) (i32.store (i32.const 8) (local.get 0)) (call $new (i32.const 8)))
        (func (export "test:swap/counters#[method]counter.increment") (param i32) (result i32)
          (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const ${step}))) (i32.load (local.get 0)))
        (func (export "test:swap/counters#version") (result i32) (i32.const ${step})))`,
    )
  await using plugin = await host.load(await counters(1))
  const call = (name: string, ...args: ReadonlyArray<unknown>) => plugin.callSync(`test:swap/counters#${name}`, args as never)
  const old = call("[constructor]counter", 10) as GuestResource
  t.equal(call("[method]counter.increment", old), 11)
  await plugin.replace(await counters(100))
  t.equal(call("version"), 100)
  t.equal(call("[method]counter.increment", old), 12, "the old resource counts in old steps")
  const young = call("[constructor]counter", 10) as GuestResource
  t.equal(call("[method]counter.increment", young), 110)
  t.equal(plugin.instances, 2)
  old[Symbol.dispose]()
  t.equal(plugin.instances, 1, "its instance went with it")
  young[Symbol.dispose]()
  t.equal(plugin.instances, 0)
  const last = call("[constructor]counter", 1) as GuestResource
  await plugin.replace(await counters(1000))
  await plugin.close()
  t.equal(last.isLive, false, "closing ends old ones too")
})
