/** WGSL on a real run of shaders, against the references; and the device around it when things fail. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t, { type Test } from "tap"
import { openAccelerator } from "../../../kernels/accelerate/accelerator.ts"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import type { Device, DeviceArray, Dispatch } from "../../../kernels/accelerate/device.ts"
import { type Operation, operationOf, operations, sampleOf, type Shape, shapeOf, type Values } from "../../../kernels/accelerate/operation.ts"
import { differenceOf, selfTest } from "../../../kernels/accelerate/self-test.ts"
import { matches } from "../../../kernels/search/literals.ts"
import { isSoftware, openWebGpu, type WebGpuDevice } from "../../../kernels/webgpu/device.ts"
import { pass } from "../../../kernels/webgpu/plan.ts"
import { openAccelerator as openMachine } from "../../../runtime/accel/mod.ts"
import { webGpuAdapters, webGpuSource, type WebGpuSourceOptions } from "../../../runtime/accel/webgpu.ts"
import { runsOf, seed } from "../../seed.ts"
import { Random, randomFloats } from "../random-floats.ts"
import { dawn, isLoaded, module, openMesa, skip } from "./mesa.ts"

t.setTimeout(120_000)

/** One line is skipped where there is no adapter, not one a test. */
const onAdapter = (name: string, run: (t: Test) => Promise<void>): void => {
  if (skip === false) void t.test(name, run)
}
t.test("WGSL runs on Mesa's llvmpipe", { skip }, async (t) => t.ok(isLoaded))

const opened = async (options = {}): Promise<WebGpuDevice> => (await openMesa(options)) as WebGpuDevice

/** Arrays on a device of what an operation reads and writes. */
function placed(device: Device, operation: Operation, shape: Shape, values: Readonly<Record<string, Values>>): Dispatch {
  const inputs: Record<string, DeviceArray> = {}
  for (const { length, name, type = "f32" } of operation.inputs(shape)) {
    const given = values[name]
    if (given === undefined) continue
    device.copyToDevice((inputs[name] = device.allocate(type, length)), given)
  }
  const outputs = Object.fromEntries(operation.outputs(shape).map(({ length, name, type = "f32" }) => [name, device.allocate(type, length)]))
  return { operation, shape, inputs, outputs }
}

const free = ({ inputs, outputs }: Dispatch): void => [...Object.values(inputs), ...Object.values(outputs)].forEach((array) => array.free())

/** Runs an operation on fixed numbers; the first difference from the reference in words. */
async function difference(device: Device, name: string, given: Readonly<Record<string, number>>, values?: Readonly<Record<string, Values>>) {
  const operation = operationOf(name)
  const shape = shapeOf(operation, given)
  const inputs = values ?? Object.fromEntries(operation.inputs(shape).map((operand) => [operand.name, sampleOf(operand)]))
  const dispatch = placed(device, operation, shape, inputs)
  device.dispatch([dispatch])
  try {
    for (const [output, expected] of Object.entries(operation.reference(inputs, shape))) {
      const differs = differenceOf(await device.copyFromDevice(dispatch.outputs[output] as DeviceArray), expected, operation.tolerance)
      if (differs !== undefined) return `"${output}" has ${differs}, for ${JSON.stringify(shape)}`
    }
    return undefined
  } finally {
    free(dispatch)
  }
}

/** Odd sizes, one, more than a tile; by the names of parameters. */
function randomShape({ name, parameters }: Operation, random: Random): Record<string, number> {
  const shape: Record<string, number> = {}
  for (const { kind, least = 0, most = name === "matmul" ? 90 : 40, name: parameter } of parameters) {
    if (parameter === "decay") shape[parameter] = random.pick([0, 0.1])
    if (kind === "number") continue
    const bound = {
      n: parameters.length < 3 ? 5_000 : most,
      k: name === "topk" ? 200 : most,
      columns: 600,
      batch: 3,
      groups: 3,
      stride: 3,
      dilation: 2,
      padding: 2,
      heads: 3,
    }[parameter]
    shape[parameter] = random.whole(least, bound ?? most)
  }
  if (name === "topk") shape["n"] = Math.max(shape["n"] as number, shape["k"] as number)
  if (name.startsWith("conv2d")) {
    const groups = shape["groups"] as number
    Object.assign(shape, {
      inChannels: groups * random.whole(0, 5),
      outChannels: groups * random.whole(1, 12),
      kernelHeight: random.whole(1, 4),
      kernelWidth: random.whole(1, 4),
    })
  }
  return shape
}

onAdapter("every operation is within what the table says of the reference", async (t) => {
  const device = await opened()
  const random = new Random(seed)
  t.ok(isSoftware({ description: device.description }), `${device.description} is no card`)
  for (const operation of operations.values()) {
    const refused = device.refuse(operation, shapeOf(operation, operation.tests[0] as Record<string, number>))
    t.equal(refused, undefined, `${operation.name} runs`)
    t.equal(await selfTest(device, operation), undefined, operation.name)
    for (let run = 0; run < runsOf(2, 30); run++) t.equal(await difference(device, operation.name, randomShape(operation, random)), undefined, operation.name)
  }
  t.equal(device.memory().arrays, 0)
  t.equal(device.memory().bytesUsed, 0, "nothing is kept, scratch arrays neither")
  await device.close()
})

onAdapter("sizes at which WGSL changes its way", async (t) => {
  const device = await opened()
  for (const [name, shape] of [
    ["sum", { n: 0 }],
    ["dot", { n: 0 }],
    ["maxOf", { n: 0 }],
    ["minOf", { n: 0 }],
    ["add", { n: 0 }],
    ["matmul", { m: 3, k: 0, n: 5 }],
    ["matmul", { m: 0, k: 3, n: 5 }],
    ["softmax", { rows: 3, columns: 0 }],
    ["attention", { heads: 2, queries: 3, keys: 0, d: 4 }],
    ["topk", { n: 5, k: 0 }],
    ["sum", { n: 300_001 }],
    // 64 × 64 tiles rather than 32 × 32.
    ["matmul", { m: 520, k: 17, n: 515 }],
    ["conv2d", { inChannels: 3, outChannels: 9, height: 70, width: 66, padding: 1 }],
    // As many outputs a group as make tiles worth while, in two groups.
    ["conv2d", { inChannels: 4, outChannels: 18, height: 7, width: 6, groups: 2, batch: 2 }],
    ["conv2dBackward", { inChannels: 4, outChannels: 18, height: 7, width: 6, groups: 2, batch: 2, padding: 1 }],
    ["topk", { n: 5_000, k: 256 }],
  ] as const)
    t.equal(await difference(device, name, shape), undefined, `${name} ${JSON.stringify(shape)}`)
  const nan = device.allocate("f32", 1)
  const empty = device.allocate("f32", 0)
  const mean = operationOf("mean")
  device.dispatch([{ operation: mean, shape: { n: 0 }, inputs: { x: empty }, outputs: { out: nan } }])
  t.same(await device.copyFromDevice(nan), Float32Array.of(Number.NaN))
  await device.close()
})

onAdapter("the k greatest are those of the reference to the bit, whatever the numbers", async (t) => {
  const device = await opened()
  const random = new Random(seed)
  const zeros = Float32Array.of(-1, -0, 0, 1e-45, -0, 0, Number.NEGATIVE_INFINITY, -1e-45)
  for (const [x, k] of [
    [zeros, zeros.length],
    [randomFloats(random, 700, 30), 256],
    [randomFloats(random, 3_000, 30), 40],
  ] as const) {
    const n = x.length
    const operation = operationOf("topk")
    const dispatch = placed(device, operation, { n, k }, { x })
    device.dispatch([dispatch])
    const expected = operation.reference({ x }, { n, k })
    t.same(await device.copyFromDevice(dispatch.outputs["places"] as DeviceArray), expected["places"])
    const bits = (values: Values) => new Uint32Array(values.buffer)
    const values = await device.copyFromDevice(dispatch.outputs["values"] as DeviceArray)
    t.same(
      bits(values),
      Uint32Array.from(expected["places"] as Values, (place) => bits(x)[place] as number),
    )
  }
  t.match(device.refuse(operationOf("topk"), { n: 1_000, k: 257 }), /k is 257, and it finds 256 at most/)
  await device.close()
})

onAdapter("a list runs as one submission, nothing between is read back, and its memory is used again", async (t) => {
  const device = await opened()
  const n = 48
  const operation = operationOf("matmul")
  const shape = shapeOf(operation, { m: n, k: n, n })
  const identity = new Float32Array(n * n).map((_, i) => (i % (n + 1) === 0 ? 1 : 0))
  const first = randomFloats(new Random(seed), n * n)
  const arrays = Array.from({ length: 301 }, () => device.allocate("f32", n * n))
  const unit = device.allocate("f32", n * n)
  device.copyToDevice(unit, identity)
  device.copyToDevice(arrays[0] as DeviceArray, first)
  // More than the uniforms of one submission.
  device.dispatch(arrays.slice(1).map((out, i): Dispatch => ({ operation, shape, inputs: { a: arrays[i] as DeviceArray, b: unit }, outputs: { out } })))
  t.same(await device.copyFromDevice(arrays.at(-1) as DeviceArray), first)
  const { bytesUsed } = device.memory()
  t.equal(bytesUsed, 302 * 4 * n * n)
  for (const array of [...arrays, unit]) {
    array.free()
    array.free()
  }
  const freed = device.memory()
  t.match(freed, { bytesUsed: 0, arrays: 0 })
  t.ok(freed.bytesPooled >= bytesUsed)
  device.allocate("f32", n * n)
  t.equal(device.memory().bytesPooled, freed.bytesPooled - 4 * n * n, "what was freed is used again")
  t.throws(() => device.copyToDevice(unit, first), { code: "STELE-ACC-0008" })
  await device.close()
  await device.close()
  t.throws(() => device.allocate("f32", 1), { code: "STELE-ACC-0008", message: /the device "webgpu"/ })
})

onAdapter("what an array may take has a bound, of the pool and of the adapter", async (t) => {
  const device = await opened({ bytesMax: 1 << 20 })
  const kept = [1, 2, 3].map(() => device.allocate("f32", 1 << 16))
  t.throws(() => device.allocate("f32", (1 << 16) + 1), {
    message: /Cannot allocate 262148 bytes on "webgpu": 786432 are used of 1048576 bytes/,
    code: "STELE-ACC-0004",
  })
  kept[0]?.free()
  kept[1]?.free()
  t.equal(device.memory().bytesPooled, 1 << 18, "a quarter is kept")
  device.allocate("f32", 3 << 16)
  t.equal(device.memory().bytesPooled, 0, "and given up for what is needed")
  await device.close()

  const large = await opened({ bytesMax: 2 ** 40 })
  t.throws(() => large.allocate("f32", 2 ** 33), { code: "STELE-ACC-0004" })
  t.match(
    large.refuse(operationOf("matmul"), shapeOf(operationOf("matmul"), { m: 10_000, k: 10_000, n: 1 })),
    /"a" takes 381.5 MiB, over the 128 MiB of a binding/,
  )
  t.match(large.refuse(operationOf("add"), { n: 2 ** 30 }), /"x" takes 4096 MiB, over the 2048 MiB of a buffer/)
  // 128 MiB are 33,554,432 numbers: the rest is a range of its own. They are 65,536 workgroups, one more than a dimension takes.
  const n = 33_554_432 + 1_001
  t.equal(large.refuse(operationOf("abs"), { n }), undefined)
  const x = new Float32Array(n).fill(-1)
  x.set([-1e6, -2e6, -3e6], n - 3)
  const dispatch = placed(large, operationOf("abs"), { n }, { x })
  const sum = large.allocate("f32", 1)
  large.dispatch([dispatch, { operation: operationOf("sum"), shape: { n }, inputs: { x: dispatch.outputs["out"] as DeviceArray }, outputs: { out: sum } }])
  const [total] = await large.copyFromDevice(sum)
  t.ok(Math.abs((total as number) - (n + 6e6)) < 100, `${total} is about ${n + 6e6}`)
  await large.close()
})

onAdapter("bad WGSL is a failure that says what is bad, told by whoever waits next", async (t) => {
  const good = await opened()
  await good.close()
  const [adapter] = await webGpuAdapters({ dawn, module })
  t.match(adapter, { name: "webgpu", description: /llvmpipe.*\(software: it computes on this processor\)/ })
  const gpuDevice = await rawDevice()
  const device = openWebGpu(gpuDevice, {
    isOwned: true,
    programs: new Map([
      ["neg", () => ({ scratch: {}, passes: [pass({ uniforms: {}, reads: { x: "x" }, writes: { out: "out" }, body: "out[0] = nonsense;", groups: 1 })] })],
    ]),
  })
  for (let round = 0; round < 2; round++) {
    const dispatch = placed(device, operationOf("neg"), { n: 1 }, { x: Float32Array.of(1) })
    device.dispatch([dispatch])
    await t.rejects(device.synchronize(), { code: "STELE-ACC-0003", message: /The device "webgpu" failed: .*unresolved value 'nonsense'/s })
    await device.synchronize()
    device.dispatch([dispatch])
    await t.rejects(device.copyFromDevice(dispatch.outputs["out"] as DeviceArray), { message: /nonsense/ })
  }
  t.equal(await difference(device, "abs", { n: 10 }), undefined, "it goes on with others")
  await device.close()
})

onAdapter("nothing ends the process when everything is collected", async (t) => {
  const program = fileURLToPath(new URL("collected.ts", import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", program], { timeout: 60_000 })
  t.equal(stdout, "200 rounds\n")
})

/** A `GPUDevice` as a page has it. */
async function rawDevice(): Promise<GPUDevice> {
  const { create } = (await import(module)) as { readonly create: (options: ReadonlyArray<string>) => GPU }
  const gpu = create(dawn)
  kept.push(gpu)
  const adapter = await gpu.requestAdapter({ featureLevel: "compatibility" } as GPURequestAdapterOptions)
  return (adapter as GPUAdapter).requestDevice()
}
/** Collected, it would end the process. */
const kept: Array<GPU> = []

onAdapter("a lost device says so, and its work is done elsewhere", async (t) => {
  const raw = await rawDevice()
  const device = openWebGpu(raw)
  const dispatch = placed(device, operationOf("neg"), { n: 1_000 }, { x: randomFloats(new Random(seed), 1_000) })
  device.dispatch([dispatch])
  const reading = device.copyFromDevice(dispatch.outputs["out"] as DeviceArray)
  raw.destroy()
  await t.rejects(reading, { code: "STELE-ACC-0002", message: /Lost the device "webgpu": .*destroyed/ })
  t.match(await device.lost, /destroyed/)
  await t.rejects(device.synchronize(), { code: "STELE-ACC-0002" })
  t.throws(() => device.dispatch([dispatch]), { code: "STELE-ACC-0002" })
  t.throws(() => device.allocate("f32", 1), { code: "STELE-ACC-0002" })
  await device.close()

  const raws: Array<GPUDevice> = []
  const open = async () => {
    raws.push(await rawDevice())
    return openWebGpu(raws.at(-1) as GPUDevice)
  }
  const accelerator = await openAccelerator({
    mode: "fast",
    sources: [
      { name: "webgpu", kind: "gpu", open },
      { name: "cpu", kind: "cpu", open: async () => openCpu() },
    ],
  })
  const x = accelerator.buffer(Float32Array.of(1, 2, 3))
  const y = await accelerator.run("neg", { n: 3 }, { x }, { device: "webgpu" })
  raws[0]?.destroy()
  await raws[0]?.lost
  const z = await accelerator.run("neg", { n: 3 }, { x: y.outputs["out"] as typeof x })
  t.equal(z.receipt.device, "cpu")
  t.same(await z.outputs["out"]?.read(), Float32Array.of(1, 2, 3))
  t.match(
    accelerator.status().find(({ name }) => name === "webgpu"),
    { state: "resting" },
  )
  await accelerator.close()
})

onAdapter("the machine's accelerator has it among its devices", async (t) => {
  await using accelerator = await openMachine({ mode: "fast", memoryPath: undefined, webGpu: { dawn, module } })
  t.match(accelerator.status()[0], { name: "webgpu", kind: "gpu", state: "ready", description: /llvmpipe/, mode: "fast" })
  const x = accelerator.buffer(Float32Array.of(1, 2, 3))
  const { outputs, receipt } = await accelerator.run("softmax", { rows: 1, columns: 3 }, { x }, { device: "webgpu" })
  t.match(receipt, { device: "webgpu", failed: [] })
  t.equal(differenceOf((await outputs["out"]?.read()) as Values, Float32Array.of(0.090_030_57, 0.244_728_48, 0.665_240_94), 1e-6), undefined)

  const absentFrom = async (webGpu: WebGpuSourceOptions): Promise<unknown> => {
    await using other = await openMachine({ memoryPath: undefined, webGpu })
    return other.status()[0]
  }
  t.match(await absentFrom({ dawn: ["off"], module }), { name: "webgpu", state: "absent", reason: "STELE_WEBGPU is off" })
  t.match(await absentFrom({ dawn: ["backend=none"], module }), { name: "webgpu", state: "absent", reason: /unrecognised backend 'none'/ })
})

onAdapter("literals are found as the reference finds them", async (t) => {
  const device = await opened()
  const random = new Random(seed)
  const utf8 = new TextEncoder()
  for (let run = 0; run < runsOf(40, 1_000); run++) {
    const letters = random.whole(1, 4)
    const word = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => 97 + random.whole(0, letters))
    const text = word(random.whole(0, 3_000))
    const literals = Array.from({ length: random.whole(1, 20) }, () => word(random.whole(1, random.pick([2, 3, 9]))))
    t.same(await device.search(text, literals), matches(text, literals), `run ${run}`)
  }
  const shared = new Uint8Array(new SharedArrayBuffer(11))
  shared.set(utf8.encode("aa needle a"))
  t.same(await device.search(shared.subarray(1), [utf8.encode("needle")]), [{ at: 2, literal: 0 }])
  t.match(device.refuseSearch(10, [new Uint8Array()]), /nothing to search for/)
  t.match(device.memory(), { bytesUsed: 0 })
  await device.close()
})

t.test("no adapter is told, never taken for a result", { skip: isLoaded ? false : skip }, async (t) => {
  t.match(await webGpuSource({ dawn: ["backend=vulkan"], module }).open(), { state: "absent", reason: /^no adapter: / })
  t.same(await webGpuAdapters({ dawn: ["backend=vulkan"], module }), [])
  t.match(await webGpuSource({ module: "file:///nowhere/webgpu.js" }).open(), { state: "absent", reason: /npm install webgpu/ })
  await t.rejects(webGpuSource({ dawn: ["backend=none"], module }).open(), { code: "STELE-ACC-0003", message: /unrecognised backend 'none'/ })
  // It does nothing, so nothing of it is right.
  const device = (await webGpuSource({ dawn: ["backend=null"], module, bytesMax: 2 ** 40 }).open()) as WebGpuDevice
  t.match(await selfTest(device, operationOf("add")), /^"out" has .+ at 0, not/)
  // 512 MiB are all the memory it has.
  const arrays = [1, 2, 3].map(() => device.allocate("f32", 2 ** 26))
  await t.rejects(device.synchronize(), { code: "STELE-ACC-0004", message: /Cannot allocate 268435456 bytes on "webgpu": 536870912 are used/ })
  for (const array of arrays) array.free()
  device.dispatch([placed(device, operationOf("add"), { n: 1 }, { x: Float32Array.of(1), y: Float32Array.of(1) })])
  await device.synchronize()
  t.equal(typeof device.lastBusyMs, "number", "time stamps are read where there are such")
  await device.close()
})
