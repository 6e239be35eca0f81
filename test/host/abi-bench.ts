/**
 * Calls through the closures of `host/abi`, against the same core module called by hand ("raw") and through jco's
 * output as shipped. Prints medians in ns a call: `node test/host/abi-bench.ts`, and the same with deno and bun;
 * `--no-jco` leaves jco out. The figures of docs/adr/0007-canonical-abi-closures.md come from here.
 */
import { attachMemory, bindExport, bindImport, type CoreFunction, createContext } from "../../host/abi/mod.ts"
import { type FunctionType, func, list, primitive, record } from "../../schemas/wit/model.ts"
import { call, get, globalGet, globalSet, i32, mem, memoryCopy, Module, tee } from "./wasm-builder.ts"

/** A guest with a bump allocator that post-return resets, so that what is timed is the boundary. */
function coreBytes(): Uint8Array<ArrayBuffer> {
  const m = new Module()
  const log = m.importFunc("$root", "log", ["i32", "i32"], [])
  m.export("memory", "memory", m.memory(96))
  const top = m.global("i32", true, i32(1024))
  const align = (by: number) => [i32(by - 1), "i32.add", i32(-by), "i32.and"]
  m.func(["i32", "i32", "i32", "i32"], ["i32"], { export: "cabi_realloc", locals: ["i32"] }, [
    globalGet(top),
    align(8),
    tee(4),
    get(3),
    "i32.add",
    globalSet(top),
    get(4),
  ])
  const copyOut = [
    globalGet(top),
    align(8),
    tee(2),
    get(1),
    "i32.add",
    globalSet(top),
    get(2),
    get(0),
    get(1),
    memoryCopy,
    i32(16),
    get(2),
    mem("i32.store"),
    i32(16),
    get(1),
    mem("i32.store", 4),
    i32(16),
  ]
  m.func(["i32", "i32"], ["i32"], { export: ["echo", "echo-bytes"], locals: ["i32"] }, copyOut)
  m.func(["i32", "i32"], ["i32"], { export: "add" }, [get(0), get(1), "i32.add"])
  m.func(["i32", "i32", "i32", "i32"], ["i32"], { export: "render" }, [
    get(0),
    get(1),
    call(log),
    get(0),
    get(1),
    call(log),
    ...[0, 1, 2, 3].map((i) => [i32(16), get(i), mem("i32.store", 4 * i)]),
    i32(16),
  ])
  m.func(["i32"], [], { export: ["cabi_post_echo", "cabi_post_echo-bytes", "cabi_post_render"] }, [i32(1024), globalSet(top)])
  return m.bytes() as Uint8Array<ArrayBuffer>
}

const wit = `package bench:abi;
world bench {
  record item { name: string, data: list<u8> }
  import log: func(message: string);
  export echo: func(s: string) -> string;
  export echo-bytes: func(b: list<u8>) -> list<u8>;
  export add: func(a: u32, b: u32) -> u32;
  export render: func(i: item) -> item;
}`

interface Item {
  readonly name: string
  readonly data: Uint8Array
}
interface Subject {
  readonly echo: (s: string) => string
  readonly echoBytes: (b: Uint8Array) => Uint8Array
  readonly add: (a: number, b: number) => number
  readonly render: (i: Item) => Item
}

let logged = 0
const log = (message: string): void => {
  logged += message.length
}

type Exports = Readonly<Record<string, CoreFunction>> & { readonly memory: WebAssembly.Memory }

async function ours(bytes: Uint8Array<ArrayBuffer>): Promise<Subject> {
  const budget = {
    liftBytesMax: 2 ** 50,
    outputBytesMax: 2 ** 50,
    hostCallBytesMax: 2 ** 50,
    streamBytesMax: 2 ** 50,
    liftBytesLeft: 2 ** 50,
    scopeBytesLeft: 0,
    scope: "outputBytesMax" as const,
    bytesIn: 0,
    bytesOut: 0,
    checkStop: (): void => undefined,
    fail(error: unknown): never {
      throw error
    },
  }
  const handles = undefined as never
  const instance = { mayLeave: true, isTouched: false }
  const item = record({ name: primitive.string, data: list(primitive.u8) })
  const cx = createContext({ memory: undefined, realloc: undefined, budget, handles, instance })
  const imported = bindImport(func({ message: primitive.string }), "utf8", "log")(cx, ([message]) => log(message as string))
  const { instance: core } = await WebAssembly.instantiate(bytes, { $root: { log: imported } })
  const exports = core.exports as unknown as Exports
  const main = createContext({ memory: exports.memory, realloc: exports["cabi_realloc"] as never, budget, handles, instance })
  attachMemory(cx, exports.memory, exports["cabi_realloc"] as never)
  const bound = (name: string, type: FunctionType) => {
    const binding = bindExport(type, "utf8", name)
    const target = exports[name] as CoreFunction
    const post = exports[`cabi_post_${name}`]
    return (...args: ReadonlyArray<unknown>) => binding.call(main, target, post, args) as never
  }
  return {
    echo: bound("echo", func({ s: primitive.string }, primitive.string)),
    echoBytes: bound("echo-bytes", func({ b: list(primitive.u8) }, list(primitive.u8))),
    add: bound("add", func({ a: primitive.u32, b: primitive.u32 }, primitive.u32)),
    render: bound("render", func({ i: item }, item)),
  }
}

async function raw(bytes: Uint8Array<ArrayBuffer>): Promise<Subject> {
  const encoder = new TextEncoder()
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  const text = (at: number, n: number): string => decoder.decode(u8.subarray(at, at + n))
  const { instance } = await WebAssembly.instantiate(bytes, { $root: { log: (at: number, n: number) => log(text(at, n)) } })
  const exports = instance.exports as unknown as Exports &
    Readonly<Record<"cabi_realloc" | "echo" | "cabi_post_echo" | "add" | "render", (...args: ReadonlyArray<number>) => number>>
  const u8 = new Uint8Array(exports.memory.buffer)
  const i32s = new Int32Array(exports.memory.buffer)
  const into = (s: string): readonly [number, number] => {
    const at = exports.cabi_realloc(0, 0, 1, 3 * s.length)
    return [at, encoder.encodeInto(s, u8.subarray(at, at + 3 * s.length)).written]
  }
  const bytesInto = (b: Uint8Array): number => {
    const at = exports.cabi_realloc(0, 0, 1, b.length)
    u8.set(b, at)
    return at
  }
  return {
    echo(s) {
      const [at, n] = into(s)
      const out = exports.echo(at, n)
      const back = text(i32s[out >> 2] as number, i32s[(out >> 2) + 1] as number)
      exports.cabi_post_echo(out)
      return back
    },
    echoBytes(b) {
      const out = exports.echo(bytesInto(b), b.length)
      const at = i32s[out >> 2] as number
      const back = u8.slice(at, at + (i32s[(out >> 2) + 1] as number))
      exports.cabi_post_echo(out)
      return back
    },
    add: (a, b) => exports.add(a, b) >>> 0,
    render({ name, data }) {
      const [at, n] = into(name)
      const out = exports.render(at, n, bytesInto(data), data.length) >> 2
      const dataAt = i32s[out + 2] as number
      const back = { name: text(i32s[out] as number, i32s[out + 1] as number), data: u8.slice(dataAt, dataAt + (i32s[out + 3] as number)) }
      exports.cabi_post_echo(out)
      return back
    },
  }
}

async function jco(bytes: Uint8Array<ArrayBuffer>): Promise<Subject> {
  const { componentEmbed, componentNew } = (await import("@bytecodealliance/jco-transpile/wasm-tools" as string)) as {
    readonly componentEmbed: (options: object) => Promise<Uint8Array>
    readonly componentNew: (bytes: Uint8Array, adapters: ReadonlyArray<never>) => Promise<Uint8Array>
  }
  const { transpileBytes } = (await import("@bytecodealliance/jco-transpile" as string)) as {
    readonly transpileBytes: (bytes: Uint8Array, options: object) => Promise<{ readonly files: Readonly<Record<string, Uint8Array>> }>
  }
  const component = await componentNew(await componentEmbed({ binary: bytes, witSource: wit, world: "bench", stringEncoding: "utf8" }), [])
  const { files } = await transpileBytes(component, { name: "bench", instantiation: "sync", nodejsCompat: false, emitTypescriptDeclarations: false })
  const source = new TextDecoder().decode(files["bench.js"])
  const module = (await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" }))).catch(
    () => import(`data:text/javascript;base64,${btoa(unescape(encodeURIComponent(source)))}`),
  )) as { readonly instantiate: (core: (name: string) => WebAssembly.Module, imports: object) => Subject }
  return module.instantiate((name) => new WebAssembly.Module(files[name] as Uint8Array<ArrayBuffer>), {
    log: { default: log },
    $root: { log: { default: log } },
  })
}

const short = "The quick brown fox jumps over the lazy dog 0123456789 and more"
const item: Item = { name: "Ada Lovelace, 1815", data: new Uint8Array(256).map((_, i) => i) }
const mebibyte = new Uint8Array(1 << 20).map((_, i) => i)
const works: ReadonlyArray<readonly [name: string, calls: number, run: (subject: Subject) => unknown]> = [
  ["add(u32, u32)", 200_000, (s) => s.add(1, 2)],
  ["echo 63-byte string", 100_000, (s) => s.echo(short)],
  ["echo 7-byte string", 100_000, (s) => s.echo("Ada Lov")],
  ["echo 63 units not ASCII", 50_000, (s) => s.echo("ünï→".repeat(15))],
  ["echo 64-byte list<u8>", 100_000, (s) => s.echoBytes(item.data.subarray(0, 64))],
  ["record in and out, 2 host calls", 50_000, (s) => s.render(item)],
  ["echo 1 MiB list<u8>", 100, (s) => s.echoBytes(mebibyte)],
]

const bytes = coreBytes()
const subjects = new Map<string, Subject>([
  ["raw", await raw(bytes)],
  ["ours", await ours(bytes)],
])
if (!process.argv.includes("--no-jco")) {
  try {
    subjects.set("jco", await jco(bytes))
  } catch (error) {
    console.log(`jco left out: ${String(error)}`)
  }
}
const median = (values: Array<number>): number => values.sort((a, b) => a - b)[values.length >> 1] as number

for (const [name, calls, run] of works) {
  const rounds = new Map<string, Array<number>>([...subjects.keys()].map((key) => [key, []]))
  for (const subject of subjects.values()) for (let i = 0; i < calls; i++) run(subject)
  // Interleaved, so that a slow moment of the machine falls on all of them.
  for (let round = 0; round < 11; round++) {
    for (const [key, subject] of subjects) {
      const start = performance.now()
      for (let i = 0; i < calls; i++) run(subject)
      rounds.get(key)?.push(((performance.now() - start) / calls) * 1e6)
    }
  }
  const medians = [...rounds].map(([key, values]) => [key, Math.round(median(values))] as const)
  const own = medians.find(([key]) => key === "ours")?.[1] as number
  console.log(`${name.padEnd(34)} ${medians.map(([key, ns]) => `${key} ${String(ns).padStart(8)} ns (${(ns / own).toFixed(2)}x)`).join("  ")}`)
}
process.exit(logged === 0 ? 1 : 0)
