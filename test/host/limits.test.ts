/**
 * Every limit of `schemas/error/limit.ts` at, below and above what a guest needs: at and above its need it works, one
 * below it is refused with the limit's own code, and the error names limit, unit and figures.
 */
import { readFile } from "node:fs/promises"
import t from "tap"
import { asyncGuest } from "./async-guests.ts"
import { extismGuest } from "./extism/guest.ts"
import { Host, LimitError, type Limits, type LimitName, limits as table, memoryHttp, type LoadOptions, type Plugin } from "../../host/mod.ts"
import { memoryFileSystem } from "../../host/port/mod.ts"
import { filesGuest } from "./files-guest.ts"
import { bumpAllocator, component, coreInstances, coreInstantiate, coreModule, guest, listOf, prim, tupleOf, types, wat } from "./component-builder.ts"

const host = await Host.open({ cache: false, ports: { http: memoryHttp(() => ({ body: new Uint8Array(1000) })) } })
t.teardown(() => host.close())

/** What a guest does under a limit. */
interface Probe {
  /** What the guest needs of it, in the limit's unit. */
  readonly need: number
  readonly bytes: () => Uint8Array | Promise<Uint8Array>
  readonly options?: Omit<LoadOptions, "limits">
  readonly limits?: Partial<Limits>
  /** A host of its own. */
  readonly host?: Host
  /** The call that needs it; absent where loading does. */
  readonly call?: (plugin: Plugin) => unknown
}

const tested = new Set<LimitName>()

function limit(name: LimitName, describe: string, probe: Probe | (() => Promise<Probe>)): void {
  tested.add(name)
  t.test(`\`limits.${name}\` lets pass and refuses exactly when ${describe}`, async (t) => {
    const { need, bytes, host: on = host, options = {}, limits = {}, call } = typeof probe === "function" ? await probe() : probe
    const binary = await bytes()
    const under = async (value: number): Promise<unknown> => {
      const plugin = await on.load(binary, { ...options, limits: { ...limits, [name]: value } })
      try {
        return await call?.(plugin)
      } finally {
        await plugin.close()
        t.equal(plugin.instances, 0, "no instance stays")
      }
    }
    await t.resolves(under(need), `at ${need} ${table[name].unit}`)
    await t.resolves(under(need + 1), "with one more")
    const error = await under(need - 1).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    t.ok(error instanceof LimitError, `with one less it is refused, not ${String(error)}`)
    if (!(error instanceof LimitError)) return
    t.equal(error.reason._tag, name)
    t.equal(error.reason.limit, need - 1)
    t.match(error.message, `"${name}"`)
    t.match(error.message, `${need - 1} ${table[name].unit}`)
    t.match(error.fix, `limits.${name}`)
    t.equal(error.exitCode, 7)
  })
}

const run = (plugin: Plugin): unknown => plugin.callSync("run", [] as never)
const emptyModule = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

// ── Limits of a load ────────────────────────────────────────────────────────

limit("memoryBytesMax", "two modules have five pages between them", {
  // One byte less is one page less: memories are made of pages of 64 KiB.
  need: 5 * 65_536,
  bytes: () => wat(`(component (core module $a (memory 2)) (core module $b (memory 3)) (core instance (instantiate $a)) (core instance (instantiate $b)))`),
})

limit("tableElementsMax", "two tables have ten elements between them", {
  need: 10,
  bytes: () => guest({ core: `(table 4 funcref) (table 6 externref)` }),
})

limit("componentBytesMax", "a component has its size", async () => {
  const bytes = await guest({ core: `(func (export "run"))`, exports: { run: "" } })
  return { need: bytes.length, bytes: () => bytes }
})

limit("coreModulesMax", "there are three core modules, one of them nested", {
  need: 3,
  bytes: () => wat(`(component (core module) (core module) (component (core module)))`),
})

limit("instancesMax", "there are a component, one in it and two core instances", {
  need: 4,
  bytes: () =>
    wat(
      `(component (core module $m) (core instance (instantiate $m)) (component $c (core module $n) (core instance (instantiate $n))) (instance (instantiate $c)))`,
    ),
})

limit("typeSizeMax", "a tuple of tuples counts twenty-one leaves", {
  // Each node counts one: two tuples of nine numbers are 2 × 10, and the outer one is the twenty-first.
  need: 21,
  bytes: () => component(types(tupleOf(...Array.from({ length: 9 }, () => prim.u8)), tupleOf(0, 0))),
})

limit("typeDepthMax", "lists are nested four deep around a number", {
  need: 5,
  bytes: () => component(types(listOf(prim.u8), listOf(0), listOf(1), listOf(2))),
})

limit("functionBodyBytesMax", "a body has a hundred bytes", {
  need: 100,
  // No locals (1 byte), 98 nop, end.
  bytes: () =>
    component(
      coreModule([...emptyModule, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 102, 1, 100, 0, ...Array.from({ length: 98 }, () => 0x01), 0x0b]),
      coreInstances(coreInstantiate(0)),
    ),
})

// ── Limits of a call ────────────────────────────────────────────────────────

/** Answers with `n` bytes, or sends them to the host. */
const bytesOf = (n: number): Promise<Uint8Array> =>
  guest({
    libc: bumpAllocator(2),
    imports: { take: `(param "data" (list u8))` },
    core: `(import "host" "take" (func $take (param i32 i32))) (import "libc" "memory" (memory 1))
      (func (export "run") (result i32) (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const ${n})) (i32.const 0))
      (func (export "send") (call $take (i32.const 16) (i32.const ${n})))`,
    exports: { run: "(result (list u8))", send: "" },
  })
const takes = { imports: { take: (() => undefined) as never } }

limit("outputBytesMax", "a result has 1,000 bytes, and 8 of pointer and length", { need: 1_008, bytes: () => bytesOf(1_000), options: takes, call: run })
limit("liftBytesMax", "a result has 1,000 bytes, and 8 of pointer and length", { need: 1_008, bytes: () => bytesOf(1_000), options: takes, call: run })
limit("hostCallBytesMax", "a host call's argument has 1,000 bytes, and 8 of pointer and length", {
  need: 1_008,
  bytes: () => bytesOf(1_000),
  options: takes,
  call: (plugin: Plugin) => plugin.callSync("send", [] as never),
})

t.test("`limits.liftBytesMax` counts bytes each time they are read when a list names one string a hundred times", async (t) => {
  const bytes = await guest({
    core: `(memory (export "memory") 1)
      (func (export "run") (result i32) (local $i i32)
        (loop $l (i32.store (i32.add (i32.const 16) (i32.shl (local.get $i) (i32.const 3))) (i32.const 4096)) (i32.store (i32.add (i32.const 20) (i32.shl (local.get $i) (i32.const 3))) (i32.const 50))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
        (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 100)) (i32.const 0))`,
    exports: { run: "(result (list string))" },
  })
  // In memory the text is 50 bytes; read it is 5,000, whatever an element of a list counts beside its bytes.
  for (const [value, works] of [
    [4_999, false],
    [5_000, false],
    [50_000, true],
  ] as const) {
    const plugin = await host.load(bytes, { limits: { liftBytesMax: value } })
    if (works) t.equal((run(plugin) as ReadonlyArray<string>).length, 100)
    else t.throws(() => run(plugin), { code: "STELE-LIM-0005" })
    await plugin.close()
  }
})

limit("hostCallsMax", "a call makes seven host calls", {
  need: 7,
  bytes: () => guest({ imports: { tick: "" }, core: `(import "host" "tick" (func $t)) (func (export "run") ${"(call $t) ".repeat(7)})`, exports: { run: "" } }),
  options: { imports: { tick: (() => undefined) as never } },
  call: run,
})

limit("handlesMax", "five handles live at once", {
  need: 5,
  bytes: () =>
    guest({
      head: `(type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r)) (core instance $res (export "new" (func $new)) (export "drop" (func $drop)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32)))
        (func (export "run") ${"(drop (call $new (i32.const 1))) ".repeat(4)} ${"(call $drop (call $new (i32.const 1))) ".repeat(9)})`,
      exports: { run: "" },
    }),
  call: run,
})

/** `run(depth)` calls itself `depth` times; each call has its own frame. */
const recursive = (): Promise<Uint8Array> =>
  guest({
    core: `(func $f (export "run") (param i32) (result i32) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0)) (else (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))))`,
    exports: { run: `(param "depth" u32) (result u32)` },
  })

limit("stackBytesMax", "a recursion of depth 100 takes what it takes", async () => {
  const bytes = await recursive()
  const works = async (stackBytesMax: number): Promise<boolean> => {
    const plugin = await host.load(bytes, { limits: { stackBytesMax } })
    try {
      return plugin.callSync("run", [100] as never) === (100 as never)
    } catch (error) {
      if (error instanceof LimitError && error.reason._tag === "stackBytesMax") return false
      throw error
    } finally {
      await plugin.close()
    }
  }
  let low = 1
  let high = 1 << 20
  while (low < high) {
    const middle = (low + high) >> 1
    if (await works(middle)) high = middle
    else low = middle + 1
  }
  return { need: low, bytes: () => bytes, call: (plugin: Plugin) => plugin.callSync("run", [100] as never) }
})

t.test("`limits.stackBytesMax` counts 64 bytes and 8 a slot for each frame when a recursion goes deeper", async (t) => {
  const plugin = await host.load(await recursive(), { limits: { stackBytesMax: 100_000 } })
  t.teardown(() => plugin.close())
  const works = (depth: number): boolean => {
    try {
      plugin.callSync("run", [depth] as never)
      return true
    } catch {
      return false
    }
  }
  let low = 0
  let high = 10_000
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (works(middle)) low = middle
    else high = middle - 1
  }
  const frameBytes = 100_000 / low
  // One parameter and at most three operands at once; the rewriter may hold a few slots of its own.
  t.ok(frameBytes >= 64 + 8 * 2 && frameBytes <= 64 + 8 * 10, `${frameBytes.toFixed(1)} bytes a frame`)
})

limit("fuel", "a loop of a thousand turns costs what it costs", async () => {
  const bytes = await guest({
    core: `(func (export "run") (result i32) (local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) (local.get $i))`,
    exports: { run: "(result u32)" },
  })
  const plugin = await host.load(bytes, { metering: "fuel" })
  const { usage } = await plugin.callWithUsage("run", [] as never)
  await plugin.close()
  return { need: Number(usage.fuel), bytes: () => bytes, options: { metering: "fuel" as const }, call: run }
})

t.test("a call's `fuel` holds exactly when it differs from the plugin's", async (t) => {
  const plugin = await host.load(await guest({ core: `(func (export "run") (nop) (drop (i32.const 1)) (drop (i32.const 2)))`, exports: { run: "" } }), {
    metering: "fuel",
  })
  t.teardown(() => plugin.close())
  const { usage } = await plugin.callWithUsage("run", [] as never)
  const need = usage.fuel as bigint
  t.ok(need > 0n)
  await t.resolves(plugin.call("run", [] as never, { fuel: need }))
  await t.rejects(plugin.call("run", [] as never, { fuel: need - 1n }), { code: "STELE-LIM-0009" })
})

limit("varBytesMax", "an Extism plugin keeps two variables", {
  // A name of one byte, a value of three and 48 for the variable; then the same with two.
  need: 48 + 1 + 3 + 48 + 2 + 3,
  bytes: () =>
    extismGuest({
      data: "abcxyz",
      body: `(call $var_set (call $block (i32.const 0) (i32.const 1)) (call $block (i32.const 3) (i32.const 3)))
        (call $var_set (call $block (i32.const 0) (i32.const 2)) (call $block (i32.const 3) (i32.const 3)))`,
    }),
  call: (plugin: Plugin) => plugin.callSync("run", [new Uint8Array()] as never),
})

limit("httpResponseBytesMax", "an Extism plugin gets an answer of a thousand bytes", {
  need: 1000,
  bytes: () => extismGuest({ body: `(drop (call $http_request (call $input_offset) (i64.const 0)))` }),
  options: { grants: ["http:GET:https://example.com/*"] },
  call: (plugin: Plugin) => plugin.callSync("run", [new TextEncoder().encode(`{"url":"https://example.com/"}`)] as never),
})

tested.add("nestingMax")
t.test("`limits.nestingMax` lets pass and refuses exactly when a plugin calls itself through the host", async (t) => {
  const bytes = await guest({
    imports: { again: `(param "left" u32)` },
    core: `(import "host" "again" (func $again (param i32))) (func (export "run") (param i32) (call $again (local.get 0)))`,
    exports: { run: `(param "left" u32)` },
  })
  for (const [nestingMax, works] of [
    [4, true],
    [5, true],
    [3, false],
  ] as const) {
    const plugin: Plugin = await host.load(bytes, {
      limits: { nestingMax },
      imports: { again: ((left: number) => void (left > 0 && plugin.callSync("run", [left - 1] as never))) as never },
    })
    // Four calls on the stack: 3, 2, 1, 0 left.
    const call = (): unknown => plugin.callSync("run", [3] as never)
    if (works) t.doesNotThrow(call)
    else t.throws(call, { code: "STELE-LIM-0018", reason: { _tag: "nestingMax", limit: nestingMax } })
    t.equal(plugin.instances, 0)
    await plugin.close()
  }
})

// ── Limits in time: exact to the clock, so below and above are well apart ────

/** Lets the host spend `ms` inside a call. */
const spend = (): Promise<Uint8Array> =>
  guest({
    imports: { work: `(param "ms" f64)` },
    core: `(import "host" "work" (func $work (param f64))) (func (export "run") (param f64) (call $work (local.get 0)))`,
    exports: { run: `(param "ms" f64)` },
  })
const busy = (ms: number): void => {
  for (const endMs = performance.now() + ms; performance.now() < endMs;);
}

tested.add("deadlineMs")
for (const stop of ["epoch", "fuel slices"] as const) {
  t.test(`\`limits.deadlineMs\` lets pass and stops when a call takes less and more (${stop})`, async (t) => {
    const timed = await Host.open({ cache: false, stop })
    t.teardown(() => timed.close())
    const plugin = await timed.load(await spend(), { limits: { deadlineMs: 300 }, imports: { work: busy as never } })
    await t.resolves(plugin.call("run", [1] as never))
    await t.rejects(plugin.call("run", [700] as never), { code: "STELE-LIM-0010", reason: { _tag: "deadlineMs", limit: 300 } })
    await t.resolves(plugin.call("run", [1] as never), "the next call has a deadline of its own")
    await t.rejects(plugin.call("run", [300] as never, { deadlineMs: 50 }), { code: "STELE-LIM-0010", reason: { limit: 50 } })
    await t.resolves(plugin.call("run", [400] as never, { deadlineMs: 10_000 }))
  })
}

tested.add("loadMs")
t.test("`limits.loadMs` refuses when a load takes longer", async (t) => {
  const bytes = await guest({ core: Array.from({ length: 2_000 }, (_, i) => `(func (export "f${i}") (result i32) (i32.const ${i}))`).join(" ") })
  await t.resolves(host.load(bytes, { limits: { loadMs: 10_000 } }))
  await t.rejects(host.load(bytes, { limits: { loadMs: 0, functionBodyBytesMax: 1_000 } }), { code: "STELE-LIM-0011", reason: { _tag: "loadMs", limit: 0 } })
})

const withFile = (): LoadOptions => ({
  grants: ["fs:read:/d", "fs:write:/d"],
  wasi: { directories: { "/d": "/d" } },
  imports: { pause: (() => undefined) as never },
})
const inMemory = await Host.open({ cache: false, ports: { fileSystem: memoryFileSystem({ "/d/f": "x" }) } })
t.teardown(() => inMemory.close())

limit("filesMax", "files are opened and kept", async () => ({
  // The directory itself is one.
  need: 5,
  bytes: filesGuest,
  host: inMemory,
  options: withFile(),
  call: (plugin) => plugin.callSync("open", [4] as never),
}))

limit("fileBytesMax", "a file is made longer", async () => ({
  need: 5_000,
  bytes: filesGuest,
  host: inMemory,
  options: withFile(),
  call: (plugin) => plugin.callSync("grow", [5_000n] as never),
}))

const double = { imports: { f: (async (x: number) => x * 2) as never } }

limit("tasksMax", "a component calls another three times at once", {
  need: 4,
  bytes: () => asyncGuest("composed"),
  options: double,
  call: (plugin: Plugin) => plugin.call("three", [1] as never),
})

limit("streamBytesMax", "a guest writes three texts in one piece", {
  // Each is charged the four words it takes here, and its characters.
  need: 3 * 32 + 11,
  bytes: () => asyncGuest("stacks"),
  options: double,
  call: async (plugin: Plugin) => {
    for await (const _word of (await plugin.call("words", [])) as ReadableStream<string>);
    await new Promise((turn) => setTimeout(turn, 1))
  },
})

/** Four kernels: twice rows to one length, a product, the greatest. */
const search = {
  bytes: () => readFile(new URL("../../plugins/examples/nearest/build/nearest.wasm", import.meta.url)),
  options: { grants: ["kernel:*"] },
  call: (plugin: Plugin) => plugin.callSync("acme:nearest/search#nearest", [new Float32Array(8).fill(1), new Float32Array(80).fill(1), 3] as never),
}
limit("kernelRunsMax", "a guest runs four kernels", { need: 4, ...search })
limit("kernelWorkMax", "a guest runs four kernels", {
  // Eight a number of a norm, two a product, one a number among which the greatest are; and 200 a row, a product and each that is kept.
  need: 8 * 8 + 200 + (8 * 80 + 10 * 200) + (2 * 80 + 200) + (10 + 3 * 200),
  ...search,
})
limit("kernelBytesMax", "kernels work in what they need", async () => {
  const fits = async (kernelBytesMax: number): Promise<boolean> => {
    await using plugin = await host.load(await search.bytes(), { ...search.options, limits: { kernelBytesMax } })
    return Promise.try(search.call, plugin).then(
      () => true,
      () => false,
    )
  }
  // Their room for panels is theirs to choose: what they need is looked for.
  let [lacks, need] = [0, 4 << 20]
  while (need - lacks > 1) {
    const middle = (lacks + need) >> 1
    if (await fits(middle)) need = middle
    else lacks = middle
  }
  return { need, ...search }
})

tested.add("residentBytesMax")
t.test("`limits.residentBytesMax` lets pass and refuses when a process holds its engine", async (t) => {
  const bytes = await guest({ core: `(func (export "one") (result i32) (i32.const 1))`, exports: { one: "(result u32)" } })
  const load = (residentBytesMax: number) => host.load(bytes, { isolation: "process", limits: { residentBytesMax } })
  await using plugin = await load(512 << 20)
  t.equal(await plugin.call("one", []), 1)
  await t.rejects(load(4 << 20), { code: "STELE-LIM-0023", reason: { _tag: "residentBytesMax", limit: 4 << 20 } })
})

t.test("each limit of the table has a test when they are counted", (t) => {
  t.same([...tested].sort(), Object.keys(table).sort())
  t.end()
})

t.test("`load()` refuses an unknown or impossible limit when it is misspelt or out of range", async (t) => {
  const bytes = await guest({ core: "" })
  await t.rejects(host.load(bytes, { limits: { memoryBytes: 1 } as never }), { code: "STELE-CFG-0001" })
  for (const value of [-1, 1.5, Number.NaN, "1", 2 ** 53])
    await t.rejects(host.load(bytes, { limits: { hostCallsMax: value as never } }), { code: "STELE-CFG-0002" })
  await t.rejects(host.load(bytes, { limits: { memoryBytesMax: 2 ** 32 + 1 } }), { code: "STELE-CFG-0002" })
  for (const value of [0, -1, Number.NaN, 86_400_001]) await t.rejects(host.load(bytes, { limits: { deadlineMs: value } }), { code: "STELE-CFG-0002" })
})
