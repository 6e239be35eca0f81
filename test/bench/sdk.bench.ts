/**
 * `npm run bench -- sdk`: what the libraries for plugins in AssemblyScript cost, in the sandbox without metering: JSON beside
 * `JSON.parse` and `JSON.stringify` of a plugin in TypeScript, which is QuickJS in its component.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Host } from "../../host/mod.ts"
import { compileTypeScript } from "../../runtime/author/language/typescript-job.ts"
import { buildGuest } from "../plugins/sdk/guest.ts"
import { figureRow, type Row } from "./measure.ts"

const jsonWit = `package bench:json; world json {
  export parse: func(text: string, times: u32) -> u32;
  export write: func(text: string, times: u32) -> u32;
}`
const json = `
import { Json } from "../bindings/sdk/json"
export function parse(text: string, times: u32): u32 {
  let n: u32 = 0
  for (let i: u32 = 0; i < times; i++) n += Json.parse(text).value.length
  return n
}
export function write(text: string, times: u32): u32 {
  const value = Json.parse(text).value
  let n: u32 = 0
  for (let i: u32 = 0; i < times; i++) n += value.toString().length
  return n
}
`
const quickJs = `
export function parse(text: string, times: number): number {
  let n = 0
  for (let i = 0; i < times; i++) n += JSON.parse(text).length
  return n
}
export function write(text: string, times: number): number {
  const value = JSON.parse(text)
  let n = 0
  for (let i = 0; i < times; i++) n += JSON.stringify(value).length
  return n
}
`
const restWit = `package bench:rest; world rest {
  export add: func(times: u32) -> u32;
  export mul: func(times: u32) -> u32;
  export div: func(times: u32) -> u32;
  export print: func(times: u32) -> u32;
  export read-number: func(times: u32) -> u32;
  export set: func(times: u32) -> u32;
  export find: func(times: u32) -> u32;
  export cbor-read: func(bytes: list<u8>, times: u32) -> u32;
  export cbor-write: func(bytes: list<u8>, times: u32) -> u32;
  export cbor-of: func(text: string) -> list<u8>;
}`
const rest = `
import { Cbor } from "../bindings/sdk/cbor"
import { Decimal } from "../bindings/sdk/decimal"
import { Json, JsonKind } from "../bindings/sdk/json"
import { OrderedMap } from "../bindings/sdk/ordered-map"
const price = Decimal.parse("0.00001").value, quantity = Decimal.parse("123456.789").value, three = Decimal.of(3)
export function add(times: u32): u32 { let sum = Decimal.zero; for (let i: u32 = 0; i < times; i++) sum = sum.add(price); return <u32>sum.sign }
export function mul(times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += quantity.mul(price).sign; return n }
export function div(times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += quantity.div(three).sign; return n }
export function print(times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += quantity.toFixed(2).length; return n }
export function readNumber(times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += Decimal.parse("123456.789").value.sign; return n }
function compare(a: i64, b: i64): i32 { return i32(a > b) - i32(a < b) }
const map = new OrderedMap<i64, i64>(compare)
export function set(times: u32): u32 { map.clear(); for (let i: u32 = 0; i < times; i++) map.set(<i64>((<u64>i * 2654435761) & 0xffffffff), i); return map.size }
export function find(times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += u32(map.has(<i64>((<u64>i * 2654435761) & 0xffffffff))); return n }
function convert(json: Json): Cbor {
  switch (json.kind) {
    case JsonKind.null_: return Cbor.null_
    case JsonKind.boolean: return Cbor.boolean(json.asBoolean)
    case JsonKind.string: return Cbor.text(json.asString)
    case JsonKind.number: return json.fitsI64 ? Cbor.integer(json.asI64) : Cbor.float(json.asF64)
    case JsonKind.array: { const all = Cbor.array(); for (let i = 0; i < json.length; i++) all.push(convert(json.at(i))); return all }
  }
  const all = Cbor.map()
  for (let i = 0; i < json.length; i++) all.add(Cbor.text(json.nameAt(i)), convert(json.at(i)))
  return all
}
export function cborOf(text: string): StaticArray<u8> { return convert(Json.parse(text).value).write() }
export function cborRead(bytes: StaticArray<u8>, times: u32): u32 { let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += Cbor.read(bytes).value.length; return n }
export function cborWrite(bytes: StaticArray<u8>, times: u32): u32 { const item = Cbor.read(bytes).value; let n: u32 = 0; for (let i: u32 = 0; i < times; i++) n += item.write().length; return n }
`

/** Records as services answer them: 100 KB. */
const text = JSON.stringify(
  Array.from({ length: 600 }, (_, i) => ({
    id: `0197-${i.toString(16).padStart(6, "0")}`,
    name: `customer number ${i}, "quoted"`,
    amount: i * 19.99,
    quantity: i,
    paid: i % 3 === 0,
    note: i % 5 === 0 ? null : "delivered to the door\nand signed",
    tags: ["a", "bb", "ccc"],
  })),
)

/** Nanoseconds of one, the least of several runs: the machine is not ours alone. */
function nsOf(run: (times: number) => unknown, times: number): number {
  let least = Number.POSITIVE_INFINITY
  run(Math.ceil(times / 10))
  for (let i = 0; i < 7; i++) {
    const began = performance.now()
    run(times)
    least = Math.min(least, performance.now() - began)
  }
  return (least * 1e6) / times
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-sdk-"))
  await using host = await Host.open({ cache: false })
  const open = async (component: Uint8Array) => host.load(component, { metering: "off", instances: { reuse: "principal" } })
  const rows: Array<Row> = []
  try {
    await writeFile(join(folder, "json.wit"), jsonWit)
    await writeFile(join(folder, "json.ts"), quickJs)
    say("JSON")
    const built = await buildGuest(jsonWit, json)
    const ours = await open(built)
    const [rolldown, componentize] = ["rolldown", "componentize-qjs"].map((name) => import.meta.resolve(name)) as [string, string]
    const [entry, wit] = [join(folder, "json.ts"), join(folder, "json.wit")]
    const theirs = await open(
      await compileTypeScript({ language: "typescript", entry, wit, world: "json", exports: ["parse", "write"], rolldown, componentize }),
    )
    for (const [name, figure] of [
      ["parse", "JSON read"],
      ["write", "JSON written"],
    ] as const) {
      const speed = (plugin: typeof ours): number => (text.length * 1000) / nsOf((times) => plugin.callSync(name, [text, times]), 20)
      const [mine, quick] = [speed(ours), speed(theirs)]
      rows.push(figureRow(figure, "MB/s", mine, { QuickJS: quick }, [{ name: "ours/QuickJS", ratio: mine / quick, atLeast: 1 }]))
    }
    const plain = (name: string, figure: string, of: typeof ours, times: number): void => {
      rows.push(
        figureRow(
          figure,
          "ns",
          nsOf((count) => of.callSync(name, [count]), times),
          {},
          [],
        ),
      )
    }
    say("decimals, maps, CBOR")
    const others = await open(await buildGuest(restWit, rest))
    plain("add", "decimal added", others, 1_000_000)
    plain("mul", "decimal multiplied", others, 300_000)
    plain("div", "decimal divided", others, 300_000)
    plain("print", "decimal printed with 2 places", others, 100_000)
    plain("read-number", "decimal read", others, 100_000)
    plain("set", "ordered map of 100,000: set", others, 100_000)
    plain("find", "ordered map of 100,000: found", others, 100_000)
    const bytes = others.callSync("cbor-of", [text]) as Uint8Array
    for (const [name, figure] of [
      ["cbor-read", "CBOR read"],
      ["cbor-write", "CBOR written, keys sorted"],
    ] as const)
      rows.push(figureRow(figure, "MB/s", (bytes.length * 1000) / nsOf((times) => others.callSync(name, [bytes, times]), 20), {}, []))
    rows.push(figureRow("component that reads and writes JSON", "bytes", built.length, {}, []))
  } finally {
    await rm(folder, { recursive: true })
  }
  return rows
}
