/** Each device runs each operation of the table as the reference does. */
import t from "tap"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import type { Device } from "../../../kernels/accelerate/device.ts"
import { otherOutputs } from "../../../kernels/accelerate/outputs.ts"
import { operationOf, operations, sampleOf, shapeOf, trafficOf, workOf } from "../../../kernels/accelerate/operation.ts"
import { openSimd } from "../../../kernels/accelerate/simd.ts"
import { selfTest } from "../../../kernels/accelerate/self-test.ts"

for (const open of [() => openSimd(), () => openSimd({ mode: "fast" }), async () => openCpu()]) {
  const device = (await open()) as Device
  t.test(`${device.name} is within what the table says of every operation`, async (t) => {
    for (const operation of operations.values()) t.equal(await selfTest(device, operation), undefined, operation.name)
    t.equal(device.memory().arrays, 0, "nothing is kept")
    await device.close()
  })
}

t.test("what operations make is what their types say", async (t) => {
  const known: Readonly<Record<string, ReadonlyArray<string>>> = otherOutputs
  for (const operation of operations.values()) {
    const made = operation.outputs(shapeOf(operation, operation.scaled(64))).map(({ name }) => name)
    t.strictSame(made, known[operation.name] ?? ["out"], operation.name)
  }
  for (const name of Object.keys(known)) t.ok(operations.has(name), name)
})

t.test("an operation that a device refuses to be tested with has not passed", async (t) => {
  const device = Object.assign(Object.create(openCpu()) as Device, { refuse: () => "not now" })
  t.match(await selfTest(device, operationOf("add")), /refuses every shape/)
})

t.test("shapes have their defaults, and what does not fit is named", async (t) => {
  t.same(shapeOf(operationOf("matmul"), { m: 2, k: 3, n: 4 }), { m: 2, k: 3, n: 4, batch: 1, transposeA: 0, transposeB: 0 })
  t.match(shapeOf(operationOf("attention"), { heads: 1, queries: 2, keys: 3, d: 4 }), { width: 4 })
  t.match(shapeOf(operationOf("attention"), { heads: 1, queries: 2, keys: 3, d: 4, width: 0 }), { width: 0 })
  for (const [name, shape, message] of [
    ["matmul", { m: 2, k: 3 }, /matmul: "n" is undefined, expected a whole number from 0/],
    ["matmul", { m: 2, k: 3, n: 4.5 }, /"n" is 4.5/],
    ["matmul", { m: 2, k: 3, n: 4, transposeA: 2 }, /"transposeA" is 2, expected a whole number from 0 to 1/],
    ["matmul", { m: 2, k: 3, n: 4, o: 1 }, /parameter of matmul "o": there are m, k, n, batch/],
    ["layerNorm", { rows: 1, columns: 1, epsilon: Number.NaN }, /"epsilon" is NaN, expected a finite number/],
    ["conv2d", { inChannels: 3, outChannels: 4, height: 5, width: 5, groups: 2 }, /"groups" is 2, expected a divisor of 3 and 4 channels/],
    ["topk", { n: 3, k: 4 }, /"k" is 4, expected at most the 3 numbers there are/],
  ] as const)
    t.throws(() => shapeOf(operationOf(name), shape), { message })
  t.throws(() => operationOf("matmull"), { code: "STELE-KRN-0006", message: /operation "matmull": there are add, sub/ })
})

t.test("an operation's cost is that of its shape", async (t) => {
  const matmul = operationOf("matmul")
  const shape = shapeOf(matmul, { m: 2, k: 3, n: 4 })
  t.equal(workOf(matmul, shape), 48)
  t.equal(trafficOf(matmul, shape), 4 * (6 + 12 + 4 + 8))
  t.equal(workOf(operationOf("add"), { n: 10 }), 120)
  t.equal(workOf(operationOf("gelu"), { n: 10 }), 10)
  for (const operation of operations.values()) {
    const scaled = shapeOf(operation, operation.scaled(64))
    t.ok(workOf(operation, scaled) > 0 && operation.arithmetic(scaled) > 0, operation.name)
    for (const input of operation.inputs(scaled)) t.ok(sampleOf(input).every(Number.isFinite), `${operation.name} ${input.name}`)
  }
})
