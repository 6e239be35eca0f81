// `plugins/simd` through the host: each kernel has the bits of its reference, for lengths of all kinds and awkward numbers, and refuses what does not fit.
import { readFile } from "node:fs/promises"
import t from "tap"
import { Host } from "../../host/mod.ts"
import { matmul } from "../../kernels/matmul/matmul.ts"
import { softmax } from "../../kernels/normalize/normalize.ts"
import { dot, sum } from "../../kernels/reduce/reduce.ts"
import { topk } from "../../kernels/select/select.ts"
import { binary, fma } from "../../kernels/vector/vector.ts"

const host = await Host.open()
t.teardown(() => host.close())
const plugin = await host.load(new Uint8Array(await readFile(new URL("../../dist/plugins/simd.wasm", import.meta.url))), {
  limits: { deadlineMs: 10_000, memoryBytesMax: 256 << 20 },
})
const run = (name: string, ...args: ReadonlyArray<unknown>): unknown => plugin.callSync(`stele:simd/kernels#${name}`, args as never)

let state = 12_345
const random = (): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 31 - 1
}
const awkward = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-45, -1e-40, 3.4e38]
const numbers = (length: number, isAwkward = false): Float32Array =>
  Float32Array.from({ length }, (_, i) => (isAwkward && i % 5 === 0 ? (awkward[Math.floor(((random() + 1) / 2) * awkward.length)] as number) : random()))
/** With the one NaN that kernels write. */
const bits = (of: ArrayLike<number>): ReadonlyArray<number> => {
  const from = Float32Array.from(of)
  const words = new Uint32Array(from.buffer)
  return [...words].map((word, i) => (Number.isNaN(from[i]) ? 0x7fc00000 : word))
}
const raw = (of: unknown): ReadonlyArray<number> => [...new Uint32Array((of as Float32Array).slice().buffer)]

t.test("`add()` and the like have the bits of their references when lengths and numbers are of all kinds", (t) => {
  for (const n of [0, 1, 3, 4, 15, 33, 130])
    for (const isAwkward of [false, true]) {
      const [x, y, z] = [numbers(n, isAwkward), numbers(n, isAwkward), numbers(n, isAwkward)]
      for (const name of ["add", "sub", "mul", "div"] as const)
        t.same(raw(run(name, x, y)), bits(x.map((a, i) => binary[name](a, y[i] as number))), `${name} ${n}`)
      t.same(raw(run("fma", x, y, z)), bits(x.map((a, i) => fma(a, y[i] as number, z[i] as number))), `fma ${n}`)
      t.same(raw(Float32Array.of(run("dot", x, y) as number)), bits([dot(x, y)]), `dot ${n}`)
      t.same(raw(Float32Array.of(run("sum", x) as number)), bits([sum(x)]), `sum ${n}`)
      const less = run("compare", "lt", x, y) as Uint8Array
      t.equal(less.length, Math.ceil(n / 8))
      for (let i = 0; i < n; i++) t.equal(((less[i >> 3] as number) >> (i & 7)) & 1, (x[i] as number) < (y[i] as number) ? 1 : 0)
      const places = topk(x, Math.min(n, 7))
      const top = run("topk", x, Math.min(n, 7)) as { readonly values: Float32Array; readonly places: Uint32Array }
      t.same([...top.places], [...places], `topk ${n}`)
    }
  t.end()
})

t.test("`matmul()` and `softmax()` have the bits of their references when shapes are odd", (t) => {
  for (const [m, k, n] of [
    [1, 1, 1],
    [7, 13, 9],
    [20, 33, 17],
    [3, 0, 2],
    [0, 5, 4],
  ] as const) {
    const [a, b] = [numbers(m * k), numbers(k * n)]
    t.same(raw(run("matmul", a, b, m, k, n)), bits(matmul({ a, b, m, k, n })), `${m} ${k} ${n}`)
  }
  const x = numbers(3 * 67)
  const rows = [0, 1, 2].flatMap((row) => [...softmax(x.subarray(row * 67, (row + 1) * 67))])
  t.same(raw(run("softmax", x, 67)), bits(rows))
  t.end()
})

t.test("what does not fit is refused with operand, expected and found", (t) => {
  const refused = (name: string, args: ReadonlyArray<unknown>, payload: unknown) =>
    t.throws(() => run(name, ...args), { code: "STELE-PLG-0001", reason: { payload } }, name)
  const length = (operand: string, expected: bigint, found: bigint) => ({ tag: "length", val: { operand, expected, found } })
  const [x, y, none] = [numbers(4), numbers(3), numbers(0)]
  for (const name of ["add", "sub", "mul", "div", "dot"]) refused(name, [x, y], length("y", 4n, 3n))
  refused("fma", [x, x, y], length("z", 4n, 3n))
  refused("compare", ["eq", x, y], length("y", 4n, 3n))
  refused("softmax", [x, 3], length("x", 3n, 4n))
  refused("softmax", [x, 0], length("columns", 4n, 0n))
  refused("softmax", [x, 2 ** 32 - 1], length("columns", 4n, 4_294_967_295n))
  refused("topk", [x, 5], length("k", 4n, 5n))
  refused("matmul", [x, x, 2, 2, 3], length("b", 6n, 4n))
  refused("matmul", [x, x, 2 ** 32 - 1, 2 ** 32 - 1, 1], length("a", (2n ** 32n - 1n) ** 2n, 4n))
  refused("matmul", [none, none, 2 ** 32 - 1, 0, 2 ** 32 - 1], { tag: "too-large", val: (2n ** 32n - 1n) ** 2n })
  t.same(run("matmul", none, none, 0, 0, 2 ** 32 - 1), none)
  t.same(run("topk", none, 0), { values: none, places: new Uint32Array() })
  t.end()
})
