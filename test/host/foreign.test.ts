/** Core modules as plugins: what the blueprint of a foreign ABI gives, apart from any one ABI. */
import t from "tap"
import { Host } from "../../host/mod.ts"
import { wat } from "./component-builder.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

t.test("functions of numbers are exports", async (t) => {
  await using plugin = await host.load(
    await wat(`(module
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
      (func (export "next") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
      (func (export "pair") (result i32 i32) (i32.const 1) (i32.const 2)))`),
  )
  t.equal(await plugin.call("add", [1, -3]), -2)
  t.equal(await plugin.call("half", [3]), 1.5)
  t.equal(await plugin.call("next", [0x7fff_ffff_ffff_fffen]), 0x7fff_ffff_ffff_ffffn)
  t.same(
    plugin.describe().exports.map(({ name }) => name),
    ["add", "half", "next"],
    "several results have no type",
  )
  await t.rejects(plugin.call("add", [1, 2 ** 40]), { code: "STELE-WIT-0001" })
})

t.test("`_initialize` runs once for an instance, before its first export", async (t) => {
  const bytes = await wat(`(module
    (global $count (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $count (i32.add (global.get $count) (i32.const 10))))
    (func (export "count") (result i32) (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))`)
  await using fresh = await host.load(bytes)
  t.equal(await fresh.call("count", []), 11)
  t.equal(await fresh.call("count", []), 11)
  await using kept = await host.load(bytes, { instances: { reuse: "principal" } })
  t.equal(await kept.call("count", []), 11)
  t.equal(await kept.call("count", []), 12)
})

t.test("an endless function is stopped as any guest", async (t) => {
  await using plugin = await host.load(await wat(`(module (func (export "spin") (loop (br 0))))`), { limits: { deadlineMs: 50 } })
  await t.rejects(plugin.call("spin", []), { code: "STELE-LIM-0010" })
})

t.test("an import that no ABI serves is named", async (t) => {
  await t.rejects(host.load(await wat(`(module (import "env" "sin" (func (param f64) (result f64))))`)), { code: "STELE-VFY-0017", message: /env#sin/ })
  const wrong = host.load(await wat(`(module (import "wasi_snapshot_preview1" "sched_yield" (func (param i32))))`))
  await t.rejects(wrong, { code: "STELE-VFY-0017", message: /sched_yield/ })
})
