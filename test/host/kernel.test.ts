// `kernel:NAME`: what the host function answers to any shape and operand, and an example guest that calls it wherever it may run.
import { readFileSync } from "node:fs"
import t from "tap"
import { workOf } from "../../host/capability/kernel/compute.ts"
import { defaultLimits } from "../../host/options.ts"
import { Host, type LoadOptions } from "../../host/mod.ts"
import { memoryObserver } from "../../host/port/mod.ts"
import { operationOf, operations, sampleOf, shapeOf, type Values } from "../../kernels/accelerate/operation.ts"
import { codeOf, testCall } from "./capability-call.ts"

const numbers = (values: Values) => ({ tag: values instanceof Float32Array ? "floats" : "integers", val: values })
const floats = (...values: ReadonlyArray<number>) => numbers(Float32Array.from(values))
const run = (call: ReturnType<typeof testCall>, name: string, shape: Readonly<Record<string, number>>, inputs: Readonly<Record<string, unknown>>) =>
  call.do("stele:kernel/compute#run", name, Object.entries(shape), Object.entries(inputs))
const invalid = (code: string, message: RegExp) => ({ tag: "err", val: { tag: "invalid", val: { code, message } } })

t.test("`run()` gives each operation of the table the bits of its reference, by the grant of its name alone", async (t) => {
  for (const operation of operations.values()) {
    const call = testCall([`kernel:${operation.name}`])
    for (const values of operation.tests) {
      const shape = shapeOf(operation, values)
      const given = Object.fromEntries(operation.inputs(shape).map((operand) => [operand.name, sampleOf(operand)]))
      const expected = operation.reference(given, shape)
      const inputs = Object.fromEntries(Object.entries(given).map(([name, of]) => [name, numbers(of)]))
      const outputs = operation.outputs(shape).map(({ name }) => [name, numbers(expected[name] as Values)])
      t.same(run(call, operation.name, values, inputs), { tag: "ok", val: outputs }, `${operation.name} ${JSON.stringify(values)}`)
    }
    t.same(new Set(call.uses.map(([grant]) => grant)), new Set([`kernel:${operation.name}`]))
    t.same(run(call, operation.name === "add" ? "sub" : "add", { n: 0 }, {}), {
      tag: "err",
      val: { tag: "access-denied", val: operation.name === "add" ? "kernel:sub" : "kernel:add" },
    })
  }
})

t.test("`run()` sees a revocation at once, and a prefix by all names", (t) => {
  const call = testCall(["kernel:*"])
  const dot = () => run(call, "dot", { n: 2 }, { x: floats(1, 2), y: floats(3, 4) })
  t.same(dot(), { tag: "ok", val: [["out", floats(11)]] })
  call.grants.revoke("kernel:dot")
  t.same(dot(), { tag: "err", val: { tag: "access-denied", val: "kernel:dot" } })
  t.same(call.denials, ["kernel:dot"])
  t.same(call.uses, [["kernel:*", 20]])
  t.end()
})

t.test("`run()` names what does not fit: operation, size, operand, length and type", (t) => {
  const call = testCall(["kernel:*"])
  const x = floats(1, 2)
  t.match(run(call, "nosuch", {}, {}), invalid("STELE-KRN-0006", /"nosuch".*matmul/))
  t.match(run(call, "__proto__", {}, {}), invalid("STELE-KRN-0006", /"__proto__"/))
  t.match(run(call, "dot", {}, { x, y: x }), invalid("STELE-KRN-0003", /"n" is undefined/))
  for (const n of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 53)])
    t.match(run(call, "dot", { n }, { x, y: x }), invalid("STELE-KRN-0003", /"n" is/), String(n))
  t.match(run(call, "dot", { n: 2, __proto__: null, constructor: 1 } as never, { x, y: x }), invalid("STELE-KRN-0006", /"constructor"/))
  t.match(run(call, "layerNorm", { rows: 1, columns: 2, epsilon: Number.NaN }, { x }), invalid("STELE-KRN-0003", /"epsilon"/))
  t.match(run(call, "dot", { n: 2 }, { x }), invalid("STELE-KRN-0002", /"y" is missing, not 2 numbers/))
  t.match(run(call, "dot", { n: 3 }, { x, y: x }), invalid("STELE-KRN-0001", /"x" has 2 numbers, not 3/))
  t.match(run(call, "dot", { n: 2 }, { x, y: x, z: x }), invalid("STELE-KRN-0006", /"z"/))
  t.match(run(call, "dot", { n: 2 }, { x, y: numbers(Int32Array.of(1, 2)) }), invalid("STELE-KRN-0002", /"y" is i32, not f32/))
  for (const label of [-1, 2])
    t.match(
      run(call, "crossEntropy", { rows: 1, columns: 2 }, { x, labels: numbers(Int32Array.of(label)) }),
      invalid("STELE-KRN-0003", new RegExp(`"labels\\[0]" is ${label}`)),
    )
  t.match(run(call, "topk", { n: 2, k: 3 }, { x }), invalid("STELE-KRN-0003", /"k" is 3/))
  t.match(run(call, "conv2d", { inChannels: 3, outChannels: 2, height: 1, width: 1, groups: 2 }, {}), invalid("STELE-KRN-0003", /"groups"/))
  t.match(run(call, "conv2d", { inChannels: 1, outChannels: 1, height: 1, width: 1, stride: 0 }, {}), invalid("STELE-KRN-0003", /"stride"/))
  t.end()
})

t.test("`run()` computes with numbers of all kinds, and with none", (t) => {
  const call = testCall(["kernel:*"])
  const awkward = floats(Number.NaN, Number.POSITIVE_INFINITY, -0, 1e-45)
  t.same(run(call, "add", { n: 4 }, { x: awkward, y: floats(1, Number.NEGATIVE_INFINITY, -0, 1e-45) }), {
    tag: "ok",
    val: [["out", floats(Number.NaN, Number.NaN, -0, 3e-45)]],
  })
  const none = floats()
  t.same(run(call, "add", { n: 0 }, { x: none, y: none }), { tag: "ok", val: [["out", none]] })
  t.same(run(call, "topk", { n: 0, k: 0 }, { x: none }), {
    tag: "ok",
    val: [
      ["values", none],
      ["places", numbers(new Int32Array())],
    ],
  })
  t.same(run(call, "sum", { n: 0 }, { x: none }), { tag: "ok", val: [["out", floats(0)]] })
  t.same(run(call, "matmul", { m: 2, k: 0, n: 1 }, { a: none, b: none, bias: floats(7) }), { tag: "ok", val: [["out", floats(7, 7)]] })
  t.end()
})

t.test("`run()` refuses what would take long or much before it begins", (t) => {
  const none = floats()
  const one = floats(1)
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, number>>, Readonly<Record<string, unknown>>, code: string]> = [
    // Loops over sizes of which nothing is as long as they are.
    [
      "conv2d",
      { inChannels: 0, outChannels: 1, height: 40_000, width: 40_000, kernelHeight: 40_000, kernelWidth: 40_000 },
      { x: none, w: none },
      "STELE-LIM-0027",
    ],
    ["matmul", { m: 1, k: 0, n: 1, batch: 15_000_000 }, { a: none, b: none }, "STELE-LIM-0027"],
    ["attention", { heads: 1, queries: 1_000_000, keys: 1_000_000, d: 1, width: 0 }, { q: one, k: one, v: none }, "STELE-KRN-0001"],
    // Results that nothing in the operands is as long as.
    [
      "conv2d",
      { inChannels: 1, outChannels: 1, height: 1, width: 1, padding: 2 ** 31 - 1, kernelHeight: 1, kernelWidth: 1 },
      { x: one, w: one },
      "STELE-LIM-0028",
    ],
    ["matmul", { m: 100_000, k: 0, n: 100_000 }, { a: none, b: none }, "STELE-LIM-0028"],
    [
      "conv2dBackward",
      { inChannels: 0, outChannels: 1, height: 1, width: 1, kernelHeight: 2 ** 31 - 1, kernelWidth: 2 ** 31 - 1 },
      { x: none, w: none, dy: none },
      "STELE-LIM-0027",
    ],
    ["rmsNorm", { rows: 2 ** 31 - 1, columns: 2 ** 31 - 1 }, { x: one }, "STELE-KRN-0001"],
  ]
  for (const [name, shape, inputs, code] of cases) {
    const began = performance.now()
    const codes = codeOf(() => {
      const answer = run(testCall(["kernel:*"]), name, shape, inputs) as { readonly val: { readonly val: { readonly code: string } } }
      throw Object.assign(new Error(), { code: answer.val.val.code })
    })
    t.equal(codes, code, `${name} ${JSON.stringify(shape)}`)
    t.ok(performance.now() - began < 200)
  }
  const matmul = operationOf("matmul")
  t.equal(workOf(matmul, shapeOf(matmul, { m: 2, k: 3, n: 4 })), 48 + 200)
  const topk = operationOf("topk")
  t.equal(workOf(topk, shapeOf(topk, { n: 9, k: 4 })), 9 + 4 * 200)
  t.end()
})

t.test("`run()` counts runs and work over a call, and memory in each run", (t) => {
  const x = floats(1, 2)
  const limited = (limits: Partial<typeof defaultLimits>) => Object.assign(testCall(["kernel:*"]), { limits: { ...defaultLimits, ...limits } })
  const dot = (call: ReturnType<typeof testCall>) => run(call, "dot", { n: 2 }, { x, y: x })
  const few = limited({ kernelRunsMax: 2 })
  dot(few)
  dot(few)
  t.throws(() => dot(few), { code: "STELE-LIM-0026", reason: { limit: 2, actual: 3 } })
  // Four operations, and 200 for the turn.
  const little = limited({ kernelWorkMax: 2 * 204 })
  dot(little)
  dot(little)
  t.throws(() => dot(little), { code: "STELE-LIM-0027", reason: { limit: 408, actual: 612 } })
  t.throws(() => dot(limited({ kernelBytesMax: 19 })), { code: "STELE-LIM-0028", reason: { limit: 19, actual: 20 } })
  // Operands have room, and what the kernels work in has not.
  t.throws(() => dot(limited({ kernelBytesMax: 20 })), { code: "STELE-LIM-0028" })
  const enough = limited({ kernelBytesMax: 1 << 20 })
  for (let i = 0; i < 100; i++)
    run(enough, "matmul", { m: 100, k: 100, n: 100 }, { a: numbers(new Float32Array(10_000)), b: numbers(new Float32Array(10_000)) })
  t.end()
})

const nearest = readFileSync(new URL("../../plugins/examples/nearest/build/nearest.wasm", import.meta.url))
const grants = ["kernel:rmsNorm", "kernel:matmul", "kernel:topk"]
const vectors = Float32Array.from({ length: 64 * 50 }, (_, i) => Math.fround(Math.sin(i * 0.7)))
const query = Float32Array.from({ length: 64 }, (_, i) => Math.fround(Math.cos(i)))

/** The three nearest, by doubles. */
const expected = Array.from({ length: 50 }, (_, place) => {
  const row = vectors.subarray(place * 64, (place + 1) * 64)
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)
  return { place, similarity: dot(row, query) / Math.sqrt(dot(row, row) * dot(query, query)) }
})
  .sort((a, b) => b.similarity - a.similarity)
  .slice(0, 3)

for (const isolation of ["inline", "worker", "process"] as const)
  t.test(`\`kernel:NAME\` serves an example guest with its grants alone when it runs ${isolation}`, async (t) => {
    const observer = memoryObserver()
    await using host = await Host.open({ ports: { observer } })
    const load = (options: LoadOptions) => host.load(nearest, { isolation, ...options })
    const search = (plugin: Awaited<ReturnType<typeof load>>) =>
      plugin.callWithUsage("acme:nearest/search#nearest", [query, vectors, 3], { deadlineMs: 10_000 })
    await using plugin = await load({ grants })
    const { result, usage } = await search(plugin)
    const hits = result as ReadonlyArray<{ readonly place: number; readonly similarity: number }>
    t.same(
      hits.map(({ place }) => place),
      expected.map(({ place }) => place),
    )
    hits.forEach(({ similarity }, i) => t.ok(Math.abs(similarity - (expected[i]?.similarity ?? 0)) < 1e-5))
    t.same(usage.hostCalls, { "kernel:rmsNorm": 2, "kernel:matmul": 1, "kernel:topk": 1 })

    plugin.revoke("kernel:topk")
    await t.rejects(search(plugin), { code: "STELE-PLG-0001", reason: { payload: "Cannot run topk without the grant kernel:topk" } })
    plugin.grant("kernel:topk")
    await search(plugin)
    await t.rejects(load({}), { code: "STELE-CAP-0003", reason: { grant: "kernel:*" } })
    await using other = await load({ grants: ["kernel:m*"] })
    await t.rejects(search(other), { code: "STELE-PLG-0001", reason: { payload: "Cannot run rmsNorm without the grant kernel:rmsNorm" } })
    t.same(
      other.describe().grants.denied.map(({ grant }) => grant),
      ["kernel:rmsNorm"],
    )
    await using few = await load({ grants, limits: { kernelRunsMax: 3 } })
    await t.rejects(search(few), { code: "STELE-LIM-0026", reason: { limit: 3, actual: 4 } })
    await t.rejects(search(few), { code: "STELE-LIM-0026" }, "counted anew for each call")
    await using little = await load({ grants, limits: { kernelWorkMax: 5_000 } })
    await t.rejects(search(little), { code: "STELE-LIM-0027", message: /"kernelWorkMax": the limit is 5000 operations/ })
    await using small = await load({ grants, limits: { kernelBytesMax: 10_000 } })
    await t.rejects(search(small), { code: "STELE-LIM-0028" })
  })
