/** What embedders' values and functions can do in the middle of a call, and what guests can make the host keep. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import t from "tap"
import { cut } from "../../host/capability/serve.ts"
import { PreparedCache } from "../../host/link/prepare.ts"
import { type GuestResource, Host, type LoadOptions, type Plugin, SteleError } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { bumpAllocator, guest, wat } from "./component-builder.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

const codeOf = (act: () => unknown): unknown => {
  try {
    return act()
  } catch (error) {
    return error instanceof SteleError ? error.code : `untyped ${String(error)}`
  }
}
type Call = (name: string, ...args: ReadonlyArray<unknown>) => unknown
const load = async (bytes: Uint8Array, options: LoadOptions = {}): Promise<{ readonly plugin: Plugin; readonly call: Call }> => {
  const plugin = await host.load(bytes, options)
  t.teardown(() => plugin.close())
  return { plugin, call: (name, ...args) => plugin.callSync(name, args as never) }
}

// ── Guest resources let go of in the middle of a call ───────────────────────

/** `r` counts its destructors, which also grow the memory; `visit` calls the host between two reads of the count. */
const owner = (dtor = ""): Promise<Uint8Array> =>
  wat(`(component
    (import "hook" (func $hook))
    (core module $d ${bumpAllocator(1)} (global $dead (mut i32) (i32.const 0)) (func (export "dead") (result i32) (global.get $dead))
      (func (export "dtor") (param i32) ${dtor} (drop (memory.grow (i32.const 1))) (global.set $dead (i32.add (global.get $dead) (i32.const 1)))))
    (core instance $d (instantiate $d))
    (alias core export $d "dtor" (core func $dtor)) (alias core export $d "dead" (core func $dead)) (alias core export $d "memory" (core memory $memory)) (alias core export $d "realloc" (core func $realloc))
    (type $r (resource (rep i32) (dtor (core func $dtor))))
    (export $re "r" (type $r))
    (core func $new (canon resource.new $r)) (core func $hooked (canon lower (func $hook)))
    (core instance $env (export "new" (func $new)) (export "hook" (func $hooked)) (export "dead" (func $dead)))
    (core module $m (import "env" "new" (func $new (param i32) (result i32))) (import "env" "hook" (func $hook)) (import "env" "dead" (func $dead (result i32)))
      (func (export "make") (result i32) (call $new (i32.const 7)))
      (func (export "visit") (param i32) (result i32) (local $before i32) (local.set $before (call $dead)) (call $hook) (i32.sub (call $dead) (local.get $before)))
      (func (export "text") (param i32 i32) (result i32) (local.get 1))
      (func (export "both") (param i32 i32) (result i32) (i32.const 1)))
    (core instance $i (instantiate $m (with "env" (instance $env))))
    (func (export "make") (result (own $re)) (canon lift (core func $i "make")))
    (func (export "visit") (param "r" (borrow $re)) (result u32) (canon lift (core func $i "visit")))
    (func (export "text") (param "t" string) (result u32) (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))
    (func (export "both") (param "a" (borrow $re)) (param "b" (own $re)) (result u32) (canon lift (core func $i "both")))
    (func (export "dead") (result u32) (canon lift (core func $d "dead"))))`)

const principal = { instances: { reuse: "principal" } } as const

t.test("`GuestResource` waits for the end of the call when a host function disposes of it while it is lent", async (t) => {
  let hook = (): void => undefined
  const { call } = await load(await owner(), { ...principal, imports: { hook: (() => hook()) as never } })
  const resource = call("make") as GuestResource
  hook = () => resource[Symbol.dispose]()
  t.equal(call("visit", resource), 0, "the guest that works with it does not see it destroyed")
  t.equal(call("dead"), 1, "it is destroyed once, before the call has ended")
  t.notOk(resource.isLive)
})

t.test("`GuestResource` leaves lowering alone when a getter of an argument disposes of it", async (t) => {
  const { call } = await load(
    await wat(`(component
      (core module $d (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)) (func (export "dtor") (param i32) (drop (memory.grow (i32.const 1))))
        (func (export "sum") (param i32 i32) (result i32) (i32.add (i32.load8_u (local.get 0)) (i32.load8_u (i32.add (local.get 0) (i32.const 1))))))
      (core instance $d (instantiate $d)) (alias core export $d "dtor" (core func $dtor))
      (type $r (resource (rep i32) (dtor (core func $dtor)))) (export $re "r" (type $r)) (core func $new (canon resource.new $r)) (core instance $res (export "new" (func $new)))
      (type $pair (record (field "a" u8) (field "b" u8))) (export $pe "pair" (type $pair))
      (core module $m (import "res" "new" (func $new (param i32) (result i32))) (func (export "make") (result i32) (call $new (i32.const 7))))
      (core instance $i (instantiate $m (with "res" (instance $res))))
      (func (export "make") (result (own $re)) (canon lift (core func $i "make")))
      (func (export "sum") (param "p" (list $pe)) (result u32) (canon lift (core func $d "sum") (memory (core memory $d "memory")) (realloc (core func $d "realloc")))))`),
    principal,
  )
  const resource = call("make") as GuestResource
  const pair = {
    get a() {
      resource[Symbol.dispose]()
      return 33
    },
    b: 33,
  }
  t.equal(call("sum", [pair]), 66, "both numbers are where they belong though the destructor grows the memory")
})

t.test("`GuestResource` ends its instance when the destructor that was put off traps", async (t) => {
  let hook = (): void => undefined
  const { plugin, call } = await load(await owner("unreachable"), { ...principal, imports: { hook: (() => hook()) as never } })
  const [one, two] = [call("make") as GuestResource, call("make") as GuestResource]
  hook = () => {
    try {
      one[Symbol.dispose]()
    } catch {
      // An embedder that hides the trap of a guest.
    }
  }
  t.equal(
    codeOf(() => call("visit", two)),
    "STELE-PLG-0002",
  )
  t.equal(plugin.instances, 0)
  t.notOk(two.isLive)
})

t.test("`call()` refuses a resource that one argument lends and another gives away", async (t) => {
  const { call } = await load(await owner(), { ...principal, imports: { hook: (() => undefined) as never } })
  const resource = call("make") as GuestResource
  t.equal(
    codeOf(() => call("both", resource, resource)),
    "STELE-WIT-0001",
  )
})

// ── Host resources and failures of their owners ─────────────────────────────

const things = (core: string, exports: Record<string, string>): Promise<Uint8Array> =>
  guest({
    head: `(import "test:host/things" (instance $things (export "thing" (type (sub resource))) (export "[constructor]thing" (func (result (own 0))))))
      (alias export $things "thing" (type $thing)) (core func $make (canon lower (func $things "[constructor]thing"))) (core func $drop (canon resource.drop $thing))
      (core instance $res (export "make" (func $make)) (export "drop" (func $drop)))`,
    with: `(with "res" (instance $res))`,
    core: `(import "res" "make" (func $make (result i32))) (import "res" "drop" (func $drop (param i32))) ${core}`,
    exports,
  })

t.test("`discard()` releases everything when disposing of one thing throws", async (t) => {
  let made = 0
  const gone: Array<number> = []
  class Thing {
    readonly id: number
    constructor() {
      this.id = ++made
    }
    [Symbol.dispose](): void {
      gone.push(this.id)
      if (this.id === 2) throw new Error("the owner's mistake")
    }
  }
  const { plugin, call } = await load(
    await things(
      `(func (export "leave") (result i32) (drop (call $make)) (drop (call $make)) (drop (call $make)) (i32.const 5)) (func (export "trap") (drop (call $make)) unreachable) (func (export "free") (call $drop (call $make)))`,
      { leave: "(result u32)", trap: "", free: "" },
    ),
    { instances: { max: 1 }, imports: { "test:host/things": { Thing } } },
  )
  t.equal(
    codeOf(() => call("leave")),
    5,
  )
  t.same(gone, [1, 2, 3])
  t.equal(plugin.instances, 0)
  made = 1
  t.equal(
    codeOf(() => call("trap")),
    "STELE-PLG-0002",
    "the trap is the outcome",
  )
  made = 1
  t.match(
    codeOf(() => call("free")),
    /^STELE-PLG-/,
    "a drop by the guest that fails is a failed host call",
  )
  t.equal(
    codeOf(() => call("leave")),
    5,
  )
})

t.test("`own()` releases a thing when the guest's handles are all in use", async (t) => {
  let live = 0
  class Thing {
    constructor() {
      live++
    }
    [Symbol.dispose](): void {
      live--
    }
  }
  const { call } = await load(await things(`(func (export "run") (loop $l (drop (call $make)) (br $l)))`, { run: "" }), {
    limits: { handlesMax: 3 },
    imports: { "test:host/things": { Thing } },
  })
  t.equal(
    codeOf(() => call("run")),
    "STELE-LIM-0008",
  )
  t.equal(live, 0, "four were made, three had a handle")
})

t.test("`call()` leaves no rejection without a handler when host functions and destructors are asynchronous", async (t) => {
  const unhandled: Array<unknown> = []
  const listener = (error: unknown): void => void unhandled.push(error)
  process.on("unhandledRejection", listener)
  class Thing {
    [Symbol.dispose](): Promise<void> {
      return Promise.reject(new Error("later"))
    }
  }
  const { call: dropping } = await load(await things(`(func (export "free") (call $drop (call $make)))`, { free: "" }), {
    imports: { "test:host/things": { Thing } },
  })
  const { call } = await load(
    await guest({ core: `(import "host" "f" (func $f)) (func (export "run") (call $f))`, imports: { f: "" }, exports: { run: "" } }),
    { imports: { f: (async () => Promise.reject(new Error("later"))) as never } },
  )
  t.equal(
    codeOf(() => call("run")),
    "STELE-ASY-0001",
  )
  codeOf(() => dropping("free"))
  await new Promise((resume) => setImmediate(resume))
  await new Promise((resume) => setImmediate(resume))
  process.off("unhandledRejection", listener)
  t.same(unhandled, [])
})

// ── What a guest can make the host keep ─────────────────────────────────────

const megabyte = 1 << 20

t.test("`denied()` keeps a bounded, printable name when the guest asks for a key of a megabyte", async (t) => {
  const observer = memoryObserver()
  const watched = await Host.open({ cache: false, ports: { observer } })
  t.teardown(() => watched.close())
  const bytes = await guest({
    head: `(import "wasi:config/store@0.2.0-rc.1" (instance $config (type $e (variant (case "upstream" string) (case "io" string))) (export "error" (type $ee (eq $e))) (export "get" (func (param "key" string) (result (result (option string) (error $ee)))))))
      (core module $lib (memory (export "memory") 40) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2000000)))
      (core instance $lib (instantiate $lib)) (core func $get (canon lower (func $config "get") (memory (core memory $lib "memory")) (realloc (core func $lib "realloc"))))
      (core instance $c (export "get" (func $get)))`,
    with: `(with "c" (instance $c)) (with "lib" (instance $lib))`,
    core: `(import "c" "get" (func $get (param i32 i32 i32))) (import "lib" "memory" (memory 1))
      (func (export "run") (param i32) (result i32) (memory.fill (i32.const 0) (i32.const 27) (i32.const ${megabyte})) (call $get (i32.const 0) (i32.const ${megabyte}) (i32.const 1900000)) (i32.load (i32.const 1900000)))`,
    exports: { run: `(param "n" u32) (result u32)` },
  })
  const plugin = await watched.load(bytes, { grants: ["config:a"] })
  const text = await plugin.call("run", [1])
  t.equal(text, 1, "the interface's error")
  const denial = observer.events.find((event) => event.type === "denial")
  t.ok(denial?.type === "denial" && denial.grant.length <= 4_000 && /^config:(\\u\{1b\})+…?$/.test(denial.grant), JSON.stringify(denial).slice(0, 200))
  t.ok((plugin.describe().grants.denied[0]?.grant.length ?? 0) <= 4_000)
})

t.test("`cut()` lets go of the rest when a short piece of a long text is kept", (t) => {
  const kept: Array<string> = []
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  const used = (): number => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = used()
  for (let i = 0; i < 100; i++) kept.push(cut(new TextDecoder().decode(new Uint8Array(megabyte).fill(97 + (i % 26))), 100))
  t.equal(kept.join("").length, 10_000)
  t.ok(used() - before < 50 * megabyte, `${Math.round((used() - before) / megabyte)} MiB for 10 KB of text`)
  t.end()
})

t.test("`callWithUsage()` tells all linear memory when no canonical function uses it", async (t) => {
  const { plugin } = await load(
    await guest({ core: `(memory 3) (func (export "grow") (result i32) (memory.grow (i32.const 4)))`, exports: { grow: "(result u32)" } }),
  )
  const { result, usage } = await plugin.callWithUsage("grow", [])
  t.equal(result, 3)
  t.equal(usage.memoryPeakBytes, 7 * 65_536)
})

t.test("`load()` refuses a tenant that a port of bytes could not tell from another", async (t) => {
  const bytes = await guest({ core: `(func (export "run"))`, exports: { run: "" } })
  t.equal(await host.load(bytes, { tenant: "a\ud800" }).catch((error: SteleError) => error.code), "STELE-CFG-0002")
})

// ── Plugins and their instances ─────────────────────────────────────────────

t.test("`Plugin` lets go of an instance when the embedder lost the resources it was kept for", async (t) => {
  const { plugin, call } = await load(await owner(), { imports: { hook: (() => undefined) as never } })
  for (let i = 0; i < 20; i++) call("make")
  t.equal(plugin.instances, 20)
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  for (let tries = 0; plugin.instances > 1 && tries < 50; tries++) {
    collect()
    await new Promise((resume) => setImmediate(resume))
  }
  t.ok(plugin.instances <= 1, `${plugin.instances} instances of 20 are left`)
})

t.test("`call()` answers when an argument refers to itself in more than one way", { timeout: 20_000 }, async (t) => {
  const bytes = await wat(`(component
    (core module $m (func (export "new") (result i32) (i32.const 1)) (func (export "f") (param i32 i32 i32) (result i32) (local.get 2)))
    (core instance $i (instantiate $m)) (type $r (resource (rep i32))) (export $re "r" (type $r))
    (type $o (option (borrow $re)))
    (type $p (record (field "n" u32))) (export $pe "p" (type $p))
    (func (export "f") (param "r" $o) (param "p" $pe) (result u32) (canon lift (core func $i "f"))))`)
  const { call } = await load(bytes)
  const graph: Record<string, unknown> = { n: 7 }
  graph["left"] = graph["right"] = { up: graph, again: graph, other: [graph, graph] }
  t.equal(call("f", undefined, graph), 7)
})

t.test("`call()` finds an export by its full name when a version of its interface is exported too", async (t) => {
  for (const order of [
    ["a:b/c", "a:b/c@1.2.0"],
    ["a:b/c@1.2.0", "a:b/c"],
  ] as const) {
    const part = (name: string): string => `(instance $i${name.length} (export "f" (func $f${name.length}))) (export "${name}" (instance $i${name.length}))`
    const bytes =
      await wat(`(component (core module $m (func (export "5") (result i32) (i32.const 5)) (func (export "11") (result i32) (i32.const 11))) (core instance $i (instantiate $m))
      (func $f5 (result u32) (canon lift (core func $i "5"))) (func $f11 (result u32) (canon lift (core func $i "11"))) ${order.map(part).join(" ")})`)
    const { call } = await load(bytes)
    t.equal(
      codeOf(() => call("a:b/c#f")),
      5,
    )
    t.equal(
      codeOf(() => call("a:b/c@1.2.0#f")),
      11,
    )
  }
})

t.test("fuel pays for the calls between components of one plugin, and for what they move", async (t) => {
  const bytes = await wat(`(component
    (component $inner
      (core module $m ${bumpAllocator(4)} (func (export "take") (param i32 i32)))
      (core instance $i (instantiate $m))
      (func (export "take") (param "bytes" (list u8)) (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (instance $inner (instantiate $inner)) (alias export $inner "take" (func $take))
    (core module $libc (memory (export "memory") 2)) (core instance $libc (instantiate $libc))
    (core func $lowered (canon lower (func $take) (memory (core memory $libc "memory"))))
    (core instance $env (export "take" (func $lowered)))
    (core module $m (import "env" "take" (func $take (param i32 i32))) (func (export "run") (param i32) (call $take (i32.const 0) (local.get 0))))
    (core instance $i (instantiate $m (with "env" (instance $env))))
    (func (export "run") (param "n" u32) (canon lift (core func $i "run"))))`)
  const { plugin } = await load(bytes, { metering: "fuel" })
  const fuelOf = async (n: number): Promise<number> => Number((await plugin.callWithUsage("run", [n])).usage.fuel)
  const [none, much] = [await fuelOf(0), await fuelOf(100_000)]
  t.ok(none > 100, `${none} for one call`)
  t.ok(much - none > 5_000, `${much - none} for 100,000 bytes`)
})

t.test("`load()` refuses a nesting deeper than the watchdog counts, since a call beyond it could not be armed", async (t) => {
  const bytes = await guest({ core: `(func (export "run"))`, exports: { run: "" } })
  t.equal(await host.load(bytes, { limits: { nestingMax: 31 } }).catch((error: SteleError) => error.code), "STELE-CFG-0002")
})

t.test("a call at the greatest nesting can still dispose of a resource", async (t) => {
  const make = await load(await owner(), { ...principal, limits: { nestingMax: 30 }, imports: { hook: (() => undefined) as never } })
  let depth = 0
  const resource = make.call("make") as GuestResource
  const { call } = await load(
    await guest({ core: `(import "host" "f" (func $f)) (func (export "run") (call $f))`, imports: { f: "" }, exports: { run: "" } }),
    {
      limits: { nestingMax: 30 },
      imports: { f: (() => void (++depth < 30 ? call("run") : resource[Symbol.dispose]())) as never },
    },
  )
  t.equal(
    codeOf(() => call("run")),
    undefined,
  )
  t.equal(depth, 30)
  t.equal(make.call("dead"), 1)
})

t.test("a destructor has no more time than the call around it", async (t) => {
  const slices = await Host.open({ cache: false, stop: "fuel slices" })
  t.teardown(() => slices.close())
  const one = await slices.load(await owner("(loop $l (br $l))"), { ...principal, imports: { hook: (() => undefined) as never } })
  const resource = one.callSync("make", []) as GuestResource
  const two = await slices.load(
    await guest({ core: `(import "host" "f" (func $f)) (func (export "run") (call $f))`, imports: { f: "" }, exports: { run: "" } }),
    {
      imports: { f: (() => resource[Symbol.dispose]()) as never },
    },
  )
  const startedMs = performance.now()
  t.equal(
    codeOf(() => two.callSync("run", [], { deadlineMs: 30 })),
    "STELE-LIM-0010",
  )
  t.ok(performance.now() - startedMs < 700, "not the second that a destructor has by itself")
})

t.test("`PreparedCache` keeps components up to a size in all, the newest first", (t) => {
  const cache = new PreparedCache(64, 100)
  const entry = {} as Parameters<PreparedCache["set"]>[1]
  cache.set("a", entry, 60)
  cache.set("b", entry, 40)
  t.equal(cache.get("a"), entry)
  cache.set("c", entry, 10)
  t.equal(cache.get("b"), undefined, "the one used longest ago went")
  t.equal(cache.get("a"), entry)
  cache.set("d", entry, 101)
  t.equal(cache.get("d"), undefined, "what is too large by itself is not kept")
  t.equal(cache.get("a"), entry)
  t.equal(cache.get("c"), entry)
  t.end()
})

t.test("`call()` refuses an unknown name in milliseconds when a plugin has ten thousand long ones", async (t) => {
  const long = (i: number): string =>
    `a${"bcdefgh-jklmnop".repeat(14)}${String(i)
      .padStart(6, "0")
      .replace(/\d/g, (digit) => "abcdefghij"[Number(digit)] as string)}`
  const bytes = await wat(`(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))
    ${Array.from({ length: 10_000 }, (_, i) => `(export "${long(i)}" (func $f))`).join(" ")})`)
  const { call } = await load(bytes)
  const startedMs = performance.now()
  t.equal(
    codeOf(() => call("abcdefgh-jklmnop".repeat(100_000))),
    "STELE-PLG-0003",
  )
  t.ok(performance.now() - startedMs < 500, `${Math.round(performance.now() - startedMs)} ms`)
})

t.test("`store()` keeps the bytes whose digest it answers when the caller changes them meanwhile", async (t) => {
  const bytes = await guest({ core: `(func (export "run"))`, exports: { run: "" } })
  const given = Uint8Array.from(bytes)
  const storing = host.store(given)
  given.fill(0)
  const digest = await storing
  const plugin = await host.load(digest)
  t.equal(plugin.digest, digest)
  t.equal(
    codeOf(() => plugin.callSync("run", [])),
    undefined,
  )
  await plugin.close()
})
