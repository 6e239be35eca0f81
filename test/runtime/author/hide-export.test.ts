/** Exports taken out of a component: what else it has stays callable, whatever the order of its sections. */
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import t from "tap"
import { Host } from "../../../host/host.ts"
import { hideExports } from "../../../runtime/author/language/hide-export.ts"

const component = await parse(`(component
  (core module $m
    (func (export "one") (result i32) i32.const 1)
    (func (export "two") (result i32) i32.const 2))
  (core instance $i (instantiate $m))
  (component $inner
    (import "f" (func $f (result u32)))
    (export "init" (func $f)))
  (func $one (result u32) (canon lift (core func $i "one")))
  (func $two (result u32) (canon lift (core func $i "two")))
  (instance $a (instantiate $inner (with "f" (func $one))))
  (alias export $a "init" (func $init))
  (export "before" (func $two))
  (export "init" (func $init))
  (export "exports" (instance $a))
  (export $again "after" (func $one))
  (instance $b (export "after" (func $again)))
  (export "a:b/last" (instance $b)))`)

t.test("a function and an instance are taken out, and later indexes mean what they meant", async (t) => {
  await using host = await Host.open()
  const before = await host.load(component)
  const names = (exports: ReadonlyArray<{ readonly name: string }>): ReadonlyArray<string> => exports.map(({ name }) => name).toSorted()
  t.strictSame(names(before.describe().exports), ["a:b/last#after", "after", "before", "exports#init", "init"])
  const plugin = await host.load(hideExports(component, new Set(["init", "exports"])))
  t.strictSame(names(plugin.describe().exports), ["a:b/last#after", "after", "before"])
  t.equal(await plugin.call("before", []), 2)
  t.equal(await plugin.call("after", []), 1)
  t.equal(await plugin.call("a:b/last#after", []), 1)
})

t.test("a component without such exports stays as it is", (t) => {
  t.strictSame(hideExports(component, new Set(["nothing"])), component)
  t.end()
})
