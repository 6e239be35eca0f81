/** WASI preview 1 answered inside a component: what a language's runtime needs, and nothing that could be taken for a real clock, file or secret. */
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import t from "tap"
import { Host } from "../../host/host.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"

const { world } = selectWorld(
  parseWit(
    "package a:b; world w { export wrote: func() -> u32; export chance: func(bytes: u32) -> u32; export waited: func() -> u64; export opened: func() -> u32; export ended: func(); }",
  ),
)
const core = await parse(`(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\00\\01\\00\\00\\05\\00\\00\\00\\00\\02\\00\\00\\07\\00\\00\\00")
  (func $now (result i64) (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 64))) (i64.load (i32.const 64)))
  (func (export "wrote") (result i32)
    (i32.add (i32.mul (i32.const 1000) (call $write (i32.const 2) (i32.const 0) (i32.const 2) (i32.const 32))) (i32.load (i32.const 32))))
  (func (export "chance") (param i32) (result i32) (call $random (i32.const 2048) (local.get 0)))
  ;; Waits for 5 s: the second of two subscriptions, the first is of a file.
  (func (export "waited") (result i64) (local $from i64)
    (local.set $from (call $now))
    (i32.store8 (i32.const 1032) (i32.const 1))
    (i64.store (i32.const 1096) (i64.const 5000000000))
    (drop (call $poll (i32.const 1024) (i32.const 1536) (i32.const 2) (i32.const 1600)))
    (i64.sub (call $now) (local.get $from)))
  (func (export "opened") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
  (func (export "ended") (call $exit (i32.const 0))))`)

t.test("a core module that imports preview 1 is refused, unless it is to be answered inside", async (t) => {
  t.throws(() => encodeComponent(world, core), { code: /STELE-ENC-/, message: /preview/ })
  const component = encodeComponent(world, core, { preview1: "inert" })
  t.strictSame(encodeComponent(world, core, { preview1: "inert" }), component, "equal input, equal bytes")
  await using host = await Host.open()
  const plugin = await host.load(component, { instances: { reuse: "principal" } })
  t.strictSame(plugin.describe().imports, [], "it asks the host for nothing")
  t.equal(await plugin.call("wrote", []), 12, "all is written, to nobody")
  t.equal(await plugin.call("chance", [33]), 52, "more than a seed is refused")
  t.equal(await plugin.call("chance", [32]), 0, "a runtime's seed is answered")
  t.equal(await plugin.call("chance", [8]), 52, "and what comes after it is not: it may be meant as a secret")
  t.equal(await plugin.call("waited", []), 5_000_001_000n, "waiting takes no time, and it is later then")
  t.equal(await plugin.call("opened", []), 8, "there is no folder")
  await t.rejects(plugin.call("ended", []), { code: /STELE-TRP|STELE-/ }, "the end of a program is a trap")
})

t.test("an import that preview 1 does not have, or has otherwise, is refused with its place", async (t) => {
  const { world: none } = selectWorld(parseWit("package a:b; world w { }"))
  const importing = (text: string): Promise<Uint8Array> => parse(`(module (import "wasi_snapshot_preview1" ${text}) (memory (export "memory") 1))`)
  const unknown = await importing('"fd_fly" (func)')
  t.throws(() => encodeComponent(none, unknown, { preview1: "inert" }), { code: /STELE-ENC-/, message: /fd_fly/ })
  const other = await importing('"fd_write" (func (param i64))')
  t.throws(() => encodeComponent(none, other, { preview1: "inert" }), { code: /STELE-ENC-/, message: /fd_write/ })
})
