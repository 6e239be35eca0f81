/** Back-pressure: calls that wait for an instance, in what order they are served and how they are refused. */
import t from "tap"
import { type GuestResource, Host, type PluginError } from "../../host/mod.ts"
import { WaitQueue } from "../../host/pool/queue.ts"
import { componentOf, guest } from "./component-builder.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

const nowMs = (): number => performance.now()
const call = (tenant: string, more: Partial<{ deadlineAtMs: number; deadlineMs: number; signal: AbortSignal }> = {}) => ({
  tenant,
  export: "run",
  deadlineAtMs: Infinity,
  deadlineMs: Infinity,
  signal: undefined,
  ...more,
})

// ── The queue ───────────────────────────────────────────────────────────────

t.test("`wait()` is served in the order of coming when one tenant waits", async (t) => {
  const queue = new WaitQueue<number>(10, nowMs)
  const served: Array<string> = []
  const all = ["a", "b", "c"].map((name) => queue.wait(call("t")).then((value) => served.push(`${name}${value}`)))
  t.equal(queue.length, 3)
  for (let i = 0; i < 3; i++) t.equal(queue.give(i), true)
  t.equal(queue.give(9), false)
  await Promise.all(all)
  t.same(served, ["a0", "b1", "c2"])
  t.equal(queue.length, 0)
})

t.test("tenants are served in turn, however many calls of one wait", async (t) => {
  const queue = new WaitQueue<void>(100, nowMs)
  const served: Array<string> = []
  const wait = (tenant: string) => void queue.wait(call(tenant)).then(() => served.push(tenant))
  for (let i = 0; i < 5; i++) wait("loud")
  wait("quiet")
  wait("other")
  wait("quiet")
  while (queue.give(undefined)) await Promise.resolve()
  await new Promise((next) => setTimeout(next, 0))
  t.same(served, ["loud", "quiet", "other", "loud", "quiet", "loud", "loud", "loud"])
})

t.test("a tenant that fills its part of the queue is refused, and no other", async (t) => {
  const queue = new WaitQueue<void>(2, nowMs)
  const waiting = [queue.wait(call("a")), queue.wait(call("a"))]
  await t.rejects(queue.wait(call("a")), { code: "STELE-POL-0001", isRetryable: true, status: 503, reason: { export: "run", limit: 2 } })
  const other = queue.wait(call("b"))
  t.equal(queue.length, 3)
  t.equal(queue.give(undefined, "b"), true, "what is only for one tenant goes to it")
  t.equal(queue.give(undefined, "b"), false)
  await other
  while (queue.give(undefined));
  await Promise.all(waiting)
})

t.test("waiting ends at the deadline, by the signal and when the queue closes, and leaves the place free", async (t) => {
  const queue = new WaitQueue<number>(10, nowMs)
  const abort = new AbortController()
  const late = queue.wait(call("a", { deadlineAtMs: nowMs() + 15, deadlineMs: 15 }))
  const aborted = queue.wait(call("a", { signal: abort.signal }))
  const last = queue.wait(call("a"))
  await t.rejects(late, { code: "STELE-LIM-0010", reason: { limit: 15 } })
  abort.abort()
  await t.rejects(aborted, { code: "STELE-PLG-0005" })
  t.equal(queue.length, 1)
  t.equal(queue.give(7), true)
  t.equal(await last, 7, "who left is not served")
  const closed = [queue.wait(call("a")), queue.wait(call("b"))]
  queue.close()
  for (const each of closed) await t.rejects(each, { code: "STELE-PLG-0006" })
  t.equal(queue.length, 0)
})

// ── Calls ───────────────────────────────────────────────────────────────────

const holders = (): Promise<Uint8Array> =>
  componentOf(
    `package test:hold;
    interface api { resource thing { constructor(); } number: func() -> u32; trap: func(); }
    world w { export api; }`,
    `(module
      (import "[export]test:hold/api" "[resource-new]thing" (func $new (param i32) (result i32)))
      (func (export "test:hold/api#[constructor]thing") (result i32) (call $new (i32.const 8)))
      (func (export "test:hold/api#number") (result i32) (i32.const 42))
      (func (export "test:hold/api#trap") unreachable))`,
  )

t.test("`call()` waits for an instance when all are held, and `callSync()` does not", async (t) => {
  await using plugin = await host.load(await holders(), { instances: { max: 2, queue: 3 } })
  const make = () => plugin.callSync("test:hold/api#[constructor]thing", []) as unknown as GuestResource
  const held = [make(), make()]
  t.throws(() => plugin.callSync("test:hold/api#number", []), { code: "STELE-PLG-0004" })
  const order: Array<number> = []
  const waiting = [1, 2, 3].map((n) => plugin.callWithUsage("test:hold/api#number", []).then(({ result }) => order.push(n) && result))
  await new Promise((next) => setTimeout(next, 20))
  await t.rejects(plugin.call("test:hold/api#number", []), { code: "STELE-POL-0001", reason: { limit: 3 } })
  t.same(order, [])
  held[0]?.[Symbol.dispose]()
  t.same(await Promise.all(waiting), [42, 42, 42])
  t.same(order, [1, 2, 3])
  t.equal(plugin.instances, 1)
  t.equal(plugin.callSync("test:hold/api#number", []), 42)
  held[1]?.[Symbol.dispose]()
  t.equal(plugin.instances, 0)
})

t.test("a waiting call meets its deadline, hears its signal, and is refused when the plugin closes", async (t) => {
  const plugin = await host.load(await holders(), { instances: { max: 1 } })
  const held = plugin.callSync("test:hold/api#[constructor]thing", []) as unknown as GuestResource
  const beganMs = nowMs()
  await t.rejects(plugin.call("test:hold/api#number", [], { deadlineMs: 30 }), { code: "STELE-LIM-0010", reason: { limit: 30 } })
  t.ok(nowMs() - beganMs < 5_000)
  const abort = new AbortController()
  const aborted = plugin.call("test:hold/api#number", [], { signal: abort.signal })
  await new Promise((next) => setTimeout(next, 1))
  abort.abort()
  await t.rejects(aborted, { code: "STELE-PLG-0005" })
  const refused = plugin.call("test:hold/api#number", [])
  await new Promise((next) => setTimeout(next, 1))
  await plugin.close()
  await t.rejects(refused, { code: "STELE-PLG-0006" })
  t.equal(held.isLive, false)
  t.equal(plugin.instances, 0)
})

t.test("an instance that fails makes room for a call that waits", async (t) => {
  await using plugin = await host.load(await holders(), { instances: { max: 1 } })
  const held = plugin.callSync("test:hold/api#[constructor]thing", []) as unknown as GuestResource
  const answers = Promise.allSettled(["trap", "number", "trap", "number"].map((name) => plugin.call(`test:hold/api#${name}`, [])))
  await new Promise((next) => setTimeout(next, 1))
  held[Symbol.dispose]()
  t.same(
    (await answers).map((each) => (each.status === "fulfilled" ? each.value : (each.reason as PluginError).code)),
    ["STELE-PLG-0002", 42, "STELE-PLG-0002", 42],
  )
})

t.test("a call from a host function waits until the outer one has given its instance back", async (t) => {
  const component = await guest({
    core: `(import "host" "hook" (func $hook)) (global $n (mut i32) (i32.const 0))
      (func (export "outer") (result i32) (call $hook) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
      (func (export "inner") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 10))) (global.get $n))`,
    imports: { hook: "" },
    exports: { outer: "(result u32)", inner: "(result u32)" },
  })
  let inner: Promise<unknown> | undefined
  const hook = (): void => {
    t.throws(() => plugin.callSync("inner", []), { code: "STELE-PLG-0004" })
    inner = plugin.call("inner", [])
  }
  const plugin = await host.load(component, { imports: { hook: hook as never }, instances: { reuse: "principal" } })
  t.equal(await plugin.call("outer", []), 1)
  t.equal(await inner, 11)
  await plugin.close()
})

t.test("`instances.queue` of 0 lets no call wait, and what is no count is refused", async (t) => {
  await using plugin = await host.load(await holders(), { instances: { max: 1, queue: 0 } })
  const held = plugin.callSync("test:hold/api#[constructor]thing", []) as unknown as GuestResource
  await t.rejects(plugin.call("test:hold/api#number", []), { code: "STELE-POL-0001", reason: { limit: 0 } })
  held[Symbol.dispose]()
  t.equal(await plugin.call("test:hold/api#number", []), 42)
  for (const queue of [-1, 1.5, "9" as never, 100_001]) await t.rejects(host.load(await holders(), { instances: { queue } }), { code: "STELE-CFG-0002" })
})
