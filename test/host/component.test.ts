/** The decoder and the elaboration of components: what they accept, what they make of it, and that they are total. */
import { readFile } from "node:fs/promises"
import fc from "../property.ts"
import t from "tap"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { defaultLimits, Host, SteleError, VerifyError } from "../../host/mod.ts"
import { interfaceText } from "../../schemas/wit/print.ts"
import {
  bumpAllocator,
  canonLift,
  component,
  componentOf,
  coreInstances,
  coreInstantiate,
  coreModule,
  customSection,
  exported,
  exportsOf,
  funcOf,
  guest,
  imported,
  importsOf,
  prim,
  raw,
  recordOf,
  types,
  wat,
} from "./component-builder.ts"
import { isFull, seed } from "../seed.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())

const example = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url)))

/** Decodes and elaborates: undefined when it works, otherwise the typed error; anything else is thrown. */
function refusal(bytes: Uint8Array): SteleError | undefined {
  try {
    elaborate(decodeComponent(bytes, defaultLimits), defaultLimits)
    return undefined
  } catch (error) {
    if (error instanceof SteleError) return error
    throw error
  }
}

// ── Totality ────────────────────────────────────────────────────────────────

t.test("`decodeComponent()` refuses with an offset inside the file when a component ends early, at every byte", async (t) => {
  for (const name of ["spinner", "greeter"]) {
    const bytes = await example(name)
    for (let length = 0; length < bytes.length; length++) {
      const error = refusal(bytes.subarray(0, length))
      // A prefix that ends between two sections may be a component of its own.
      if (error === undefined) continue
      const { reason } = error as VerifyError
      if (!(error instanceof VerifyError) || ("offset" in reason && (reason.offset < 0 || reason.offset > length)))
        t.fail(`${name} cut to ${length} bytes: ${error.message}`)
    }
  }
  t.pass("every prefix")
})

t.test(`\`decodeComponent()\` gives a typed error or a component when any single byte is changed (seed ${seed})`, async (t) => {
  const bytes = await example("spinner")
  const counts = { accepted: 0, refused: 0 }
  for (let at = 0; at < bytes.length; at++) {
    const was = bytes[at] as number
    for (const change of isFull ? Array.from({ length: 255 }, (_, i) => i + 1) : [1, 0x80, 0xff, (seed >>> (at % 24)) & 0xff || 2]) {
      bytes[at] = was ^ change
      counts[refusal(bytes) === undefined ? "accepted" : "refused"]++
    }
    bytes[at] = was
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.accepted > 0 && counts.refused > 0)
})

t.test(`\`decodeComponent()\` gives a typed error when sections hold noise (seed ${seed})`, (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 13 }), fc.uint8Array({ maxLength: 40 })), { maxLength: 6 }), (sections) => {
      const error = refusal(component(...sections.map(([id, contents]) => raw(id, [...contents]))))
      return error === undefined || error.code.startsWith("STELE-VFY") || error.code.startsWith("STELE-LIM")
    }),
    { numRuns: isFull ? 50_000 : 3_000 },
  )
  t.end()
})

// ── What it makes of components ─────────────────────────────────────────────

t.test("the byte builder and wasm-tools write the same bytes when they describe the same component", async (t) => {
  const core = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
  const built = component(
    coreModule(core),
    types(recordOf(["a", prim.u8], ["b", prim.string])),
    exportsOf(exported("r", "type", 0)),
    coreInstances(coreInstantiate(0)),
  )
  t.same(built, await wat(`(component (core module) (type (record (field "a" u8) (field "b" string))) (export "r" (type 0)) (core instance (instantiate 0)))`))
})

t.test("`elaborate()` reads the world that was written when wit-component made the component", async (t) => {
  const declarations = [
    "enum colour { red, green-ish }",
    "flags rights { read, write }",
    "record point { x: f64, y: option<f64>, tags: list<tuple<string, colour>> }",
    "variant shape { empty, circle(point), many(list<u32>) }",
    "resource canvas { constructor(name: string); size: func() -> tuple<u16, u16>; open: static func(name: string) -> result<canvas>; }",
    "draw: func(s: shape, rights: rights) -> result<point, colour>;",
    "share: func(c: borrow<canvas>) -> option<canvas>;",
  ]
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
  const witSource = `package a:b@1.2.3; interface things { ${declarations.join(" ")} } world w { import things; export things; }`
  const bytes = await tools.componentNew(await tools.componentEmbed({ witSource, dummy: true, world: "w" }))
  const { world } = elaborate(decodeComponent(bytes, defaultLimits), defaultLimits)
  for (const [side, found] of [
    ["import", world.imports.get("a:b/things@1.2.3")],
    ["export", world.exports.get("a:b/things@1.2.3")],
  ] as const) {
    if (found?.kind !== "interface") throw new Error(`the ${side} is no interface`)
    // White space and the order of a resource's functions are the printer's own.
    const flat = (text: string): string => text.replace(/\s+/g, " ").replace(/,? \}/g, " }")
    const text = flat(interfaceText("a:b/things@1.2.3", found))
    for (const declaration of declarations.filter((one) => !one.startsWith("resource"))) t.match(text, flat(declaration), `${side}: ${declaration}`)
    for (const part of ["constructor(name: string)", "size: func() -> tuple<u16, u16>", "open: static func(name: string) -> result<canvas>"])
      t.match(text, part, `${side}: ${part}`)
  }
  const greeter = elaborate(decodeComponent(await example("greeter"), defaultLimits), defaultLimits).world
  t.same([...greeter.imports.keys()].sort(), ["wasi:keyvalue/store@0.2.0-draft", "wasi:logging/logging@0.1.0-draft"])
  t.same([...greeter.exports.keys()], ["acme:greeter/api"])
  const api = greeter.exports.get("acme:greeter/api")
  if (api?.kind !== "interface") throw new Error("the greeter exports no interface")
  const text = interfaceText("acme:greeter/api", api)
  for (const part of ["record visitor", "name: string", "tea-price: option<string>", "greet: func(visitor: visitor) -> result<greeting, string>"])
    t.match(text, part)
})

t.test("`elaborate()` folds away what components are wrapped in when instances are nested three deep", async (t) => {
  const plugin = await host.load(
    await wat(`(component
      (component $outer
        (import "base" (func $base (result u32)))
        (component $inner
          (import "f" (func $f (result u32)))
          (core func $cf (canon lower (func $f))) (core instance $env (export "f" (func $cf)))
          (core module $m (import "env" "f" (func $f (result i32))) (func (export "plus") (result i32) (i32.add (call $f) (i32.const 1))))
          (core instance $i (instantiate $m (with "env" (instance $env))))
          (func (export "plus") (result u32) (canon lift (core func $i "plus"))))
        (instance $one (instantiate $inner (with "f" (func $base))))
        (instance $two (instantiate $inner (with "f" (func $one "plus"))))
        (instance $bundle (export "sum" (func $two "plus")) (export "one" (func $one "plus")))
        (export "api" (instance $bundle)))
      (core module $m (func (export "base") (result i32) (i32.const 40)))
      (core instance $i (instantiate $m))
      (func $base (result u32) (canon lift (core func $i "base")))
      (instance $o (instantiate $outer (with "base" (func $base))))
      (export "test:nested/api" (instance $o "api")))`),
  )
  t.teardown(() => plugin.close())
  t.equal(await plugin.call("test:nested/api#sum", [] as never), 42)
  t.equal(await plugin.call("test:nested/api#one", [] as never), 41)
})

t.test("`elaborate()` keeps two versions apart when a component imports and exports both", async (t) => {
  const api = (version: string, answer: number): string => `
    (import "test:host/source@${version}" (instance $h${answer} (export "value" (func (result u32)))))
    (core func $l${answer} (canon lower (func $h${answer} "value"))) (core instance $e${answer} (export "value" (func $l${answer})))
    (core instance $i${answer} (instantiate $m (with "host" (instance $e${answer}))))
    (func $f${answer} (result u32) (canon lift (core func $i${answer} "run")))
    (instance $x${answer} (export "run" (func $f${answer}))) (export "test:guest/api@${version}" (instance $x${answer}))`
  const bytes = await wat(
    `(component (core module $m (import "host" "value" (func $v (result i32))) (func (export "run") (result i32) (call $v))) ${api("1.0.0", 1)} ${api("2.0.0", 2)})`,
  )
  const plugin = await host.load(bytes, { imports: { "test:host/source@1.0.0": { value: () => 1 }, "test:host/source@2.0.0": { value: () => 2 } } })
  t.teardown(() => plugin.close())
  t.equal(await plugin.call("test:guest/api@1.0.0#run", [] as never), 1)
  t.equal(await plugin.call("test:guest/api@2.0.0#run", [] as never), 2)
  await t.rejects(plugin.call("test:guest/api#run", [] as never), { code: "STELE-PLG-0003" }, "without a version the name is ambiguous")
  t.same(
    plugin.describe().imports.map(({ name, status }) => [name, status]),
    [
      ["test:host/source@1.0.0", "provided"],
      ["test:host/source@2.0.0", "provided"],
    ],
  )
})

for (const encoding of ["utf8", "utf16", "latin1+utf16"] as const) {
  t.test(`strings pass through a component and back when its encoding is ${encoding}`, async (t) => {
    const plugin = await host.load(
      await guest({
        option: `string-encoding=${encoding}`,
        core: `${bumpAllocator(4)} (func (export "echo") (param i32 i32) (result i32) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))`,
        exports: { echo: `(param "text" string) (result string)` },
      }),
    )
    t.teardown(() => plugin.close())
    for (const text of ["", "a", "grüße", "漢字", "𝄞 and \u0000", "\ufeffmark", "ÿ".repeat(3_000), "x".repeat(40_000), "𝄞".repeat(5_000)])
      t.equal(plugin.callSync("echo", [text] as never), text)
    t.equal(plugin.callSync("echo", ["\ud800a"] as never), "\ufffda", "a lone surrogate becomes U+FFFD")
  })
}

t.test("a component works when several core modules share memory through wit-component's shim and fix-up modules", async (t) => {
  const bytes = await componentOf(
    `package test:shim; interface store { get: func(key: string) -> option<list<u8>>; put: func(key: string, value: list<u8>) -> result<u32, string>; } world w { import store; export run: func(key: string) -> string; }`,
    `(module
      (import "test:shim/store" "get" (func $get (param i32 i32 i32))) (import "test:shim/store" "put" (func $put (param i32 i32 i32 i32 i32)))
      ${bumpAllocator(2).replaceAll('"realloc"', '"cabi_realloc"')}
      (func (export "run") (param $p i32) (param $n i32) (result i32)
        (call $get (local.get $p) (local.get $n) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
        (call $put (local.get $p) (local.get $n) (i32.load (i32.const 68)) (i32.load (i32.const 72)) (i32.const 80))
        (if (i32.eqz (i32.load8_u (i32.const 80))) (then unreachable))
        (i32.store (i32.const 0) (i32.load (i32.const 84))) (i32.store (i32.const 4) (i32.load (i32.const 88))) (i32.const 0)))`,
  )
  const puts: Array<readonly [string, Uint8Array]> = []
  const plugin = await host.load(bytes, {
    imports: {
      "test:shim/store": {
        get: (key: string) => (key === "none" ? undefined : new TextEncoder().encode(`value of ${key}`)),
        put: (key: string, value: Uint8Array) => {
          puts.push([key, value])
          return { tag: "err", val: `no room for ${key}` }
        },
      },
    },
  })
  t.teardown(() => plugin.close())
  t.equal(await plugin.call("run", ["tea"] as never), "no room for tea")
  t.same(puts, [["tea", new TextEncoder().encode("value of tea")]])
  await t.rejects(plugin.call("run", ["none"] as never), { code: "STELE-PLG-0002" })
})

t.test("custom sections change nothing when they stand anywhere", async (t) => {
  const bytes = await guest({ core: `(func (export "run") (result i32) (i32.const 7))`, exports: { run: "(result u32)" } })
  const padded = Uint8Array.from([
    ...bytes.subarray(0, 8),
    ...customSection("a", [1, 2, 3]),
    ...bytes.subarray(8),
    ...customSection("component-name", [0xff, 0xff]),
    ...customSection("", []),
  ])
  const plugin = await host.load(padded)
  t.teardown(() => plugin.close())
  t.equal(plugin.callSync("run", [] as never), 7)
})

// ── Names ───────────────────────────────────────────────────────────────────

const names = {
  good: [
    "a",
    "a-b",
    "a1-b2",
    "URL",
    "get-URL",
    "a-1",
    "wasi:io/poll",
    "wasi:io/poll@0.2.0",
    "wasi:io/poll@0.2.0-rc.1+build.5",
    "[constructor]r",
    "[method]r.f",
    "[static]r-x.f-y",
    "ns:pkg/iface@10.20.30",
  ],
  bad: [
    "",
    "-",
    "a-",
    "-a",
    "a--b",
    "A-b-Cd",
    "1a",
    "a_b",
    "a b",
    "ä",
    "a/b",
    "a:b",
    ":a/b",
    "a:b/",
    "a:b/c@",
    "a:b/c@1",
    "a:b/c@1.2",
    "a:b/c@01.2.3",
    "[method]r",
    "[constructor]r.f",
    "[method]r.f.g",
    "[get]r.f",
    "[method].f",
    "a:b/c d",
    "a\u0000",
    "a\n",
    "\u202ea",
    "a".repeat(600),
    "a'];globalThis.PWN=1;//",
    "__proto__",
    "hasOwnProperty",
  ],
} as const

t.test("export names are accepted and refused when they are well and ill formed", (t) => {
  const exporting = (name: string): Uint8Array => component(types(prim.u8), exportsOf(exported(name, "type", 0)))
  for (const name of names.good) t.equal(refusal(exporting(name))?.message, undefined, JSON.stringify(name))
  for (const name of names.bad) {
    const error = refusal(exporting(name))
    t.equal(error?.code, "STELE-VFY-0003", JSON.stringify(name).slice(0, 60))
    // oxlint-disable-next-line no-control-regex
    t.notMatch(error?.message ?? "", /[\u0000-\u001f\u202a-\u202e]/, "its message shows no raw control character")
  }
  t.end()
})

t.test("a name takes time in proportion to its length when it almost matches", (t) => {
  const almost = "a1-".repeat(170)
  const startedMs = performance.now()
  for (let i = 0; i < 2_000; i++) refusal(component(types(prim.u8), exportsOf(exported(almost, "type", 0))))
  t.ok(performance.now() - startedMs < 2_000, "two thousand refusals of 510 characters")
  t.end()
})

t.test("what this version does not have is refused by name when a component uses it", async (t) => {
  const unsupported: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
    ["streams", component(types([0x66, 0x01, 0x7d])), /streams/],
    ["futures", component(types([0x65, 0x00])), /futures/],
    ["async functions", component(types([0x43, 0x00, 0x01, 0x00])), /async functions/],
    ["fixed-length lists", component(types([0x67, 0x7d, 0x04])), /fixed-length lists/],
    ["component values", component(raw(12, [0x00])), /values/],
    ["start functions", component(raw(9, [0x00, 0x00, 0x00])), /start function/],
    ["imports by hash", component(types(funcOf([])), importsOf(imported("integrity=<sha256-x>", [0x01, 0x00]))), /hash/],
    ["asynchronous built-ins", component(raw(8, [1, 0x05])), /asynchronous/],
  ]
  for (const [what, bytes, message] of unsupported) t.match(refusal(bytes), { code: "STELE-VFY-0004", message }, what)
})

t.test("canon options are checked when a lift names the wrong functions", async (t) => {
  const core = `(memory (export "memory") 1) (func (export "realloc") (param i32) (result i32) (i32.const 0)) (func (export "run") (param i32 i32))`
  t.match(refusal(await guest({ core, exports: { run: `(param "text" string)` } })), { code: "STELE-VFY-0003", message: /realloc is not a function/ })
  t.match(refusal(await guest({ core: `(func (export "run") (param i32 i32))`, exports: { run: `(param "text" string)` } })), {
    code: "STELE-VFY-0003",
    message: /without a memory/,
  })
  t.match(refusal(await guest({ core: `(memory (export "memory") 1) (func (export "run") (param i32 i32))`, exports: { run: `(param "text" string)` } })), {
    code: "STELE-VFY-0003",
    message: /without a realloc/,
  })
  t.match(
    refusal(
      await guest({
        core: `(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)) (func (export "post-run"))`,
        exports: { run: "(result string)" },
      }),
    ),
    {
      code: "STELE-VFY-0003",
      message: /post-return/,
    },
  )
  t.match(refusal(component(types(funcOf([])), raw(8, [1, ...canonLift(0, 0, [[0x00], [0x01]])]))), { code: "STELE-VFY-0003", message: /given twice/ })
})
