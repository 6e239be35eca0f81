/** Resources in both directions: those a guest implements, held by the embedder, and those the embedder implements, held by guests. */
import t from "tap"
import { GuestResource, Host, type LoadOptions, type Plugin } from "../../host/mod.ts"
import { componentOf } from "./component-builder.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

/** Counters live in memory; slot n is at 8 n and holds the value. The destructor counts. */
const counters = (): Promise<Uint8Array> =>
  componentOf(
    `package test:res;
    interface counters {
      resource counter { constructor(start: u32); increment: func(by: u32) -> u32; merge: static func(a: counter, b: counter) -> counter; }
      peek: func(c: borrow<counter>) -> u32;
      sum: func(all: list<borrow<counter>>) -> u32;
      destroyed: func() -> u32;
      fail: func(c: borrow<counter>);
      maybe: func(start: option<u32>) -> result<counter, string>;
    }
    world w { export counters; }`,
    `(module
      (import "[export]test:res/counters" "[resource-new]counter" (func $new (param i32) (result i32)))
      (import "[export]test:res/counters" "[resource-rep]counter" (func $rep (param i32) (result i32)))
      (import "[export]test:res/counters" "[resource-drop]counter" (func $drop (param i32)))
      (memory (export "memory") 1) (global $next (mut i32) (i32.const 64)) (global $dead (mut i32) (i32.const 0))
      (data (i32.const 16) "none")
      (func $make (param i32) (result i32) (local $at i32)
        (local.set $at (global.get $next)) (global.set $next (i32.add (local.get $at) (i32.const 8)))
        (i32.store (local.get $at) (local.get 0)) (call $new (local.get $at)))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 32768))
      (func (export "test:res/counters#[constructor]counter") (param i32) (result i32) (call $make (local.get 0)))
      (func (export "test:res/counters#[method]counter.increment") (param i32 i32) (result i32)
        (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (local.get 1))) (i32.load (local.get 0)))
      (func (export "test:res/counters#[static]counter.merge") (param i32 i32) (result i32) (local $sum i32)
        (local.set $sum (i32.add (i32.load (call $rep (local.get 0))) (i32.load (call $rep (local.get 1)))))
        (call $drop (local.get 0)) (call $drop (local.get 1)) (call $make (local.get $sum)))
      (func (export "test:res/counters#peek") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "test:res/counters#sum") (param i32 i32) (result i32) (local $sum i32)
        (block $end (loop $l (br_if $end (i32.eqz (local.get 1)))
          (local.set $sum (i32.add (local.get $sum) (i32.load (i32.load (local.get 0)))))
          (local.set 0 (i32.add (local.get 0) (i32.const 4))) (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br $l)))
        (local.get $sum))
      (func (export "test:res/counters#destroyed") (result i32) (global.get $dead))
      (func (export "test:res/counters#fail") (param i32) unreachable)
      (func (export "test:res/counters#maybe") (param i32 i32) (result i32)
        (if (local.get 0) (then (i32.store8 (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (call $make (local.get 1))))
          (else (i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 16)) (i32.store (i32.const 8) (i32.const 4))))
        (i32.const 0))
      (func (export "test:res/counters#[dtor]counter") (param i32) (i32.store (local.get 0) (i32.const -1)) (global.set $dead (i32.add (global.get $dead) (i32.const 1)))))`,
  )

const load = async (
  t: { readonly teardown: (close: () => Promise<void>) => void },
  options: LoadOptions = {},
): Promise<{ readonly plugin: Plugin; readonly call: (name: string, ...args: ReadonlyArray<unknown>) => unknown }> => {
  const plugin = await host.load(await counters(), options)
  t.teardown(() => plugin.close())
  return { plugin, call: (name, ...args) => plugin.callSync(`test:res/counters#${name}`, args as never) }
}

// ── Resources a guest implements ────────────────────────────────────────────

t.test("a guest's resource keeps its instance and its state when methods are called on it", async (t) => {
  const { plugin, call } = await load(t)
  const counter = call("[constructor]counter", 5) as GuestResource
  t.ok(counter instanceof GuestResource)
  t.equal(counter.type.name?.name, "counter")
  t.equal(plugin.instances, 1, "its instance stays though instances are not reused")
  t.equal(call("[method]counter.increment", counter, 3), 8)
  t.equal(call("[method]counter.increment", counter, 1), 9)
  t.equal(call("peek", counter), 9)
  counter[Symbol.dispose]()
  t.equal(plugin.instances, 0, "and goes with its last resource")
})

t.test("a guest's destructor runs once when its resource is disposed of twice", async (t) => {
  const { call } = await load(t, { instances: { reuse: "principal" } })
  const counter = call("[constructor]counter", 5) as GuestResource
  t.equal(call("destroyed"), 0)
  counter[Symbol.dispose]()
  counter[Symbol.dispose]()
  t.equal(call("destroyed"), 1)
  t.equal(counter.isLive, false)
  t.throws(() => call("peek", counter), { code: "STELE-WIT-0001", message: /dropped or given away/ })
  t.equal(call("destroyed"), 1, "the refused call left the instance as it was")
})

t.test("a guest's resource cannot be used any more when it was given away", async (t) => {
  const { call } = await load(t, { instances: { reuse: "principal" } })
  const a = call("[constructor]counter", 1) as GuestResource
  const b = call("[constructor]counter", 2) as GuestResource
  const merged = call("[static]counter.merge", a, b) as GuestResource
  t.equal(call("peek", merged), 3)
  t.equal(call("destroyed"), 2)
  t.throws(() => call("peek", a), { code: "STELE-WIT-0001" })
  t.throws(() => call("[static]counter.merge", b, merged), { code: "STELE-WIT-0001" })
  t.equal(call("peek", merged), 3, "a call refused at its first handle takes nothing")
  t.throws(() => call("[static]counter.merge", merged, merged), { code: "STELE-WIT-0001" }, "one resource is not two")
  t.equal(merged.isLive, false, "a call refused after it gave a handle discards the instance")
})

t.test("a guest's resource is refused when another instance or plugin is called with it", async (t) => {
  const { call } = await load(t)
  const other = await load(t)
  const counter = call("[constructor]counter", 5) as GuestResource
  const stranger = call("[constructor]counter", 6) as GuestResource
  t.throws(() => other.call("peek", counter), { code: "STELE-WIT-0001" })
  t.throws(() => call("[static]counter.merge", stranger, counter), { code: "STELE-WIT-0001" })
  for (const value of [undefined, null, 1, "counter", {}, { rep: 64 }, Object.create(GuestResource.prototype)])
    t.throws(() => call("peek", value), { code: "STELE-WIT-0001" })
  t.equal(call("peek", counter), 5)
})

t.test("a guest's resources die with their instance when it traps", async (t) => {
  const { plugin, call } = await load(t)
  const counter = call("[constructor]counter", 5) as GuestResource
  t.throws(() => call("fail", counter), { code: "STELE-PLG-0002" })
  t.equal(counter.isLive, false)
  t.throws(() => call("peek", counter), { code: "STELE-WIT-0001" })
  t.doesNotThrow(() => counter[Symbol.dispose](), "there is nothing left to dispose of")
  t.equal(plugin.instances, 0)
})

t.test("a guest's resources die with their plugin when it is closed", async (t) => {
  const { plugin, call } = await load(t)
  const counter = call("[constructor]counter", 5) as GuestResource
  await plugin.close()
  t.equal(counter.isLive, false)
  t.doesNotThrow(() => counter[Symbol.dispose]())
  t.throws(() => call("peek", counter), { code: "STELE-PLG-0006" })
  t.equal(plugin.instances, 0)
})

t.test("a resource inside a `result` is handed out when the call succeeds and its error thrown when not", async (t) => {
  const { call } = await load(t)
  t.equal(call("peek", call("maybe", 7)), 7)
  t.throws(() => call("maybe", undefined), { code: "STELE-PLG-0001", reason: { payload: "none" } })
})

t.test("handles inside a list reach their instance when all live in one", async (t) => {
  const { call } = await load(t, { instances: { reuse: "principal" } })
  const all = [1, 2, 3].map((start) => call("[constructor]counter", start))
  t.equal(call("sum", all), 6)
})

// ── Resources the embedder implements ───────────────────────────────────────

const things = (): Promise<Uint8Array> =>
  componentOf(
    `package test:res;
    interface things {
      resource thing { constructor(n: u32); get: func() -> u32; twin: func() -> thing; made: static func() -> u32; }
      take: func(t: thing) -> u32;
      look: func(t: borrow<thing>) -> u32;
    }
    world h {
      import things;
      use things.{thing};
      export use-all: func() -> u32;
      export give: func() -> thing;
      export back: func(t: thing) -> thing;
      export lend: func(t: borrow<thing>) -> u32;
      export leave: func();
      export then-trap: func();
      export drop-lent: func();
    }`,
    `(module
      (import "test:res/things" "[constructor]thing" (func $make (param i32) (result i32)))
      (import "test:res/things" "[method]thing.get" (func $get (param i32) (result i32)))
      (import "test:res/things" "[method]thing.twin" (func $twin (param i32) (result i32)))
      (import "test:res/things" "[static]thing.made" (func $made (result i32)))
      (import "test:res/things" "take" (func $take (param i32) (result i32)))
      (import "test:res/things" "look" (func $look (param i32) (result i32)))
      (import "test:res/things" "[resource-drop]thing" (func $drop (param i32)))
      (func (export "use-all") (result i32) (local $a i32) (local $b i32) (local $sum i32)
        (local.set $a (call $make (i32.const 10))) (local.set $b (call $twin (local.get $a)))
        (local.set $sum (i32.add (call $get (local.get $a)) (call $look (local.get $b))))
        (local.set $sum (i32.add (local.get $sum) (i32.mul (i32.const 1000) (call $made))))
        (call $drop (local.get $a))
        (i32.add (local.get $sum) (call $take (local.get $b))))
      (func (export "give") (result i32) (call $make (i32.const 3)))
      (func (export "back") (param i32) (result i32) (local.get 0))
      (func (export "lend") (param i32) (result i32) (call $look (local.get 0)) (call $drop (local.get 0)))
      (func (export "leave") (drop (call $make (i32.const 1))) (drop (call $make (i32.const 2))))
      (func (export "then-trap") (drop (call $make (i32.const 1))) unreachable)
      (func (export "drop-lent") (local $a i32) (local.set $a (call $make (i32.const 1))) (drop (call $look (local.get $a))) (call $drop (local.get $a)) (drop (call $look (local.get $a)))))`,
  )

function stage() {
  let made = 0
  const disposed: Array<number> = []
  class Thing {
    readonly n: number
    constructor(n: number) {
      this.n = n
      made++
    }
    get(): number {
      return this.n
    }
    twin(): Thing {
      return new Thing(this.n + 1)
    }
    static made(): number {
      return made
    }
    [Symbol.dispose](): void {
      disposed.push(this.n)
    }
  }
  return { Thing, disposed, imports: { "test:res/things": { Thing, take: (thing: Thing) => thing.n, look: (thing: Thing) => thing.n } } }
}

t.test("an embedder's class serves a resource when a guest makes, uses, gives and drops it", async (t) => {
  const { imports, disposed, Thing } = stage()
  const plugin = await host.load(await things(), { imports })
  t.teardown(() => plugin.close())
  // 10 + 11, two made, and the twin given away.
  t.equal(await plugin.call("use-all", [] as never), 10 + 11 + 2_000 + 11)
  t.same(disposed, [10], "what was given away is the embedder's again, and not disposed of")
  const given: unknown = await plugin.call("give", [] as never)
  t.ok(given instanceof Thing)
  t.equal((given as InstanceType<typeof Thing>).n, 3)
  t.equal(await plugin.call("back", [given] as never), given, "it is the same object")
  t.equal(await plugin.call("lend", [given] as never), 3)
  t.same(disposed, [10], "a lent object is not disposed of by its borrower")
})

t.test("an embedder's resources are released once when a guest leaves them, traps, or uses them after dropping", async (t) => {
  const { imports, disposed } = stage()
  const plugin = await host.load(await things(), { imports })
  await plugin.call("leave", [] as never)
  t.same(
    disposed.splice(0).sort((a, b) => a - b),
    [1, 2],
  )
  await t.rejects(plugin.call("then-trap", [] as never), { code: "STELE-PLG-0002" })
  t.same(disposed.splice(0), [1])
  await t.rejects(plugin.call("drop-lent", [] as never), { code: "STELE-PLG-0011" })
  t.same(disposed.splice(0), [1])
  await plugin.close()
  t.same(disposed, [])
})

t.test("an embedder's resources stay with a kept instance when instances are reused, and are released when it is closed", async (t) => {
  const { imports, disposed } = stage()
  const plugin = await host.load(await things(), { imports, instances: { reuse: "principal" } })
  await plugin.call("leave", [] as never)
  await plugin.call("leave", [] as never)
  t.same(disposed, [])
  await plugin.close()
  t.same(
    disposed.sort((a, b) => a - b),
    [1, 1, 2, 2],
  )
})

t.test("a call is refused when a resource of the embedder is no object", async (t) => {
  const { imports } = stage()
  const plugin = await host.load(await things(), { imports })
  t.teardown(() => plugin.close())
  for (const value of [undefined, null, 1, "thing", Symbol("thing")]) await t.rejects(plugin.call("lend", [value] as never), { code: "STELE-WIT-0001" })
})
