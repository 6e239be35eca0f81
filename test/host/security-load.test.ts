/** Work and memory of loading: components whose cost is far beyond their size end early with a typed error. */
import t from "tap"
import { Host, SteleError } from "../../host/mod.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { defaultLimits } from "../../host/options.ts"
import {
  canonLift,
  canons,
  component,
  coreInstances,
  coreInstantiate,
  coreModule,
  aliases,
  aliasCore,
  exported,
  exportsOf,
  externInstance,
  funcOf,
  imported,
  importsOf,
  instanceTypeOf,
  prim,
  recordOf,
  types,
  concat,
  wat,
} from "./component-builder.ts"

const timed = (act: () => unknown): { readonly ms: number; readonly code: string | undefined } => {
  const startedMs = performance.now()
  let code: string | undefined
  try {
    act()
  } catch (error) {
    code = error instanceof SteleError ? error.code : String(error)
  }
  return { ms: performance.now() - startedMs, code }
}
const fields = Array.from({ length: 9_000 }, (_, i) => [`f${i}`, prim.u8] as const)
const load = (bytes: Uint8Array) => elaborate(decodeComponent(bytes, defaultLimits), defaultLimits)

t.test("`elaborate()` counts the parts of a type when an interface type is evaluated for each of many imports", (t) => {
  // 20,000 imports of one interface type that declares a record of 9,000 fields: 180 million fields out of 400 KB.
  const bytes = component(
    types(instanceTypeOf(concat(0x01, recordOf(...fields)))),
    importsOf(...Array.from({ length: 20_000 }, (_, i) => imported(`a:b/c${i}`, externInstance(0)))),
  )
  const { ms, code } = timed(() => load(bytes))
  t.equal(code, "STELE-VFY-0003")
  t.ok(ms < 2_000, `${Math.round(ms)} ms`)
  t.end()
})

t.test("`elaborate()` counts the parameters of a function when it is lifted many times", async (t) => {
  const core = await wat(
    `(module (memory (export "m") 1) (func (export "f") (param i32)) (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 0)))`,
  )
  const lifted = [
    [0x03, 0x00],
    [0x04, 0x01],
  ]
  const bytes = component(
    types(funcOf(fields)),
    coreModule(core),
    coreInstances(coreInstantiate(0)),
    aliases(aliasCore(0, "f"), aliasCore(0, "r"), aliasCore(0, "m", 2)),
    canons(...Array.from({ length: 20_000 }, () => canonLift(0, 0, lifted))),
  )
  const { ms, code } = timed(() => load(bytes))
  t.equal(code, "STELE-VFY-0003")
  t.ok(ms < 2_000, `${Math.round(ms)} ms`)
})

t.test("`elaborate()` counts the imports of a core module when it is instantiated again and again", async (t) => {
  const n = 90_000
  const core = await wat(`(module ${'(import "" "" (func))'.repeat(n)})`)
  const one = await wat(`(module (func (export "")))`)
  const bytes = component(
    coreModule(one),
    coreModule(core),
    coreInstances(coreInstantiate(0), ...Array.from({ length: 60 }, () => coreInstantiate(1, [["", 0]]))),
  )
  const { ms, code } = timed(() => load(bytes))
  t.equal(code, "STELE-VFY-0003")
  t.ok(ms < 2_000, `${Math.round(ms)} ms`)
})

t.test("`elaborate()` makes no entry for each export when a module with very many is instantiated again and again", async (t) => {
  const n = 90_000
  const core = await wat(`(module (func $f) ${Array.from({ length: n }, (_, i) => `(export "${i}" (func $f))`).join("")})`)
  const bytes = component(coreModule(core), coreInstances(...Array.from({ length: 60 }, () => coreInstantiate(0))))
  const before = process.memoryUsage().heapUsed
  const { ms, code } = timed(() => load(bytes))
  t.equal(code, undefined)
  t.ok(ms < 1_500, `${Math.round(ms)} ms`)
  t.ok(process.memoryUsage().heapUsed - before < 200e6)
})

t.test("`elaborate()` refuses a component when it has more contexts than any toolchain makes", async (t) => {
  const n = 5_000
  const core = await wat(
    `(module (memory (export "m") 1) (func (export "f") (param i32 i32)) (func $r (param i32 i32 i32 i32) (result i32) (i32.const 0)) ${Array.from({ length: n }, (_, i) => `(export "${i}" (func $r))`).join("")})`,
  )
  const bytes = component(
    types(funcOf([["s", prim.string]])),
    coreModule(core),
    coreInstances(coreInstantiate(0)),
    aliases(aliasCore(0, "m", 2), aliasCore(0, "f"), ...Array.from({ length: n }, (_, i) => aliasCore(0, String(i)))),
    canons(
      ...Array.from({ length: n }, (_, i) => canonLift(0, 0, [[0x03, 0x00], concat(0x04, i + 1 < 128 ? [i + 1] : [((i + 1) & 0x7f) | 0x80, (i + 1) >> 7])])),
    ),
  )
  t.equal(timed(() => load(bytes)).code, "STELE-VFY-0003")
})

t.test("`load()` names bindings in linear time when a component has very many exports", async (t) => {
  const host = await Host.open({ cache: false })
  t.teardown(() => host.close())
  const n = 60_000
  const core = await wat(`(module (func (export "f")))`)
  const bytes = component(
    types(funcOf([])),
    coreModule(core),
    coreInstances(coreInstantiate(0)),
    aliases(aliasCore(0, "f")),
    canons(...Array.from({ length: n }, () => canonLift(0, 0))),
    // In the opposite order, so that a search from the front goes far.
    exportsOf(...Array.from({ length: n }, (_, i) => exported(`e${i}`, "func", n - 1 - i))),
  )
  const startedMs = performance.now()
  const plugin = await host.load(bytes)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs < 3_000, `${Math.round(tookMs)} ms`)
  await plugin.close()
})
