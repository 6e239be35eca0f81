/**
 * `npm run bench -- bindings`: what generated bindings for AssemblyScript cost: the greeter of `plugins/examples` beside the one by
 * hand in `plugins/sdk`, on our host; and the same generated component on ours and on jco's, as shipped.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { transpileBytes } from "@bytecodealliance/jco-transpile"
import { Host, type Plugin } from "../../host/mod.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { assemblyScriptBindings } from "../../schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { compileBindings } from "../schemas/assemblyscript/build.ts"
import { compare, type Row, row } from "./measure.ts"

const plugins = new URL("../../plugins/", import.meta.url)
const read = (path: string): Promise<string> => readFile(new URL(path, plugins), "utf8")

const echoWit = `package bench:echo;
interface api { record item { name: string, data: list<u8>, count: u32 } text: func(x: string) -> string; whole: func(x: item) -> item; }
world echo { export api; }`
const echo = `
import { Item } from "../bindings/api"
export function text(x: string): string { return x }
export function whole(x: Item): Item { return x }`
const echoByHand = `
import { cabiRealloc, dropString, freeString, liftString, lowerString, resultArea } from "./abi.as"
export { cabiRealloc } from "./abi.as"
export function api_text(ptr: usize, units: u32): usize {
  const area = resultArea(8)
  lowerString(area, liftString(ptr, units))
  return area
}
export function api_text_post(area: usize): void { freeString(area); heap.free(area) }
export function api_whole(ptr: usize, units: u32, data: usize, bytes: u32, count: u32): usize {
  const name = liftString(ptr, units)
  const copy = new StaticArray<u8>(bytes)
  memory.copy(changetype<usize>(copy), data, bytes)
  if (bytes != 0) heap.free(data)
  const area = resultArea(20)
  lowerString(area, name)
  const block = heap.alloc(bytes)
  memory.copy(block, changetype<usize>(copy), bytes)
  store<u32>(area, <u32>block, 8)
  store<u32>(area, bytes, 12)
  store<u32>(area, count, 16)
  return area
}
export function api_whole_post(area: usize): void { freeString(area); heap.free(load<u32>(area, 8)); heap.free(area) }`

interface Pair {
  readonly generated: Uint8Array
  readonly byHand: Uint8Array
}

/** The same world by bindings and by hand, through the same compiler and encoder. */
async function pair(wit: string, world: string, source: string, byHand: string, exports: Readonly<Record<string, string>>): Promise<Pair> {
  const resolve = parseWit(wit)
  const selected = selectWorld(resolve, world)
  const bindings = assemblyScriptBindings({ world: selected.world, name: selected.full, notes: resolve.notes })
  const sdk = await Promise.all(["abi.as.ts", "keyvalue.as.ts", "logging.as.ts"].map(async (name) => ({ path: name, text: await read(`sdk/${name}`) })))
  const own = {
    files: [
      ...sdk,
      { path: "exports.ts", text: `import * as $runtime from "./runtime"\n${byHand}` },
      ...bindings.files.filter(({ path }) => path === "runtime.ts"),
    ],
    entry: "exports.ts",
    exports,
  }
  const component = (core: Uint8Array): Uint8Array => encodeComponent(selected.world, core, { encoding: "utf16" })
  const flags = "-O3 --shrinkLevel 1 --noAssert"
  return { generated: component(await compileBindings(bindings, source, flags)), byHand: component(await compileBindings(own, "", flags)) }
}

class Bucket {
  get(): unknown {
    return { tag: "ok", val: Uint8Array.of(49, 50) }
  }
  [Symbol.dispose](): void {}
}
const given = {
  "wasi:logging/logging": { log: () => undefined },
  "wasi:keyvalue/store": { Bucket, open: () => ({ tag: "ok", val: new Bucket() }) },
}

type Functions = Readonly<Record<string, (...args: ReadonlyArray<unknown>) => unknown>>
/** jco's output with its debug check, as it ships. */
async function jco(component: Uint8Array, imports: object, api: string): Promise<{ readonly functions: Functions; readonly clean: () => Promise<void> }> {
  const { files } = await transpileBytes(component, {
    name: "guest",
    instantiation: "sync",
    nodejsCompat: false,
    emitTypescriptDeclarations: false,
    minify: false,
  })
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-"))
  const path = join(folder, "guest.mjs")
  const bytes = files as Readonly<Record<string, Uint8Array>>
  await writeFile(path, bytes["guest.js"] as Uint8Array)
  const { instantiate } = (await import(pathToFileURL(path).href)) as {
    instantiate: (core: (name: string) => WebAssembly.Module, imports: object) => Record<string, Functions>
  }
  const instance = instantiate((name) => new WebAssembly.Module(bytes[name] as BufferSource), imports)
  return { functions: instance[api] as Functions, clean: () => rm(folder, { recursive: true, force: true }) }
}

const jcoBucket = class {
  get(): unknown {
    return Uint8Array.of(49, 50)
  }
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  say("asc compiles…")
  const wit = [
    await read("examples/greeter/wit/world.wit"),
    ...(await Promise.all(["logging", "keyvalue"].map(async (name) => nested(await read(`sdk/wit/${name}.wit`))))),
  ].join("\n")
  const byHand = await read("sdk/greeter.as.ts")
  const greeting = await pair(wit, "acme:greeter/greeter", await read("examples/greeter/src/plugin.ts"), byHand, {
    greet: "acme:greeter/api#greet",
    greetPost: "cabi_post_acme:greeter/api#greet",
    cabiRealloc: "cabi_realloc",
  })
  const echoing = await pair(echoWit, "bench:echo/echo", echo, echoByHand, {
    api_text: "bench:echo/api#text",
    api_text_post: "cabi_post_bench:echo/api#text",
    api_whole: "bench:echo/api#whole",
    api_whole_post: "cabi_post_bench:echo/api#whole",
    cabiRealloc: "cabi_realloc",
  })
  await using host = await Host.open({ cache: false })
  const open = (component: Uint8Array, imports: object = {}): Promise<Plugin> =>
    host.load(component, { metering: "off", instances: { reuse: "principal" }, imports: imports as never })
  const [greetGenerated, greetByHand] = [await open(greeting.generated, given), await open(greeting.byHand, given)]
  const [echoGenerated, echoHand] = [await open(echoing.generated), await open(echoing.byHand)]
  const jcoGreeter = await jco(
    greeting.generated,
    { "wasi:logging/logging": { log: () => undefined }, "wasi:keyvalue/store": { Bucket: jcoBucket, open: () => new jcoBucket() } },
    "api",
  )
  const jcoEcho = await jco(echoing.generated, {}, "api")
  const visitor = { name: "Ada" }
  const text = "x".repeat(63)
  const item = { name: "an item of some kind", data: new Uint8Array(256).fill(7), count: 9 }
  const cases = [
    ["greeter: record in, result of record out, 4 host calls", "acme:greeter/api#greet", "greet", visitor, greetGenerated, greetByHand, jcoGreeter.functions],
    ["text of 63 bytes, echoed", "bench:echo/api#text", "text", text, echoGenerated, echoHand, jcoEcho.functions],
    ["record of text, 256 bytes and a number, echoed", "bench:echo/api#whole", "whole", item, echoGenerated, echoHand, jcoEcho.functions],
  ] as const
  const rows: Array<Row> = []
  for (const [figure, full, name, value, generated, hand, theirs] of cases) {
    say(figure)
    const all = compare({
      ours: () => generated.callSync(full, [value]),
      "by hand": () => hand.callSync(full, [value]),
      jco: () => theirs[name]?.(value),
    })
    const median = (of: string): number => all[of]?.median ?? Number.NaN
    rows.push(
      row(figure, "µs", all, [
        { name: "generated/by hand", ratio: median("ours") / median("by hand"), atMost: 1.3 },
        { name: "jco/ours", ratio: median("jco") / median("ours"), atLeast: 4 },
      ]),
    )
  }
  await jcoGreeter.clean()
  await jcoEcho.clean()
  return rows
}

/** A package of a file as one inside another's. */
const nested = (text: string): string => `${text.replace(/^package\s+([^;{]+);/m, "package $1 {")}\n}`
