/**
 * Several modules in one manifest, linked by name as Extism's Rust host links them. Its JavaScript host 1.0.3 instantiates
 * them apart from each other, so there is no second answer to compare with here.
 */
import { createHash } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { joinModules, splitModules } from "../../host/foreign/extism/joined.ts"
import { extismManifest } from "../../host/foreign/extism/manifest.ts"
import { Host, type LoadOptions, waits } from "../../host/mod.ts"
import { memoryLog } from "../../host/port/mod.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import { wat } from "./component-builder.ts"
import { extismGuest } from "./extism/guest.ts"

const log = memoryLog()
const host = await Host.open({ cache: false, ports: { log } })
t.teardown(() => host.close())

interface Named {
  readonly name?: string
  readonly bytes: Uint8Array
  readonly hash?: string
}
const manifestOf = (modules: ReadonlyArray<Named>) => ({
  wasm: modules.map(({ name, bytes, hash }) => ({
    data: Buffer.from(bytes).toString("base64"),
    ...(name === undefined ? {} : { name }),
    ...(hash === undefined ? {} : { hash }),
  })),
})
async function run(modules: ReadonlyArray<Named>, given: LoadOptions = {}, input = ""): Promise<string> {
  const { source, options } = extismManifest(manifestOf(modules))
  await using plugin = await host.load(source, { ...options, ...given, grants: [...(options.grants ?? []), ...(given.grants ?? [])] })
  return new TextDecoder().decode((await plugin.call("run", [new TextEncoder().encode(input)], { deadlineMs: 20_000 })) as Uint8Array)
}
const codeOf = async (modules: ReadonlyArray<Named>, given: LoadOptions = {}): Promise<string> => {
  try {
    await run(modules, given)
    return "none"
  } catch (error) {
    return error instanceof SteleError ? error.code : String(error)
  }
}

/** `shout` makes letters capital in a block of the kernel: a library that works with the host's memory of blocks. */
const shout = await wat(`(module
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (func (export "shout") (param $p i64) (result i64) (local $i i64)
    (block $done (loop $next
      (br_if $done (i64.ge_u (local.get $i) (call $length (local.get $p))))
      (call $store (i64.add (local.get $p) (local.get $i)) (i32.and (call $load (i64.add (local.get $p) (local.get $i))) (i32.const 0xdf)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (local.get $p)))`)
const shouting = await extismGuest({
  data: "ada",
  imports: `(import "text" "shout" (func $shout (param i64) (result i64)))`,
  body: `(call $answer (call $shout (call $block (i32.const 0) (i32.const 3))))`,
})

t.test("a module's imports come from the module of that name, wherever it stands and however it runs", async (t) => {
  const modules = [{ name: "text", bytes: shout }, { bytes: shouting }]
  t.equal(await run(modules), "ADA", "the last is the main one where none is named so")
  t.equal(await run([{ name: "main", bytes: shouting }, modules[0] as Named]), "ADA", "and one that is named so stands anywhere")
  for (const options of [{ metering: "fuel" }, { metering: "yield" }, { isolation: "worker" }, { isolation: "process" }, { prepare: "snapshot" }] as const)
    t.equal(await run(modules, options), "ADA", JSON.stringify(options))
  const { source, options } = extismManifest(manifestOf(modules))
  await using plugin = await host.load(source, options)
  t.same(
    plugin.describe().exports.map(({ name }) => name),
    ["run"],
    "libraries' functions are the modules' own",
  )
  await plugin.replace(source)
  t.equal(new TextDecoder().decode((await plugin.call("run", [new Uint8Array()])) as Uint8Array), "ADA")
})

t.test("modules are found by the names of their files", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-extism-modules-"))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const [name, bytes] of [
    ["text.wasm", shout],
    ["app.wasm", shouting],
  ] as const)
    await writeFile(join(folder, name), bytes)
  const { source, options } = extismManifest({ wasm: [{ path: join(folder, "text.wasm") }, { path: join(folder, "app.wasm") }] })
  await using plugin = await host.load(source, options)
  t.equal(new TextDecoder().decode((await plugin.call("run", [new Uint8Array()])) as Uint8Array), "ADA")
})

t.test("memories, globals and tables are linked like functions, and a library is ready before the main module", async (t) => {
  const store = await wat(`(module
    (memory (export "memory") 1)
    (global (export "count") (mut i32) (i32.const 40))
    (table (export "table") 1 funcref)
    (func $two (result i32) (i32.const 2))
    (elem (i32.const 0) $two)
    (func (export "_initialize") (i32.store8 (i32.const 0) (i32.const 33))))`)
  const main = await wat(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (import "store" "memory" (memory 1))
    (import "store" "count" (global $count (mut i32)))
    (import "store" "table" (table 1 funcref))
    (type $f (func (result i32)))
    (func (export "run") (result i32) (local $p i64)
      (local.set $p (call $alloc (i64.const 2)))
      (call $store (local.get $p) (i32.load8_u (i32.const 0)))
      (call $store (i64.add (local.get $p) (i64.const 1)) (i32.add (global.get $count) (call_indirect (type $f) (i32.const 0))))
      (call $output (local.get $p) (i64.const 2))
      (i32.const 0)))`)
  const modules = [{ name: "store", bytes: store }, { bytes: main }]
  for (const metering of ["deadline", "fuel"] as const) t.equal(await run(modules, { metering }), "!*", metering)
})

t.test("each module's host functions work with the memory of that module", async (t) => {
  // Both have text at address 0; `fd_write` of each writes its own.
  const speaking = (text: string, more: string) =>
    `(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "${text}\\n")
      (func $speak (export "speak")
        (i32.store (i32.const 32) (i32.const 0)) (i32.store (i32.const 36) (i32.const ${text.length + 1}))
        (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40))))
      ${more})`
  const library = await wat(speaking("library", ""))
  const main = await wat(
    speaking("main", `(func (export "run") (result i32) (call $other) (call $speak) (i32.const 0))`).replace(
      "(memory",
      `(import "extism:host/env" "input_length" (func (result i64))) (import "lib" "speak" (func $other)) (memory`,
    ),
  )
  const modules = [{ name: "lib", bytes: library }, { bytes: main }]
  for (const isolation of ["inline", "worker"] as const) {
    const said: Array<string> = []
    await run(modules, { isolation, wasi: { stdout: (bytes) => void said.push(new TextDecoder().decode(bytes)) } })
    t.equal(said.join(""), "library\nmain\n", isolation)
  }
})

t.test("a library calls functions of the application, which may answer later", async (t) => {
  const asking = await wat(`(module
    (import "extism:host/user" "find" (func $find (param i64) (result i64)))
    (func (export "ask") (param i64) (result i64) (call $find (local.get 0))))`)
  const main = await extismGuest({
    data: "tea",
    imports: `(import "ask" "ask" (func $ask (param i64) (result i64)))`,
    body: `(call $answer (call $ask (call $block (i32.const 0) (i32.const 3))))`,
  })
  const modules = [{ name: "ask", bytes: asking }, { bytes: main }]
  const later = waits(async (_wait, key: Uint8Array) => `${new TextDecoder().decode(key)} 2.50`)
  const imports = { "extism:host/user": { find: later } }
  t.equal(await run(modules, { grants: ["call:find"], imports }), "tea 2.50")
  t.equal(await codeOf(modules, { imports }), "STELE-CAP-0003", "and no module has it without its grant")
})

t.test("chains are linked in order, and what cannot be linked is refused by name", async (t) => {
  const one = await wat(`(module (func (export "f") (result i32) (i32.const 1)))`)
  const from = (...names: ReadonlyArray<string>) =>
    wat(
      `(module ${names.map((name, i) => `(import "${name}" "f" (func $f${i} (result i32)))`).join("")} (func (export "f") (result i32) (i32.add (i32.const 1) (call $f0))))`,
    )
  const main = (name: string) =>
    extismGuest({ imports: `(import "${name}" "f" (func $f (result i32)))`, body: `(call $answer-i64 (i64.extend_i32_u (i32.add (call $f) (i32.const 62))))` })
  const chain = [
    { name: "a", bytes: await from("b") },
    { name: "b", bytes: await from("c", "d") },
    { name: "d", bytes: one },
    { name: "c", bytes: one },
    { name: "unused", bytes: one },
    { bytes: await main("a") },
  ]
  t.equal((await run(chain)).charAt(0), "A")

  const good = await main("a")
  for (const [about, code, modules] of [
    ["a circle", "STELE-EXT-0007", [{ name: "a", bytes: await from("b") }, { name: "b", bytes: await from("a") }, { bytes: good }]],
    ["itself", "STELE-EXT-0007", [{ name: "a", bytes: await from("a") }, { bytes: good }]],
    ["from the main module", "STELE-EXT-0007", [{ name: "a", bytes: await from("main") }, { bytes: good }]],
    ["a command", "STELE-EXT-0007", [{ name: "a", bytes: await wat(`(module (func (export "_start")))`) }, { bytes: good }]],
    ["two of a name", "STELE-EXT-0007", [{ name: "a", bytes: one }, { name: "a", bytes: one }, { bytes: good }]],
    [
      "two main ones",
      "STELE-EXT-0007",
      [
        { name: "main", bytes: good },
        { name: "main", bytes: good },
      ],
    ],
    ["a name of the host", "STELE-EXT-0007", [{ name: "extism:host/env", bytes: one }, { bytes: good }]],
    ["a long name", "STELE-EXT-0007", [{ name: "é".repeat(129), bytes: one }, { bytes: good }]],
    ["no module", "STELE-EXT-0007", [{ name: "a", bytes: new Uint8Array(8) }, { bytes: good }]],
    ["a component", "STELE-EXT-0007", [{ name: "a", bytes: one }, { bytes: Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0) }]],
    ["no such module", "STELE-CAP-0002", [{ name: "b", bytes: one }, { bytes: good }]],
    ["no such function", "STELE-VFY-0017", [{ name: "a", bytes: await wat("(module)") }, { bytes: good }]],
    ["another signature", "STELE-VFY-0017", [{ name: "a", bytes: await wat(`(module (func (export "f") (result i64) (i64.const 1)))`) }, { bytes: good }]],
    ["another kind", "STELE-VFY-0017", [{ name: "a", bytes: await wat(`(module (memory (export "f") 1))`) }, { bytes: good }]],
    ["malformed", "STELE-VFY-0003", [{ name: "a", bytes: Uint8Array.of(...one, 99) }, { bytes: good }]],
    ["another digest", "STELE-VFY-0018", [{ name: "a", bytes: one, hash: "0".repeat(64) }, { bytes: good }]],
    ["too many", "STELE-LIM-0013", [...Array.from({ length: 70 }, (_, i) => ({ name: `m${i}`, bytes: one })), { name: "a", bytes: one }, { bytes: good }]],
  ] as const)
    t.equal(await codeOf(modules), code, about)
  t.equal(await codeOf([{ name: "a", bytes: one, hash: createHash("sha256").update(one).digest("hex") }, { bytes: good }]), "none")
  t.equal(await codeOf(chain, { limits: { componentBytesMax: 300 } }), "STELE-LIM-0012", "all of them together are one plugin")
})

t.test("`splitModules()` takes back what `joinModules()` made, and any other bytes without a crash", async (t) => {
  const one = await wat(`(module (func (export "f") (result i32) (i32.const 1)))`)
  const whole = joinModules({
    main: shouting,
    libraries: new Map([
      ["text", shout],
      ["", one],
    ]),
  })
  const parts = splitModules(whole, 64)
  t.same(parts?.main, shouting)
  t.same(
    [...(parts?.libraries ?? [])],
    [
      ["text", shout],
      ["", one],
    ],
  )
  t.equal(splitModules(shouting, 64), undefined)
  for (let i = 0; i < whole.length; i++) {
    const flipped = whole.slice()
    flipped[i] = (flipped[i] as number) ^ (1 << (i % 8))
    for (const bytes of [flipped, whole.subarray(0, i)])
      try {
        splitModules(bytes, 64)
      } catch (error) {
        if (!(error instanceof SteleError)) throw error
      }
  }
})
