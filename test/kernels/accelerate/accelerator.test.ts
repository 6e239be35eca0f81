/** Choice, fallback, replay, quotas: with SIMD, the references, and a device that fails when it is told to. */
import t from "tap"
import { type Accelerator, openAccelerator } from "../../../kernels/accelerate/accelerator.ts"
import { ownSources, type Remembered } from "../../../kernels/accelerate/core.ts"
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { Remote } from "./remote.ts"

const product = { m: 2, k: 3, n: 2 }
const [a, b] = [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(7, 8, 9, 10, 11, 12)]
const expected = Float32Array.of(58, 64, 139, 154)

/** Devices are measured once for all tests; what runs taught is of one test. */
const measured = new Map<string, Remembered>()
const memory = {
  get: (of: string) => measured.get(of),
  set: (of: string, { calibration }: Remembered) => void measured.set(of, { calibration: measured.get(of)?.calibration ?? calibration, corrections: [] }),
}

/** With a clock that a test moves, beside the time that passes. */
async function opened(remote: Remote, options: { readonly isAlone?: boolean } = {}): Promise<{ accelerator: Accelerator; pass: (ms: number) => void }> {
  let passedMs = 0
  const accelerator = await openAccelerator({
    sources: [remote.source(), ...(options.isAlone === true ? [] : ownSources())],
    now: () => performance.now() + passedMs,
    memory,
  })
  return { accelerator, pass: (ms) => (passedMs += ms) }
}

const failure = (device: string) => new AccelerateError("Failed", { device, detail: "it was told to" })

t.test("it runs where it says, and says why", async (t) => {
  await using accelerator = await openAccelerator({ memory })
  const plan = accelerator.plan("matmul", { m: 512, k: 512, n: 512 })
  t.equal(plan.device, "simd")
  t.ok((plan.predictedMs as number) > 0.5)
  t.same(
    plan.candidates.map(({ device, refused }) => [device, refused]),
    [
      ["simd-fast", "it does not compute in bitexact"],
      ["simd", undefined],
      ["cpu", undefined],
    ],
  )
  t.match(
    accelerator.explain("matmul", { m: 512, k: 512, n: 512 }),
    /^matmul m=512 k=512 n=512 batch=1 transposeA=0 transposeB=0 \(bitexact\): simd, predicted .*\n {2}cpu, the next, is predicted to take [\d.]+ times as long\n {2}simd-fast {2}\d.*: it does not compute in bitexact\n {2}simd  .* confidence 0\.5\n {2}cpu /,
  )
  t.match(accelerator.plan("matmul", { m: 512, k: 512, n: 512 }, { mode: "fast" }).device, /^simd/)
  t.equal(accelerator.plan("matmul", product, { device: "cpu" }).reason, "it is the only one that can")
  const planned = accelerator.plan("matmul", product).device
  const { outputs, receipt } = await accelerator.run("matmul", product, { a: accelerator.buffer(a), b: accelerator.buffer(b) })
  t.equal(receipt.device, planned)
  t.ok(receipt.tookMs > 0 && receipt.predictedMs > 0)
  t.same(await outputs["out"]?.read(), expected)
  t.same(outputs["out"]?.view(), expected, "no copy is needed to look")
  t.match(accelerator.status(), [
    { name: "simd-fast", state: "ready" },
    { name: "simd", state: "ready" },
    { name: "cpu", state: "ready", mode: "bitexact" },
  ])
})

t.test("each device says what it is for", async (t) => {
  const { accelerator } = await opened(new Remote())
  t.match(
    accelerator.status().map(({ capabilities, name }) => [name, capabilities]),
    [
      ["remote", ["VectorOps", "Reduction", "MatMul", "Compute"]],
      ["simd-fast", ["VectorOps", "Reduction", "MatMul", "Compute"]],
      ["simd", ["VectorOps", "Reduction", "MatMul", "Compute"]],
      ["cpu", ["VectorOps", "Reduction", "MatMul", "Compute"]],
    ],
  )
  t.same(
    accelerator
      .status()
      .filter(({ capabilities }) => capabilities?.includes("PatternMatching"))
      .map(({ name }) => name),
    ["simd-fast", "simd"],
  )
  await accelerator.close()
})

t.test("a list runs as one, and nothing of it is read back", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const warm = await accelerator.run("matmul", product, { a: accelerator.buffer(a), b: accelerator.buffer(b) }, { device: "remote" })
  warm.outputs["out"]?.free()
  for (const name of ["relu", "sum"]) await accelerator.run(name, { n: 4 }, { x: accelerator.buffer([1, 2, 3, 4]) }, { device: "remote" })
  const [dispatched, read] = [remote.dispatched, remote.read]
  const list = accelerator.batch()
  const { out } = list.add("matmul", product, { a: accelerator.buffer(a), b: accelerator.buffer(b) })
  const { out: positive } = list.add("relu", { n: 4 }, { x: out })
  const { out: sum } = list.add("sum", { n: 4 }, { x: positive })
  const receipt = await list.run({ device: "remote" })
  t.equal(receipt.device, "remote")
  t.same([remote.dispatched - dispatched, remote.read - read], [1, 0])
  t.same(await sum?.read(), [415])
  t.same(sum?.residency, ["remote"])
  await t.rejects(list.run(), { code: "STELE-ACC-0008" })
  await accelerator.close()
})

t.test("what is resident on a device makes it cheaper there", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const x = accelerator.buffer(new Float32Array(1 << 16).fill(1))
  await accelerator.run("sum", { n: 1 << 16 }, { x }, { device: "remote" })
  t.same(x.residency, ["host", "remote"])
  await accelerator.run("sum", { n: 1 << 16 }, { x }, { device: "cpu" })
  t.same(x.residency, ["host", "remote", "cpu"])
  x.free()
  t.throws(() => x.view(), { code: "STELE-ACC-0008" })
  await t.rejects(x.read(), { code: "STELE-ACC-0008" })
  await t.rejects(accelerator.run("sum", { n: 1 << 16 }, { x }), { code: "STELE-ACC-0008" })
  await accelerator.close()
})

t.test("a device that fails is followed by the next, rests after three failures, and is opened again", async (t) => {
  const remote = new Remote()
  const { accelerator, pass } = await opened(remote, { isAlone: true })
  const ask = () => accelerator.run("add", { n: 1 }, { x: accelerator.buffer([1]), y: accelerator.buffer([2]) })
  await ask()
  for (let i = 0; i < 2; i++) {
    remote.failures.push(failure("remote"))
    await t.rejects(ask(), { code: "STELE-ACC-0001", message: /it failed: The device "remote" failed: it was told to/ })
  }
  t.equal((await ask()).receipt.device, "remote", "a success begins anew")
  for (let i = 0; i < 3; i++) {
    remote.failures.push(failure("remote"))
    await t.rejects(ask())
  }
  t.match(accelerator.status(), [{ state: "resting", reason: /it was told to/ }])
  await t.rejects(ask(), { message: /resting for (29|30)\.\d s after: The device/ })
  t.equal(remote.opened, 1)
  pass(31_000)
  t.equal((await ask()).receipt.device, "remote")
  t.equal(remote.opened, 2)
  await accelerator.close()
  await t.rejects(ask(), { code: "STELE-ACC-0008" })
})

t.test("what fails on one device runs on another, and the receipt tells", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const inputs = { a: accelerator.buffer(a), b: accelerator.buffer(b) }
  // It is chosen where the others are made to look slower: real runs of it are instant.
  const slower = accelerator.plan("matmul", product).candidates.filter(({ device }) => device !== "remote")
  t.equal(slower.length, 3)
  remote.failures.push(failure("remote"))
  await t.rejects(
    accelerator.run("matmul", product, inputs, { device: "remote" }),
    {
      ...{ code: "STELE-ACC-0001", message: /no device can \(remote: [^;]+\)$/ },
    },
    "the only one that was named, and nothing of the others",
  )
  const { outputs, receipt } = await accelerator.run("matmul", product, inputs)
  t.same(await outputs["out"]?.read(), expected)
  t.ok(receipt.device.length > 0)
  await accelerator.close()
})

t.test("a device that is lost takes nothing with it", async (t) => {
  const remote = new Remote()
  const { accelerator, pass } = await opened(remote)
  const first = accelerator.buffer(a)
  const { outputs } = await accelerator.run("matmul", product, { a: first, b: accelerator.buffer(b) }, { device: "remote" })
  const out = outputs["out"] as NonNullable<(typeof outputs)["out"]>
  const { outputs: more } = await accelerator.run("relu", { n: 4 }, { x: out }, { device: "remote" })
  first.free()
  out.free()
  remote.lose("it fell off the bus")
  t.same(await more["out"]?.read(), expected, "both are computed again, from a buffer that its owner has freed")
  t.notMatch(more["out"]?.residency, ["remote"])
  t.match(accelerator.status()[0], { state: "resting", reason: "it fell off the bus" })
  remote.isAbsent = true
  pass(31_000)
  await accelerator.run("relu", { n: 4 }, { x: accelerator.buffer(a.subarray(0, 4)) })
  t.match(accelerator.status()[0], { state: "absent", reason: "it was unplugged" })
  await accelerator.close()
})

t.test("a long chain on a device that may be lost is kept short", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  let x = accelerator.buffer([1])
  for (let i = 0; i < 70; i++) {
    const { outputs } = await accelerator.run("add", { n: 1 }, { x, y: x }, { device: "remote" })
    x.free()
    x = outputs["out"] as typeof x
  }
  t.ok(x.depth < 64 && x.depth > 0, `${x.depth}`)
  remote.lose("at the end")
  t.same(await x.read(), [2 ** 70])
  await accelerator.close()
})

t.test("a device that computes something else is refused before it serves", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  remote.wrong = "mul"
  const inputs = { x: accelerator.buffer([3]), y: accelerator.buffer([5]) }
  await t.rejects(accelerator.run("mul", { n: 1 }, inputs, { device: "remote" }), {
    message: /remote: its self-test failed: "out" has 7 at 0, not -?[\d.]+, for {"n":1}/,
  })
  const { outputs, receipt } = await accelerator.run("mul", { n: 1 }, inputs)
  t.not(receipt.device, "remote")
  t.same(await outputs["out"]?.read(), [15])
  t.match(accelerator.status()[0]?.tested, { mul: /7 at 0/ })
  t.match(accelerator.plan("erf", { n: 4 }).candidates[0], { device: "remote", refused: "it has no erf" })
  await accelerator.close()
})

t.test("what was exact and is lost is computed again exactly", async (t) => {
  const remote = new Remote()
  const accelerator = await openAccelerator({ mode: "fast", memory, sources: [remote.source(), ...ownSources()] })
  const n = 500
  const random = (from: number) => accelerator.buffer(Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i + from) / 3)))
  const [x, y, z] = [random(0), random(1), random(2)]
  const exact = (await accelerator.run("fma", { n }, { x, y, z }, { device: "simd", mode: "bitexact" })).outputs.out
  const { outputs } = await accelerator.run("fma", { n }, { x, y, z }, { device: "remote", mode: "bitexact" })
  remote.lose("in between")
  t.same(await outputs.out.read(), await exact.read())
  t.ok(
    outputs.out.residency.every((place) => ["simd", "cpu"].includes(place)),
    outputs.out.residency.join(),
  )
  await accelerator.close()
})

t.test("a caller's close closes nobody else's devices", async (t) => {
  await using accelerator = await openAccelerator({ memory })
  const guest = accelerator.caller("guest")
  await guest.close()
  t.same(await (await accelerator.run("relu", { n: 1 }, { x: accelerator.buffer([-1]) })).outputs.out.read(), [0])
})

t.test("memory that a device has not sends work elsewhere, and does not count against it", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote, { isAlone: true })
  const ask = (n: number) => accelerator.run("relu", { n }, { x: accelerator.buffer(new Float32Array(n)) })
  await ask(10)
  remote.bytesMax = 10_000
  for (let i = 0; i < 4; i++) await t.rejects(ask(5_000), { message: /Cannot allocate 20000 bytes on "remote"/ })
  t.equal((await ask(10)).receipt.device, "remote")
  await accelerator.close()
})

t.test("devices that are used by name only are never chosen", async (t) => {
  const remote = new Remote()
  remote.onlyByName = "it is simulated"
  const { accelerator } = await opened(remote)
  t.match(accelerator.plan("add", { n: 1 }).candidates[0], { refused: "used only when named: it is simulated" })
  t.equal((await accelerator.run("neg", { n: 1 }, { x: accelerator.buffer([1]) }, { device: "remote" })).receipt.device, "remote")
  await accelerator.close()
})

t.test("a deadline and a signal end a wait", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const x = accelerator.buffer([1])
  const ask = (options: object) => accelerator.run("relu", { n: 1 }, { x }, { device: "remote", ...options })
  await ask({})
  remote.stuck = new Promise((done) => setTimeout(done, 600))
  const beganMs = performance.now()
  await t.rejects(ask({ deadlineMs: 50 }), { code: "STELE-ACC-0006", message: /"relu" on "remote" within "deadlineMs" of 50 ms/ })
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 20)
  await t.rejects(ask({ signal: controller.signal }), { code: "STELE-ACC-0007" })
  t.ok(performance.now() - beganMs < 600)
  remote.stuck = undefined
  await t.rejects(ask({ signal: AbortSignal.abort() }), { code: "STELE-ACC-0007" })
  t.equal((await ask({ deadlineMs: 10_000, signal: new AbortController().signal })).receipt.device, "remote")
  await accelerator.close()
})

t.test("each caller has its own quota", async (t) => {
  await using accelerator = await openAccelerator({ memory })
  const guest = accelerator.caller("guest", { bytesMax: 100, dispatchesMax: 2 })
  const x = guest.buffer(new Float32Array(10))
  t.throws(() => guest.buffer(new Float32Array(20)), { code: "STELE-ACC-0005", message: /"guest" more than "bytesMax" 100: 40 are used, asked for 80/ })
  const { outputs } = await guest.run("relu", { n: 10 }, { x })
  t.equal(guest.used.bytes, 80)
  await t.rejects(guest.run("relu", { n: 10 }, { x }), { message: /bytesMax/ })
  outputs["out"]?.free()
  outputs["out"]?.free()
  t.equal(guest.used.bytes, 40)
  ;(await guest.run("relu", { n: 10 }, { x })).outputs["out"]?.free()
  await t.rejects(guest.run("relu", { n: 10 }, { x }), { message: /"dispatchesMax" 2: 2 are used, asked for 1/ })
  t.equal(guest.used.bytes, 40, "what a refused run had made is given back")
  t.same(accelerator.used, { bytes: 0, dispatches: 0, busyMs: 0 })
  const busy = accelerator.caller("busy", { busyMsMax: 0 })
  await busy.run("relu", { n: 1 }, { x: busy.buffer([1]) })
  await t.rejects(busy.run("relu", { n: 1 }, { x: busy.buffer([1]) }), { message: /busyMsMax/ })
})

t.test("a quota holds for runs at once, for those that fail, and for callers of a caller", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const guest = accelerator.caller("guest", { dispatchesMax: 3, bytesMax: 1_000 })
  const x = guest.buffer([1])
  const all = await Promise.allSettled(Array.from({ length: 5 }, () => guest.run("relu", { n: 1 }, { x }, { device: "cpu" })))
  t.equal(all.filter(({ status }) => status === "fulfilled").length, 3)
  t.match(
    all.find(({ status }) => status === "rejected"),
    { reason: { code: "STELE-ACC-0005" } },
  )
  const late = accelerator.caller("late", { dispatchesMax: 1 })
  const ask = () => late.run("relu", { n: 1 }, { x: late.buffer([1]) }, { device: "remote", deadlineMs: 20 })
  remote.stuck = new Promise((done) => setTimeout(done, 100))
  await t.rejects(ask(), { code: "STELE-ACC-0006" })
  t.ok(late.used.busyMs > 10 && late.used.dispatches === 1, "what was not waited for is counted")
  await t.rejects(ask(), { code: "STELE-ACC-0005" })
  remote.stuck = undefined
  const inner = guest.caller("inner", { bytesMax: 2 ** 30 })
  t.throws(() => inner.buffer(new Float32Array(300)), { code: "STELE-ACC-0005", message: /"guest" more than "bytesMax" 1000/ })
  await t.rejects(inner.run("relu", { n: 1 }, { x: inner.buffer([1]) }), { message: /"guest" more than "dispatchesMax" 3/ })
  const [before, narrow] = [accelerator.used.bytes, accelerator.caller("narrow", { bytesMax: 4 * 10 + 4 * 3 })]
  await t.rejects(narrow.run("topk", { n: 10, k: 2 }, { x: narrow.buffer(new Float32Array(10)) }), { message: /"bytesMax" 52: 40 are used, asked for 16/ })
  t.equal(narrow.used.bytes, 40, "outputs are all made or none")
  t.equal(accelerator.used.bytes, before)
  await accelerator.close()
})

t.test("a buffer that is freed, or whose array shrinks, while a run fetches another gives no wrong numbers", async (t) => {
  const remote = new Remote()
  const { accelerator } = await opened(remote)
  const x = accelerator.buffer([1, 2])
  await accelerator.run("relu", { n: 2 }, { x }, { device: "cpu" })
  const y = (await accelerator.run("relu", { n: 2 }, { x: accelerator.buffer([10, 20]) }, { device: "remote" })).outputs.out
  // `y` is fetched from the one for the other: meanwhile `x` leaves it.
  const running = accelerator.run("add", { n: 2 }, { x, y }, { device: "cpu" })
  x.free()
  t.same(await (await running).outputs.out.read(), [11, 22])
  t.equal(x.places.size, 0, "nothing stays with what was freed")
  const shrunk = new Float32Array(4)
  const buffer = accelerator.buffer(shrunk)
  structuredClone(shrunk.buffer, { transfer: [shrunk.buffer] })
  await t.rejects(accelerator.run("relu", { n: 4 }, { x: buffer }), { code: "STELE-KRN-0001", message: /detached.* has 0 numbers, not 4/ })
  await accelerator.close()
})

t.test("operands and names are compared with what an operation needs", async (t) => {
  await using accelerator = await openAccelerator({ memory })
  const [x, i] = [accelerator.buffer([1, 2]), accelerator.buffer(Int32Array.of(1, 2))]
  await t.rejects(accelerator.run("add", { n: 2 }, { x }), { message: /add: "y" is missing, not 2 numbers/ })
  await t.rejects(accelerator.run("add", { n: 3 }, { x, y: x }), { message: /add: "x" has 2 numbers, not 3/ })
  await t.rejects(accelerator.run("add", { n: 2 }, { x, y: i }), { message: /add: "y" is i32, not f32/ })
  await t.rejects(accelerator.run("add", { n: 2 }, { x, y: x, z: x }), { message: /operand of add "z": there are x, y/ })
  t.throws(() => accelerator.plan("add", { n: 2 }, { device: "gpu" }), { message: /device "gpu": there are simd-fast, simd, cpu/ })
  t.throws(() => accelerator.plan("add", { n: 2 }, { mode: "slow" as never }), { message: /mode "slow"/ })
  await t.rejects(openAccelerator({ mode: "slow" as never }), { code: "STELE-KRN-0006" })
  await t.rejects(openAccelerator({ mod: "fast" } as object), { code: "STELE-CFG-0001", message: /"mod"/ })
  await t.rejects(openAccelerator({ bytesMax: -1 }), { code: "STELE-CFG-0002", message: /"bytesMax"/ })
  await t.rejects(accelerator.run("add", { n: 2 }, { x, y: x }, { deadline: 5 } as object), { code: "STELE-CFG-0001", message: /"deadline"/ })
  await t.rejects(accelerator.run("add", { n: 2 }, { x, y: x }, { deadlineMs: Number.NaN }), { code: "STELE-CFG-0002", message: /"deadlineMs"/ })
  await t.rejects(accelerator.run("add", { n: 2 }, { x, y: [1, 2] as never }), { message: /"y" is something else, not a buffer of accelerator.buffer/ })
  t.equal(accelerator.used.bytes, 16)
})

t.test("a search gives the same everywhere", async (t) => {
  await using accelerator = await openAccelerator({ memory })
  const utf8 = new TextEncoder()
  const literals = [utf8.encode("needle"), utf8.encode("hay")]
  const { matches, receipt } = await accelerator.search(utf8.encode("a needle in a haystack"), literals)
  t.same(matches, [
    { at: 2, literal: 0 },
    { at: 14, literal: 1 },
  ])
  t.match(receipt.device, /^simd/)
  t.match(accelerator.planSearch(1_000_000, literals).candidates.at(-1), { device: "cpu", refused: "it does not search text" })
  await t.rejects(accelerator.search(utf8.encode("x"), []), { code: "STELE-KRN-0003" })
})

t.test("measurements are measured, cut-overs follow from the model, and what is known is remembered", async (t) => {
  const known = new Map<string, Remembered>()
  const own = { get: (of: string) => known.get(of), set: (of: string, what: Remembered) => void known.set(of, what) }
  {
    await using accelerator = await openAccelerator({ memory: own, mode: "fast" })
    const found = await accelerator.benchmark("matmul", { sizes: [8, 64], budgetMs: 20 })
    t.same(
      found.map(({ device, size }) => `${device} ${size}`),
      ["simd-fast 8", "simd-fast 64", "simd 8", "simd 64", "cpu 8", "cpu 64"],
    )
    for (const { gigaflops, medianMs, shape } of found) t.ok(Math.abs(gigaflops * medianMs * 1e6 - 2 * (shape["m"] as number) ** 3) < 1)
    const cuts = accelerator.cutOvers("matmul")
    t.equal(cuts[0]?.from, 1)
    t.match(cuts.at(-1)?.device, /^simd/, "large products are not JavaScript's")
    await accelerator.run("add", { n: 1 << 16 }, { x: accelerator.buffer(new Float32Array(1 << 16)), y: accelerator.buffer(new Float32Array(1 << 16)) })
  }
  t.equal(known.size, 3)
  t.ok(
    [...known.values()].some(({ corrections }) => corrections.some(([bucket]) => bucket.startsWith("add/"))),
    "what a run taught is remembered",
  )
  // As if three processes had measured.
  for (const [of, { calibration, corrections }] of known) known.set(of, { calibration: { ...calibration, rounds: 3 }, corrections })
  const before = [...known.values()].map(({ calibration }) => calibration.measuredAt)
  await using again = await openAccelerator({ memory: { ...own, set: () => undefined } })
  t.same(
    again.status().map(({ calibration }) => calibration?.measuredAt),
    before,
  )
})

t.test("a device that was chosen stays chosen until another is clearly faster", async (t) => {
  const clock = { nowMs: 0 }
  const [one, other] = [new Remote("one"), new Remote("other")]
  for (const [remote, costMs] of [
    [one, 1],
    [other, 1.1],
  ] as const)
    Object.assign(remote, { clock, costMs })
  const accelerator = await openAccelerator({ sources: [one.source(), other.source()], now: () => clock.nowMs })
  const shape = { m: 40, k: 40, n: 40 }
  const inputs = { a: accelerator.buffer(new Float32Array(1_600).fill(1)), b: accelerator.buffer(new Float32Array(1_600).fill(1)) }
  const ask = async (): Promise<string> => (await accelerator.run("matmul", shape, inputs)).receipt.device
  t.equal(await ask(), "one")
  one.costMs = 1.15
  for (let i = 0; i < 10; i++) t.equal(await ask(), "one")
  one.costMs = 4
  const devices: Array<string> = []
  for (let i = 0; i < 10; i++) devices.push(await ask())
  t.equal(devices.at(-1), "other")
  t.equal(devices.filter((device, i) => i > 0 && device !== devices[i - 1]).length, 1, "once")
  await accelerator.close()
})
