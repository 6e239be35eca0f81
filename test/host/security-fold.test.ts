/** Shim and fix-up modules that only look like wit-component's: folding them must mean what executing them means. */
import t from "tap"
import { Host, SteleError } from "../../host/mod.ts"
import { wat } from "./component-builder.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

const outcome = async (act: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await act()
  } catch (error) {
    return error instanceof SteleError ? error.code : `untyped ${String(error)}`
  }
}

const stub = (type: string, params: number, slot: number): string =>
  `(func (export "${slot}") ${type} ${Array.from({ length: params }, (_, i) => `(local.get ${i})`).join(" ")} (i32.const ${slot}) (call_indirect ${type}))`

/** A component whose import `f` reaches its main module through a shim; the parts can be made odd. */
const shimmed = (parts: {
  /** The component-level type of the import. */
  readonly import: string
  /** Core type of the stub and of the main module's import. */
  readonly stub: string
  readonly params: number
  /** Core type the fix-up module imports. */
  readonly filler: string
  readonly main: string
  readonly table?: string
  readonly elements?: string
  readonly fillerTable?: string
  readonly tail?: string
}): Promise<Uint8Array> =>
  wat(`(component
    (import "f" (func $f ${parts.import}))
    (core module $shim (table (export "$imports") ${parts.table ?? "1 1"} funcref) ${stub(parts.stub, parts.params, 0)})
    (core module $main (import "host" "f" (func $f ${parts.stub})) ${parts.main})
    (core module $fix (import "" "0" (func ${parts.filler})) (import "" "$imports" (table ${parts.fillerTable ?? "1 1"} funcref))
      (elem (i32.const 0) func ${parts.elements ?? "0"}) ${parts.tail ?? ""})
    (core instance $s (instantiate $shim))
    (alias core export $s "0" (core func $stub))
    (core instance $given (export "f" (func $stub)))
    (core instance $m (instantiate $main (with "host" (instance $given))))
    (alias core export $s "$imports" (core table $table))
    (core func $lowered (canon lower (func $f)))
    (core instance $filling (export "0" (func $lowered)) (export "$imports" (table $table)))
    (core instance (instantiate $fix (with "" (instance $filling))))
    (func $run (result s32) (canon lift (core func $m "run")))
    (export "run" (func $run)))`)

const run = async (bytes: Uint8Array, f: (...args: ReadonlyArray<unknown>) => unknown): Promise<unknown> => {
  const plugin = await host.load(bytes, { imports: { f: f as unknown as Record<string, unknown> } })
  try {
    return await plugin.call("run", [])
  } finally {
    await plugin.close()
  }
}

t.test("`foldShims()` calls the host directly when the shim is wit-component's", async (t) => {
  const bytes = await shimmed({
    import: `(param "x" s32) (result s32)`,
    stub: "(param i32) (result i32)",
    params: 1,
    filler: "(param i32) (result i32)",
    main: `(func (export "run") (result i32) (call $f (i32.const 20)))`,
  })
  const plugin = await host.load(bytes, { imports: { f: ((x: number) => x + 1) as unknown as Record<string, unknown> } })
  t.equal(plugin.describe().sizes.coreModules, 1)
  t.equal(await plugin.call("run", []), 21)
  await plugin.close()
})

t.test("`foldShims()` keeps the trap of an indirect call when stub and replacement have different types", async (t) => {
  const seen: Array<unknown> = []
  const bytes = await shimmed({
    import: `(param "x" s64)`,
    stub: "(param f64)",
    params: 1,
    filler: "(param i64)",
    main: `(func (export "run") (result i32) (call $f (f64.const 0.5)) (i32.const 1))`,
  })
  t.equal(await outcome(() => run(bytes, (x) => void seen.push(x))), "STELE-PLG-0002")
  t.same(seen, [], "the host function never saw a value that is no s64")
})

t.test("`foldShims()` ends when a table is filled with the stubs that call through it", async (t) => {
  const component = (fillings: string): string => `(component
    (core module $shim (table (export "t") 1 1 funcref) ${stub("(result i32)", 0, 0)})
    (core module $fix (import "" "0" (func (result i32))) (import "" "t" (table 1 1 funcref)) (elem (i32.const 0) func 0))
    (core instance $a (instantiate $shim)) (core instance $b (instantiate $shim))
    (alias core export $a "0" (core func $fa)) (alias core export $b "0" (core func $fb))
    (alias core export $a "t" (core table $ta)) (alias core export $b "t" (core table $tb))
    ${fillings}
    (func $run (result s32) (canon lift (core func $fa))) (export "run" (func $run)))`
  const fill = (func: string, table: string): string =>
    `(core instance $with-${table} (export "0" (func ${func})) (export "t" (table ${table}))) (core instance (instantiate $fix (with "" (instance $with-${table}))))`.replaceAll(
      "$with-$",
      "$with-",
    )
  for (const fillings of [fill("$fa", "$ta"), fill("$fb", "$ta") + fill("$fa", "$tb")]) {
    const result = await outcome(async () => {
      const plugin = await host.load(await wat(component(fillings)))
      return plugin.call("run", [], { deadlineMs: 200 })
    })
    t.match(result, /^STELE-(PLG-0002|LIM-0003|LIM-0010)$/, "endless recursion is stopped like any other")
  }
})

t.test("`foldShims()` keeps the trap when the main module calls a stub before its table is filled", async (t) => {
  const bytes = await shimmed({
    import: "",
    stub: "",
    params: 0,
    filler: "",
    main: `(start $s) (func $s (call $f)) (func (export "run") (result i32) (i32.const 1))`,
  })
  let calls = 0
  t.equal(await outcome(() => run(bytes, () => void calls++)), "STELE-PLG-0002")
  t.equal(calls, 0)
})

t.test("`foldShims()` keeps the refusal when a segment or an import does not fit the table", async (t) => {
  const parts = { import: "", stub: "", params: 0, filler: "", main: `(func (export "run") (result i32) (i32.const 1))` }
  t.equal(await outcome(async () => run(await shimmed({ ...parts, elements: "0 0" }), () => undefined)), "STELE-PLG-0002", "two elements for a table of one")
  t.equal(await outcome(async () => run(await shimmed({ ...parts, fillerTable: "2 2" }), () => undefined)), "STELE-PLG-0002", "a table of two is wanted")
  t.equal(await outcome(async () => run(await shimmed({ ...parts, table: "1" }), () => undefined)), "STELE-PLG-0002", "a table with a maximum is wanted")
})

t.test("`foldShims()` leaves it to the engine to refuse a start function that takes parameters", async (t) => {
  const seen: Array<unknown> = []
  const bytes = await shimmed({
    import: `(param "x" s64)`,
    stub: "(param i64)",
    params: 1,
    filler: "(param i64)",
    main: `(func (export "run") (result i32) (i32.const 1))`,
    tail: "(start 0)",
  })
  t.equal(await outcome(() => run(bytes, (x) => void seen.push(x))), "STELE-VFY-0003")
  t.same(seen, [])
})

t.test("`foldShims()` takes linear time when a fix-up module has tens of thousands of imports", async (t) => {
  const n = 40_000
  const many = (text: (i: number) => string): string => Array.from({ length: n }, (_, i) => text(i)).join(" ")
  const bytes = await wat(`(component
    (core module $shim (table (export "t") ${n} ${n} funcref) ${stub("(result i32)", 0, 0)})
    (core module $main (func $one (result i32) (i32.const 1)) (export "run" (func $one)))
    (core module $fix ${many(() => `(import "" "0" (func (result i32)))`)} (import "" "t" (table ${n} ${n} funcref)) (elem (i32.const 0) func ${many(String)}))
    (core instance $s (instantiate $shim)) (core instance $m (instantiate $main))
    (alias core export $s "t" (core table $t)) (alias core export $m "run" (core func $one))
    (core instance $with (export "0" (func $one)) (export "t" (table $t)))
    (core instance (instantiate $fix (with "" (instance $with))))
    (func $run (result s32) (canon lift (core func $m "run"))) (export "run" (func $run)))`)
  const startedMs = performance.now()
  t.match(String(await outcome(() => host.load(bytes))), /object|STELE/)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs < 1_500, `${Math.round(tookMs)} ms`)
})
