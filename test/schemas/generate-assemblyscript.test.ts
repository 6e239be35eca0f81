/** Bindings for AssemblyScript: compiled, made a component, called through the host; what goes in comes out, and nothing stays. */
import { readFile } from "node:fs/promises"
import t from "tap"
import { Host } from "../../host/host.ts"
import type { ProvidedInterface } from "../../host/link/link.ts"
import { assemblyScriptBindings } from "../../schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { buildAssemblyScript } from "./assemblyscript/build.ts"

t.setTimeout(300_000)
const text = (name: string): Promise<string> => readFile(new URL(`assemblyscript/${name}`, import.meta.url), "utf8")

/** What the plugin is given. `said` is what it did with it. */
function given(said: Array<unknown>): Readonly<Record<string, ProvidedInterface>> {
  class Bucket {
    readonly name: string
    constructor(name: string) {
      this.name = name
    }
    get(key: string): unknown {
      if (key === "denied") return { tag: "err", val: { tag: "denied", val: "no" } }
      return { tag: "ok", val: key === "none" ? undefined : Uint8Array.of(1, 2) }
    }
    set(key: string, value: Uint8Array): void {
      said.push(["set", this.name, key, [...value]])
    }
    static open(name: string): unknown {
      return { tag: "ok", val: new Bucket(name) }
    }
  }
  const store = { Bucket, bucket: Bucket, merge: (a: Bucket, b: Bucket, names: ReadonlyArray<string>) => (said.push(["merge", a.name, b.name, names]), 7) }
  return {
    "acme:all/store": store as unknown as ProvidedInterface,
    note: ((line: string) => said.push(line)) as unknown as ProvidedInterface,
    Bucket: Bucket as never,
  }
}

t.test("every type crosses both ways, and the memory of 5,000 calls stays what it was", async (t) => {
  const { component, files } = await buildAssemblyScript(await text("world.wit"), await text("plugin.as.ts"))
  for (const { path, text: code } of files)
    if (path.endsWith(".ts")) t.match(code, /^\/\/ Made from the world acme:all\/all@1\.0\.0 by stele/, `${path} says what made it`)
  const said: Array<unknown> = []
  const { Bucket, ...imports } = given(said) as unknown as Record<string, ProvidedInterface> & { Bucket: new (name: string) => object }
  await using host = await Host.open()
  const plugin = await host.load(component, { metering: "off", instances: { reuse: "principal" }, imports })
  const call = async (name: string, ...args: ReadonlyArray<unknown>): Promise<unknown> => {
    const { result, usage } = await plugin.callWithUsage(`acme:all/api@1.0.0#${name}`, args)
    t.equal(usage.handlesLeft, undefined, `${name} leaves no handle`)
    return result
  }
  const point = { x: 1.5, y: 2.5, label: "lbl", n: 3 }
  const bare = { ...point, label: undefined, n: undefined }
  const perms = { read: true, write: false, x3: false, x4: false, x5: false, x6: false, x7: false, x8: false, x9: true }
  const shapes = [
    { tag: "empty" },
    { tag: "circle", val: 2.25 },
    { tag: "poly", val: [point, bare] },
    { tag: "named", val: "zoë😀\0" },
    { tag: "pair", val: [200, -5n] },
  ]
  for (const shape of shapes) t.strictSame(await call("echo", shape, point, "default", perms), [shape, point, "default", perms], shape.tag)
  t.strictSame(
    await call(
      "many",
      1,
      -2,
      3n,
      1.5,
      2.5,
      "😀",
      true,
      "h",
      ["a", "bb"],
      Float64Array.of(9, 8),
      { tag: "some", val: undefined },
      { tag: "err", val: "e" },
      { tag: "ok" },
      [5, "t"],
    ),
    [
      ["h", 2],
      ["a", 0],
      ["bb", 1],
      ["1 -2 3 1.5 2.5 128512 true 2 true false true 5 t", 9],
    ],
    "parameters that go through memory",
  )
  t.equal(await call("res", { tag: "ok", val: BigUint64Array.of(77n) }), 77)
  t.equal(await call("res", { tag: "ok", val: BigUint64Array.of() }), undefined)
  const own = await plugin.call("acme:all/api@1.0.0#res", [{ tag: "err", val: { tag: "denied", val: "no" } }]).catch((error: unknown) => error)
  t.match(own, { reason: { payload: { tag: "denied", val: "no" } } })
  t.strictSame(await call("lend", new Bucket("l"), "k"), Uint8Array.of(1, 2))
  for (const key of ["none", "denied"]) t.equal(await call("lend", new Bucket("l"), key), undefined)
  for (const variant of [
    { tag: "e" },
    { tag: "a", val: 0.5 },
    { tag: "d", val: -3.25 },
    { tag: "b", val: 2n ** 63n },
    { tag: "c", val: "" },
    { tag: "c", val: "x" },
  ])
    t.strictSame(await call("flat", undefined, variant), variant, `joined flat values of ${variant.tag}`)
  t.strictSame(await call("flat", 1.5, { tag: "e" }), { tag: "a", val: 1.5 })

  const [a, b] = [await call("[constructor]counter", 5), await call("[constructor]counter", 6)]
  t.equal(await call("[method]counter.increment", a, 4), 9)
  const merged = await call("[static]counter.merge", a, b)
  t.equal(await call("[method]counter.increment", merged, 1), 16)
  for (const resource of [b, merged]) (resource as Disposable)[Symbol.dispose]()

  t.equal(await plugin.call("run", []), "ran 7")
  t.strictSame(said, ["running", ["set", "x", "k", [1, 2, 3]], ["merge", "x", "y", ["p", "q"]]])
  const pages = async (): Promise<number> => (await plugin.callWithUsage("run", [])).usage.memoryPeakBytes
  const before = await pages()
  const long = "x".repeat(500)
  for (let i = 0; i < 5_000; i++) await plugin.call("acme:all/api@1.0.0#echo", [{ tag: "poly", val: [{ ...point, label: long }, point] }, point, "mid", perms])
  t.equal(await pages(), before, "nothing leaks")
})

t.test("names that are words of AssemblyScript, two interfaces with one function, and an interface in both directions", async (t) => {
  const wit = `package acme:odd;
    interface class { record new { default: u8, this: string } %type: func(function: new) -> new; i32: func(%u8: u8) -> u8; }
    interface a { run: func() -> string; variant result-x { ok(u8), err } }
    interface b { use a.{result-x}; run: func(x: result-x) -> result-x; }
    world odd { import class; export class; export a; export b; import i64: func(array: list<u8>) -> u8; export void: func() -> u8; }`
  const { component } = await buildAssemblyScript(
    wit,
    `import { New } from "../bindings/class"
     import { ResultX } from "../bindings/a"
     import * as given from "../bindings/class"
     import { i64_ as count } from "../bindings/world"
     export function type(f: New): New { return given.type(f) }
     export function i32_(x: u8): u8 { return given.i32_(x) }
     export function aRun(): string { return "a" }
     export function bRun(x: ResultX): ResultX { return x }
     export function void_(): u8 { return count([1, 2, 3] as StaticArray<u8>) }`,
  )
  await using host = await Host.open()
  const imports = { "acme:odd/class": { type: (x: unknown) => x, i32: (x: number) => x + 1 }, i64: (x: Uint8Array) => x.length } as unknown as Readonly<
    Record<string, ProvidedInterface>
  >
  const plugin = await host.load(component, { imports })
  t.strictSame(await plugin.call("acme:odd/class#type", [{ default: 3, this: "t" }]), { default: 3, this: "t" })
  t.equal(await plugin.call("acme:odd/class#i32", [4]), 5)
  t.equal(await plugin.call("acme:odd/a#run", []), "a")
  t.strictSame(await plugin.call("acme:odd/b#run", [{ tag: "ok", val: 1 }]), { tag: "ok", val: 1 })
  t.equal(await plugin.call("void", []), 3)
})

t.test("what cannot be expressed is refused with its place, and generation is stable", async (t) => {
  const refusal = (body: string): unknown => {
    const resolve = parseWit(`package a:b; interface i { ${body} } world w { export i; }`)
    try {
      return assemblyScriptBindings({ world: selectWorld(resolve).world, name: "w", notes: resolve.notes })
    } catch (error) {
      return error
    }
  }
  t.match(refusal("f: func(x: list<option<stream<u8>>>);"), { code: "STELE-GEN-0001", message: /stream.*a:b\/i#f/ })
  t.match(refusal("f: func() -> future<u8>;"), { code: "STELE-GEN-0001" })
  t.match(refusal("f: async func();"), { code: "STELE-GEN-0001", message: /async/ })
  t.match(
    refusal("record %option { a: u8 } record %result { a: u8 } g: func(x: option<%option>) -> result<%result>;"),
    { files: [] },
    "a type may have the name of one of ours",
  )
  const resolve = parseWit(await text("world.wit"))
  const generate = () => assemblyScriptBindings({ world: selectWorld(resolve).world, name: "w", notes: resolve.notes })
  t.strictSame(generate(), generate())
})
