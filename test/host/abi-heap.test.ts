/**
 * What a lifted list takes of the host's heap, against what the guest was charged for it: without the weights of
 * `Layout.words`, 16 MiB of nested one-byte records would take 80 GiB here.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import t from "tap"
import { bindExport, sizeOf } from "../../host/abi/mod.ts"
import * as w from "../../schemas/wit/model.ts"
import type { ValueType } from "../../schemas/wit/model.ts"
import { guest } from "./abi-guest.ts"

setFlagsFromString("--expose-gc")
const gc = runInNewContext("gc") as () => void

const p = w.primitive
const nested = (depth: number, wrap: (inner: ValueType) => ValueType): ValueType => (depth === 0 ? p.u8 : wrap(nested(depth - 1, wrap)))
const labels = (n: number): ReadonlyArray<string> => Array.from({ length: n }, (_, i) => `f${i}`)
const fields = (n: number, type: ValueType): ValueType => w.record(Object.fromEntries(labels(n).map((label) => [label, type])))

/** All are lifted from zeroed memory. */
const types: ReadonlyArray<readonly [string, ValueType]> = [
  ["bool", p.bool],
  ["char", p.char],
  ["string", p.string],
  ["enum", w.enumeration("a")],
  ["list<u8>", w.list(p.u8)],
  ["list<f64>", w.list(p.f64)],
  ["list<bool>", w.list(p.bool)],
  ["empty tuple", w.tuple()],
  ["empty record", w.record({})],
  ["tuple<u8>", w.tuple(p.u8)],
  ["tuple of 40 f64", w.tuple(...labels(40).map(() => p.f64))],
  ["record of 1", fields(1, p.u8)],
  ["record of 12 u64", fields(12, p.u64)],
  ["record of 20", fields(20, p.u8)],
  ["record of 1,000", fields(1_000, p.u8)],
  ["flags of 8", w.flags(...labels(8))],
  ["flags of 40", w.flags(...labels(40))],
  ["flags of 2,000", w.flags(...labels(2_000))],
  ["result", w.result()],
  ["result<f64>", w.result(p.f64)],
  ["option<option<u8>>", w.option(w.option(p.u8))],
  ["90 records deep", nested(90, (inner) => w.record({ a: inner }))],
  ["90 tuples deep", nested(90, (inner) => w.tuple(inner))],
  ["90 results deep", nested(90, (inner) => w.result(inner))],
]

const charged = 4 << 20

/** Lifts as many elements as the limit lets through and answers how many bytes of heap hold them. */
function taken(type: ValueType): { readonly length: number; readonly bytes: number } {
  const on = guest({ limits: { output: charged } })
  const f = bindExport(w.func({}, w.list(type)), "utf8", "f")
  const lift = (length: number): ReadonlyArray<unknown> => {
    const view = new DataView(on.memory.buffer)
    view.setUint32(8, 1_024, true)
    view.setUint32(12, length, true)
    return f.call(on.cx, () => 8, undefined, []) as ReadonlyArray<unknown>
  }
  on.memory.grow(Math.ceil((charged * sizeOf(type)) / 65_536 / 8) + 1)
  const before = on.budget.liftBytesLeft
  lift(16)
  const length = Math.floor((charged - 64) / ((before - on.budget.liftBytesLeft - 8) / 16))
  gc()
  const empty = process.memoryUsage()
  const kept = lift(length)
  gc()
  const full = process.memoryUsage()
  return { length: kept.length, bytes: full.heapUsed + full.external - empty.heapUsed - empty.external }
}

t.test("`bindExport()` never takes more than twice the heap that it charged for", (t) => {
  for (const [name, type] of types) {
    const { length, bytes } = taken(type)
    t.equal(bytes <= 2 * charged, true, `${name}: ${length} elements took ${(bytes / charged).toFixed(2)} of what they were charged`)
  }
  // The measure itself: an array of slots takes what it holds.
  t.equal(taken(p.bool).bytes > charged / 2, true)
  t.end()
})
