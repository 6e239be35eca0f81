/** Calls that nobody wrote down: values of any type, the same from the same seed; findings shrunk and replayed. */
import fc from "../../property.ts"
import t from "tap"
import { fuzz } from "../../../runtime/author/fuzz.ts"
import { locate } from "../../../runtime/author/located.ts"
import type { Project } from "../../../runtime/author/project.ts"
import { Chooser, isMakeable, randomValue, simpler } from "../../../runtime/author/random-value.ts"
import { toJson } from "../../../schemas/value/json.ts"
import { guest } from "../../host/component-builder.ts"
import { arbitraryType, sameValue } from "../../schemas/arbitrary-type.ts"

t.setTimeout(300_000)

t.test("a value of any type, the same from the same seed, and simpler ones until there are none", async (t) => {
  let seen = 0
  fc.assert(
    fc.property(arbitraryType({}), fc.nat(), fc.nat(400), (type, seed, size) => {
      if (!isMakeable(type)) return
      seen++
      const value = randomValue(type, new Chooser(seed), size)
      // The JSON form refuses whatever is no value of the type.
      toJson(type, value)
      if (!sameValue(value, randomValue(type, new Chooser(seed), size))) throw new Error("another value from the same seed")
      let at: unknown = value
      for (let steps = 0; ; steps++) {
        const next = simpler(type, at).next()
        if (next.done === true) break
        if (steps > 5_000) throw new Error("simpler values never end")
        toJson(type, next.value)
        at = next.value
      }
      let tried = 0
      for (const other of simpler(type, value)) {
        toJson(type, other)
        if (++tried > 200) break
      }
    }),
    { numRuns: 300 },
  )
  t.ok(seen > 200, `${seen} types`)
})

const manifest = { name: "p", version: "0.1.0", description: "d", license: "MIT", language: "other" as const, world: "w", limits: { deadlineMs: 5_000 } }
const project: Project = { folder: "/", manifest, located: locate("{}", "plugin.json"), wit: "/wit", entry: undefined, component: "/p.wasm" }

t.test("a trap is found, made small, and found again by its line", async (t) => {
  const component = await guest({
    core: `(func (export "half") (param i32 i32) (result i32) (if (i32.eq (local.get 0) (i32.const 255)) (then unreachable)) (local.get 1))`,
    exports: { half: `(param "a" u8) (param "b" u8) (result u8)` },
  })
  const found = await fuzz(component, project, { seed: 7, ms: 500 })
  t.match(found.findings, [{ export: "half", arguments: [255, 0], code: "STELE-PLG-0002" }])
  const [seed = "", only = ""] = (found.findings[0]?.replay ?? "").split(".")
  const again = await fuzz(component, project, { seed: Number(seed), ms: 0, only: Number(only) })
  t.equal(again.cases, 1)
  t.strictSame(again.findings, found.findings)
})

t.test("an endless loop is found, and shrinking it ends", async (t) => {
  const component = await guest({
    core: `(func (export "spin") (param i32) (loop $l (br_if $l (i32.gt_u (local.get 0) (i32.const 5)))))`,
    exports: { spin: `(param "n" u32)` },
  })
  const startedMs = performance.now()
  const { findings } = await fuzz(component, { ...project, manifest: { ...manifest, limits: { deadlineMs: 50 } } }, { seed: 1, ms: 100 })
  t.match(findings, [{ export: "spin", code: "STELE-LIM-0010" }])
  t.ok(performance.now() - startedMs < 20_000)
})

t.test("a plugin's own error is an answer, and what takes handles is left out and said", async (t) => {
  const component = await guest({ core: `(func (export "no") (param i32) (result i32) (i32.const 1))`, exports: { no: `(param "a" bool) (result (result))` } })
  t.strictSame(await fuzz(component, project, { seed: 1, ms: 50 }).then(({ findings, skipped }) => ({ findings, skipped })), { findings: [], skipped: [] })
})

t.test("a plugin that asks for no metering has a deadline on its author's machine all the same", async (t) => {
  const component = await guest({ core: `(func (export "spin") (param i32) (loop $l (br $l)))`, exports: { spin: `(param "n" u32)` } })
  const endless = { ...project, manifest: { ...manifest, metering: "off" as const, limits: { deadlineMs: 50 } } }
  t.match((await fuzz(component, endless, { seed: 1, ms: 10 })).findings, [{ code: "STELE-LIM-0010" }])
})
