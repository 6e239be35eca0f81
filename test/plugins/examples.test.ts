/**
 * The example plugins through jco, which is an independent implementation of the component model: what they compute
 * is right before our own host has any part in it. jco's source is evaluated here because we built the components.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { $init, generate } from "@bytecodealliance/jco-transpile/component"
import t from "tap"

type Exports = Readonly<Record<string, Readonly<Record<string, (...args: ReadonlyArray<unknown>) => unknown>>>>
type Instantiate = (
  core: (name: string) => WebAssembly.Module,
  imports: object,
  instantiateCore: (module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance,
) => Exports

const examples = new URL("../../plugins/examples/", import.meta.url)
const folder = await mkdtemp(join(tmpdir(), "stele-examples-"))
t.teardown(() => rm(folder, { recursive: true }))
await $init

/** Memories of everything instantiated below, newest last. */
const memories: Array<WebAssembly.Memory> = []

/** Transpiles an example and instantiates it with the given imports (jco drops versions from their names). */
async function instantiate(name: string, imports: object): Promise<Exports> {
  const bytes = await readFile(new URL(`${name}/build/${name}.wasm`, examples))
  const { files } = generate(bytes, { name, instantiation: { tag: "sync" }, noTypescript: true, noNodejsCompat: true, map: [] })
  const cores = new Map(files.filter(([path]) => path.endsWith(".wasm")).map(([path, core]) => [path, new WebAssembly.Module(core as Uint8Array<ArrayBuffer>)]))
  const source = join(folder, `${name}.mjs`)
  await writeFile(source, files.find(([path]) => path.endsWith(".js"))?.[1] ?? "")
  const { instantiate: make } = (await import(pathToFileURL(source).href)) as { readonly instantiate: Instantiate }
  return make(
    (path) => cores.get(path) as WebAssembly.Module,
    imports,
    (module, coreImports) => {
      const instance = new WebAssembly.Instance(module, coreImports)
      if (instance.exports.memory instanceof WebAssembly.Memory) memories.push(instance.exports.memory)
      return instance
    },
  )
}

const logged: Array<string> = []
const logging = { "wasi:logging/logging": { log: (level: string, context: string, message: string) => logged.push(`${level} ${context} ${message}`) } }

/** A store with one bucket, as jco wants a resource: a class. */
function keyvalue(entries: Map<string, string>, isWritable: boolean) {
  class Bucket {
    get(key: string) {
      const value = entries.get(key)
      return value === undefined ? undefined : new TextEncoder().encode(value)
    }
    set(key: string, value: Uint8Array) {
      if (!isWritable) throw Object.assign(new Error("denied"), { payload: { tag: "access-denied" } })
      entries.set(key, new TextDecoder().decode(value))
    }
  }
  const open = (identifier: string) => {
    if (identifier !== "prices") throw Object.assign(new Error("no store"), { payload: { tag: "other", val: "unexpected" } })
    return new Bucket()
  }
  return { "wasi:keyvalue/store": { Bucket, open } }
}

/** The payload of the error side of an export's `result`. */
function payloadOf(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return (error as { readonly payload: unknown }).payload
  }
  return "no error"
}

t.test("`analyze()` counts the words of the Constitution when its text is given", async (t) => {
  const text = await readFile(new URL("text-stats/data/constitution.txt", examples), "utf8")
  const { analysis } = await instantiate("text-stats", logging)
  const summary = analysis?.analyze?.(text, { top: 3, minLetters: 4 }) as Record<string, unknown>
  // Independent counts: a word is a run of letters with apostrophes between letters.
  const words = text.match(/[A-Za-z]+(?:['’][A-Za-z]+)*/g) ?? []
  const counts = Map.groupBy(words, (word) => word.toLowerCase())
  const top = [...counts]
    .map(([word, found]) => ({ word, count: found.length }))
    .filter(({ word }) => word.length >= 4)
    .sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1))
  t.equal(summary.words, words.length)
  t.equal(summary.distinctWords, counts.size)
  t.equal(summary.length, text.length)
  t.equal(summary.paragraphs, text.split(/\n\s*\n/).filter((part) => /[A-Za-z]/.test(part)).length)
  t.same(summary.topWords, top.slice(0, 3))
  t.equal(
    summary.longestWord,
    words.reduce((longest, word) => (word.length > longest.length ? word : longest)),
  )
  t.ok(Math.abs((summary.meanWordLetters as number) - words.join("").length / words.length) < 1e-12)
  t.same(logged.splice(0), [`info text-stats Counted ${words.length} words in ${text.length} code units`])
})

t.test("`analyze()` counts what is no English when the text holds other scripts", async (t) => {
  const { analysis } = await instantiate("text-stats", logging)
  const summary = analysis?.analyze?.("Žluťoučký kůň. Σοφία — 𝄞 don’t! Да?\n\n…\n\n\u0000the end", { top: 9, minLetters: 0 }) as Record<string, unknown>
  t.equal(summary.words, 7)
  t.equal(summary.sentences, 4, "a mark after a single word ends nothing, a blank line does")
  t.equal(summary.paragraphs, 2)
  t.equal(summary.longestWord, "Žluťoučký")
})

t.test("`analyze()` refuses when there is nothing to count or too much to list", async (t) => {
  const { analysis } = await instantiate("text-stats", logging)
  t.equal(
    payloadOf(() => analysis?.analyze?.("", { top: 1, minLetters: 0 })),
    "Cannot analyse a text without words",
  )
  t.equal(
    payloadOf(() => analysis?.analyze?.("a", { top: 1001, minLetters: 0 })),
    'Cannot list the top words: "top" is 1001, at most 1000 are listed',
  )
})

t.test("`analyze()` returns its memory when it is called again and again", async (t) => {
  const { analysis } = await instantiate("text-stats", logging)
  const text = "one two three. ".repeat(2000)
  const call = () => analysis?.analyze?.(text, { top: 3, minLetters: 0 }) as { readonly words: number }
  for (let round = 0; round < 20; round += 1) t.equal(call().words, 6000)
  const before = memories.at(-1)?.buffer.byteLength
  for (let round = 0; round < 500; round += 1) call()
  t.equal(memories.at(-1)?.buffer.byteLength, before, "30 MB of arguments leave the memory as it was")
})

t.test("`greet()` names the price when the store has one", async (t) => {
  const priced = await instantiate("greeter", { ...logging, ...keyvalue(new Map([["tea", "2.50 €"]]), false) })
  t.same(priced.api?.greet?.({ name: "Ada" }), { message: "Hello, Ada!", teaPrice: "2.50 €" })
  const empty = await instantiate("greeter", { ...logging, ...keyvalue(new Map(), false) })
  t.same(empty.api?.greet?.({ name: "Zoë 𝄞" }), { message: "Hello, Zoë 𝄞!", teaPrice: undefined })
  t.equal(
    payloadOf(() => empty.api?.greet?.({ name: "" })),
    "Cannot greet a visitor without a name",
  )
  t.same(logged.splice(-2), ["info greeter Greeted Ada", "info greeter Greeted Zoë 𝄞"])
})

t.test("`tamper()` reports the outcome when the store allows and when it denies writing", async (t) => {
  const entries = new Map([["tea", "2.50"]])
  const allowed = await instantiate("snoop", { ...logging, ...keyvalue(entries, true) })
  t.equal(allowed.report?.tamper?.(), "The price of tea is now 0.00")
  t.equal(entries.get("tea"), "0.00")
  const denied = await instantiate("snoop", { ...logging, ...keyvalue(entries, false) })
  t.equal(denied.report?.tamper?.(), "Cannot write the price: access was denied")
})

t.test("`spin()` returns when its state is zero", async (t) => {
  const { wheel } = await instantiate("spinner", {})
  t.equal(wheel?.spin?.(0), 0n)
})

t.test("`describe()` finds Michelson's mean and deviation when the table of 1879 is given", async (t) => {
  const csv = await readFile(new URL("table-stats/data/light.csv", examples), "utf8")
  const { statistics } = await instantiate("table-stats", {})
  const table = statistics?.describe?.(csv, { separator: ",", correlations: true }) as {
    readonly rows: number
    readonly columns: ReadonlyArray<{ readonly name: string; readonly content: { readonly val: Record<string, number> } }>
    readonly correlations: ReadonlyArray<{ readonly first: string; readonly second: string; readonly r: number }>
  }
  t.equal(table.rows, 100)
  t.same(
    table.columns.map(({ name }) => name),
    ["experiment", "run", "speed_km_s"],
  )
  const speed = table.columns[2]?.content.val ?? {}
  // Published: mean 299,852.4 km/s, standard deviation 79.01 (Stigler, "Do robust estimators work with real data?", 1977).
  t.equal(Math.round((speed.mean ?? 0) * 10) / 10, 299852.4)
  t.equal(Math.round((speed.standardDeviation ?? 0) * 100) / 100, 79.01)
  t.equal(speed.median, 299850)
  t.equal(speed.minimum, 299620)
  t.equal(speed.maximum, 300070)
  t.same(
    table.correlations.map(({ first, second }) => [first, second]),
    [
      ["experiment", "run"],
      ["experiment", "speed_km_s"],
      ["run", "speed_km_s"],
    ],
  )
})

t.test("`describe()` refuses with the line when the table is broken", async (t) => {
  const { statistics } = await instantiate("table-stats", {})
  const options = { separator: ";", correlations: false }
  t.same(
    payloadOf(() => statistics?.describe?.("a;b\n1;2\n3\n", options)),
    { tag: "ragged-row", val: { line: 3, expected: 2, found: 1 } },
  )
  t.same(
    payloadOf(() => statistics?.describe?.('a;b\n1;"2\n', options)),
    { tag: "unterminated-quote", val: 2 },
  )
  t.same(
    payloadOf(() => statistics?.describe?.("\n\n", options)),
    { tag: "no-header" },
  )
})
