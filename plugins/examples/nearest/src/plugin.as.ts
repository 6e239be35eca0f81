/** Cosine search by three kernels of the host: vectors to one length, each times the query, the greatest. */
import { Error, Numbers, run } from "../bindings/compute"
import { err, ok, Result, Tuple2 } from "../bindings/runtime"
import { Hit } from "../bindings/search"

type Sizes = Array<Tuple2<string, f64>>
type Operands = Array<Tuple2<string, Numbers>>

function size(name: string, value: i32): Tuple2<string, f64> {
  return new Tuple2<string, f64>(name, value)
}
function floats(name: string, values: StaticArray<f32>): Tuple2<string, Numbers> {
  return new Tuple2<string, Numbers>(name, Numbers.floats(values))
}
function sentence(operation: string, error: Error): string {
  return error.isInvalid ? error.asInvalid.message : `Cannot run ${operation} without the grant ${error.asAccessDenied}`
}

/** Rows whose squares have a mean of 1: the product of two, over their length, is the cosine. */
function normalized(rows: i32, columns: i32, x: StaticArray<f32>): Result<Operands, Error> {
  return run("rmsNorm", [size("rows", rows), size("columns", columns), new Tuple2<string, f64>("epsilon", 1e-30)], [floats("x", x)])
}

export function nearest(query: StaticArray<f32>, vectors: StaticArray<f32>, count: u32): Result<Array<Hit>, string> {
  const columns = query.length
  if (columns == 0 || vectors.length % columns != 0) return err<Array<Hit>, string>("Cannot search: vectors must be as long as the query")
  const rows = vectors.length / columns
  const one = normalized(1, columns, query)
  if (one.isErr) return err<Array<Hit>, string>(sentence("rmsNorm", one.error))
  const all = normalized(rows, columns, vectors)
  if (all.isErr) return err<Array<Hit>, string>(sentence("rmsNorm", all.error))
  const products = run(
    "matmul",
    [size("m", rows), size("k", columns), size("n", 1)],
    [floats("a", all.value[0].item1.asFloats), floats("b", one.value[0].item1.asFloats)],
  )
  if (products.isErr) return err<Array<Hit>, string>(sentence("matmul", products.error))
  const k = <i32>min<u32>(count, rows)
  const best = run("topk", [size("n", rows), size("k", k)], [floats("x", products.value[0].item1.asFloats)])
  if (best.isErr) return err<Array<Hit>, string>(sentence("topk", best.error))
  const values = best.value[0].item1.asFloats, places = best.value[1].item1.asIntegers
  const hits = new Array<Hit>()
  for (let i = 0; i < k; i++) hits.push(new Hit(places[i], values[i] / <f32>columns))
  return ok<Array<Hit>, string>(hits)
}
