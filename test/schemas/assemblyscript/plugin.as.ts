/** Implements `world.wit` for `generate-assemblyscript.test.ts`: every type goes in and comes out. */
import { Shape, Point, Level, Perms, VariantX, CounterHandle } from "../bindings/api"
import { Bucket, Error, merge } from "../bindings/store"
import { note } from "../bindings/world"
import { Option, Result, Tuple2, Tuple4, Unit, some, none, ok, err } from "../bindings/runtime"

export function echo(s: Shape, p: Point, l: Level, f: Perms): Tuple4<Shape, Point, Level, Perms> {
  return new Tuple4(s, p, l, f)
}
export function many(a: u8, b: i16, c: u64, d: f32, e: f64, f: u32, g: bool, h: string, i: Array<string>, j: StaticArray<f64>, k: Option<string | null>, l: Result<u8, string>, m: Result<Unit, Unit>, n: Tuple2<u8, string>): Array<Tuple2<string, u32>> {
  const out = new Array<Tuple2<string, u32>>()
  out.push(new Tuple2<string, u32>(h, i.length))
  for (let x = 0; x < i.length; x++) out.push(new Tuple2<string, u32>(i[x], x))
  out.push(new Tuple2<string, u32>(`${a} ${b} ${c} ${d} ${e} ${f} ${g} ${j.length} ${k.isSome} ${l.isOk} ${m.isOk} ${n.item0} ${n.item1}`, j.length > 0 ? <u32>j[0] : 0))
  return out
}
export function res(x: Result<StaticArray<u64>, Error>): Result<Option<u32>, Error> {
  if (x.isErr) return err<Option<u32>, Error>(x.error)
  if (x.value.length == 0) return ok<Option<u32>, Error>(none<u32>())
  return ok<Option<u32>, Error>(some<u32>(<u32>x.value[0]))
}
export function lend(b: Bucket, key: string): StaticArray<u8> | null {
  const r = b.get(key)
  return r.isOk ? r.value : null
}
export function flat(a: Option<f32>, b: VariantX): VariantX { return a.isSome ? VariantX.a(a.value) : b }
export class Counter {
  constructor(public n: u32) {}
  increment(by: u32): u32 { this.n += by; return this.n }
  static merge(a: CounterHandle, b: Counter): CounterHandle { const c = CounterHandle.from$(new Counter(a.value.n + b.n)); a.drop(); return c }
  dispose(): void { this.n = 0 }
}
export function run(): string {
  note("running")
  const b = Bucket.create("x")
  b.set("k", [1, 2, 3] as StaticArray<u8>)
  const c = Bucket.open("y")
  const n = merge(b, c.value, ["p", "q"])
  c.value.drop()
  return `ran ${n}`
}
