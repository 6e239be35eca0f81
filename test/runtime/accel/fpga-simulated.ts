/**
 * The FPGA's Verilog in simulators, beside the SIMD kernel: the same matches on random texts, and what becomes of simulators that die or hang, of folders that
 * cannot be written, and of place and route. `fpga.test.ts` loads it where there is a simulator.
 */
import { execFile, spawnSync } from "node:child_process"
import { chmod, mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import t, { type Test } from "tap"
import { matches } from "../../../kernels/search/literals.ts"
import { openTextKernels } from "../../../kernels/text.ts"
import { iverilog, place } from "../../../runtime/accel/fpga/built.ts"
import { bitstreams, type DesignName, designs, readSources } from "../../../runtime/accel/fpga/design.ts"
import { type Pattern, SimulatedDriver } from "../../../runtime/accel/fpga/driver.ts"
import { type FpgaDevice, type FpgaOptions, openFpga } from "../../../runtime/accel/fpga/mod.ts"
import type { Tool } from "../../../runtime/accel/fpga/tools.ts"
import { Random } from "../../kernels/random-floats.ts"
import { isFull, runsOf, seed } from "../../seed.ts"
import { folder, forMs, noIverilog, noVerilator, path, rtl, tools, without } from "./simulators.ts"

const kernels = await openTextKernels()
const utf8 = new TextEncoder()
const bytesOf = (text: string): Uint8Array => utf8.encode(text)

async function open(options: FpgaOptions): Promise<FpgaDevice> {
  const device = await openFpga({ folder, ...options })
  if (device.state !== "open") throw new Error(device.reason)
  return device
}

function kernelFinds(text: Uint8Array, patterns: ReadonlyArray<Uint8Array>): ReturnType<typeof matches> {
  using page = kernels.bytes(text)
  using literals = kernels.literals(patterns)
  return kernels.find(page, literals)
}

/** Of few letters, so that there are matches; of some texts one of the patterns is the end, the beginning or a part. */
function randomCase(random: Random, patternsMax: number, textMax: number): { readonly text: Uint8Array; readonly patterns: ReadonlyArray<Uint8Array> } {
  const kinds = random.pick([1, 2, 2, 3, 4, 256])
  const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => (kinds === 256 ? 0 : 97) + random.whole(0, kinds - 1))
  const patterns = Array.from({ length: random.whole(1, random.pick([1, 4, 8, patternsMax])) }, () => bytes(random.whole(1, random.pick([1, 3, 8, 16]))))
  const text = bytes(random.whole(0, random.pick([1, 9, 40, textMax])))
  if (random.whole(0, 1) === 0) {
    const one = random.pick(patterns)
    if (one.length <= text.length) text.set(one, random.pick([0, text.length - one.length, random.whole(0, text.length - one.length)]))
  }
  return { text, patterns }
}

async function compareWithKernel(t: Test, device: FpgaDevice, rounds: number, random: Random): Promise<number> {
  let [hits, wrong] = [0, 0]
  for (let round = 0; round < rounds && wrong < 3; round++) {
    const { text, patterns } = randomCase(random, 20, 300)
    const [found, wanted] = [await device.search(text, patterns), kernelFinds(text, patterns)]
    hits += wanted.length
    if (JSON.stringify(found) === JSON.stringify(wanted)) continue
    wrong++
    t.strictSame(found, wanted, `round ${round}: ${JSON.stringify({ text: [...text], patterns: patterns.map((one) => [...one]) })}`)
  }
  t.ok(hits > rounds, `${hits} hits in ${rounds} texts`)
  t.equal(wrong, 0)
  return hits
}

t.test("the Verilog has no warning in verilator, of either design", { skip: noVerilator }, async (t) => {
  for (const name of Object.keys(designs) as Array<DesignName>)
    for (const top of ["matcher", "pins"]) {
      const sets = Object.entries(designs[name].parameters).map(([parameter, value]) => `-G${parameter}=${value}`)
      const sources = [...(top === "pins" ? ["pins.v"] : []), "matcher.v", "results.v"]
      const { status, stderr } = spawnSync("verilator", ["--lint-only", "-Wall", "--top-module", top, ...sets, ...sources], { cwd: rtl, encoding: "utf8" })
      t.equal(status, 0, `${name}, ${top}: ${stderr}`)
    }
})

t.test("the Verilog, what drives it in vvp included, has no warning in Icarus", { skip: noIverilog }, async (t) => {
  const args = ["-g2005-sv", "-Wall", "-t", "null", "-s", "simulate", "simulate.v", "matcher.v", "results.v"]
  const { status, stderr } = spawnSync("iverilog", args, { cwd: rtl, encoding: "utf8" })
  t.equal(status, 0)
  t.equal(stderr, "")
})

for (const [simulator, design, rounds, clocks, skip] of [
  ["verilator", "standard", runsOf(400, 10_000), 1, noVerilator],
  ["verilator", "standard", runsOf(100, 3_000), 7, noVerilator],
  ["iverilog", "small", runsOf(20, 1_000), 1, noIverilog],
  ["iverilog", "small", runsOf(10, 300), 64, noIverilog],
] as const)
  t.test(`it finds what the SIMD kernel finds: ${design} in ${simulator}, a result every ${clocks} clocks`, { skip }, async (t) => {
    await using device = await open({ simulator, design, clocksPerResult: clocks })
    await compareWithKernel(t, device, rounds, new Random(seed + clocks))
    const { bytesPerCycle = 0, design: described, kind } = device.describe()
    t.equal(kind, "simulated")
    t.ok(bytesPerCycle > 0 && bytesPerCycle <= described.bytesPerCycleMax)
  })

t.test("matches across words and pieces, overlapping, at both ends, in no text", { skip: noVerilator }, async (t) => {
  await using device = await open({ simulator: "verilator" })
  const same = async (text: Uint8Array, patterns: ReadonlyArray<Uint8Array>, what: string): Promise<void> =>
    void t.strictSame(await device.search(text, patterns), kernelFinds(text, patterns), what)
  const sixteen = bytesOf("0123456789abcdef")
  for (let lead = 0; lead < 18; lead++) await same(Uint8Array.of(...new Uint8Array(lead), ...sixteen), [sixteen, sixteen.subarray(15)], `after ${lead} bytes`)
  await same(bytesOf("a".repeat(50)), [bytesOf("a"), bytesOf("aa"), bytesOf("aaaaaaaaaaaaaaaa"), bytesOf("a")], "overlapping")
  await same(new Uint8Array(0), [bytesOf("a")], "no text")
  await same(bytesOf("a"), [bytesOf("a"), bytesOf("aa")], "a byte")
  await same(new Uint8Array(9), [new Uint8Array(1), new Uint8Array(9), new Uint8Array(10)], "zeros are bytes, and what is before a text is none")
  for (const length of [65_528, 65_535, 65_536, 65_537, 131_072, 131_079]) {
    const text = new Uint8Array(length).fill(120)
    for (const at of [0, 65_521, 65_528, 65_535, length - 16]) if (at + 16 <= length) text.set(sixteen, at)
    await same(text, [sixteen, sixteen.subarray(0, 2), bytesOf("xf")], `${length} bytes`)
  }
})

t.test("bytes that may be any are bytes of the pattern all the same", { skip: noVerilator }, async (t) => {
  await using device = await open({ simulator: "verilator" })
  const random = new Random(seed + 5)
  const isAt = (text: Uint8Array, at: number, bytes: Uint8Array, care: ReadonlyArray<boolean>): boolean =>
    at + bytes.length <= text.length && bytes.every((byte, i) => care[i] === false || text[at + i] === byte)
  let hits = 0
  for (let round = 0; round < runsOf(50, 1_000); round++) {
    const { text, patterns } = randomCase(random, 12, 100)
    const masked = patterns.map((bytes) => {
      const care = Array.from(bytes, () => random.whole(0, 2) > 0)
      care[random.whole(0, bytes.length - 1)] = true
      return { bytes, care }
    })
    const wanted = Array.from(text, (_, at) => masked.flatMap(({ bytes, care }, literal) => (isAt(text, at, bytes, care) ? [{ at, literal }] : []))).flat()
    hits += wanted.length
    t.strictSame(await device.search(text, masked), wanted)
  }
  t.ok(hits > 100, `${hits} hits`)
})

t.test("a word a clock at any rate of hits; a slow reader makes the text wait, and nothing is lost", { skip: noVerilator }, async (t) => {
  const text = new Uint8Array(8_000 + 3).fill(97)
  const patterns = [bytesOf("a"), bytesOf("aaa"), bytesOf("b")]
  await using device = await open({ simulator: "verilator" })
  const hits = await device.search(text, patterns)
  t.strictSame(hits, kernelFinds(text, patterns))
  const { cycles, waitedCycles, bytesPerCycle = 0 } = device.describe()
  t.equal(waitedCycles, 0)
  // 1,001 words, three registers and the queue.
  t.equal(cycles, 1_001 + 5)
  t.ok(bytesPerCycle > 7.9)
  await using slow = await open({ simulator: "verilator", clocksPerResult: 16 })
  t.strictSame(await slow.search(text, patterns), hits)
  const described = slow.describe()
  t.ok(described.waitedCycles > 14_000, `${described.waitedCycles} cycles waited`)
  t.ok(described.cycles > 1_001 * 15)
})

t.test("more patterns than slots are as many passes, whose cycles count", { skip: noVerilator }, async (t) => {
  await using device = await open({ simulator: "verilator", patternsMax: 20 })
  const patterns = Array.from({ length: 20 }, (_, i) => bytesOf(String.fromCharCode(97 + i)))
  const text = bytesOf("the quick brown fox jumps over the lazy dog")
  t.strictSame(await device.search(text, patterns), kernelFinds(text, patterns))
  const { textBytes, loadCycles } = device.describe()
  t.equal(textBytes, 3 * text.length)
  t.equal(loadCycles, 3 * 8 * 16)
  await t.rejects(device.search(text, [...patterns, bytesOf("x")]), { code: "STELE-FPG-0004", message: /"patternsMax" \(20\)/ })
})

t.test("what cannot be loaded or searched is refused by name", { skip: noIverilog }, async (t) => {
  await using device = await open({ simulator: "iverilog", design: "small", textBytesMax: 100, hitsMax: 9 })
  const text = bytesOf("aaaaaaaaaa")
  const refused: ReadonlyArray<readonly [ReadonlyArray<Pattern>, code: string, message: RegExp]> = [
    [[], "STELE-FPG-0004", /load 0 patterns: from 1 to "patternsMax" \(512\)/],
    [[bytesOf("a"), new Uint8Array(0)], "STELE-FPG-0003", /pattern 1: it has 0 bytes/],
    [[new Uint8Array(17)], "STELE-FPG-0003", /"patternBytesMax" \(16\)/],
    [[{ bytes: bytesOf("ab"), care: [true] }], "STELE-FPG-0003", /2 values of "care"/],
    [[{ bytes: bytesOf("ab"), care: [false, false] }], "STELE-FPG-0003", /it has none/],
  ]
  for (const [patterns, code, message] of refused) {
    await t.rejects(device.search(text, patterns), { code, message })
    t.match(device.refuse(text.length, patterns), { code, message })
  }
  await t.rejects(device.search(new Uint8Array(101), [text]), { code: "STELE-FPG-0005", reason: { limit: 100, found: 101 } })
  t.equal(device.refuse(100, [text]), undefined)
  await t.rejects(device.search(text, [bytesOf("a")]), { code: "STELE-FPG-0006", reason: { limit: 9 } })
  // Of a text that was given up nothing is left.
  t.strictSame(await device.search(text.subarray(0, 9), [bytesOf("a")]), kernelFinds(text.subarray(0, 9), [bytesOf("a")]))
  t.strictSame(await device.search(text, [bytesOf("b")]), [])
  await t.rejects(device.search(text, [text], { deadlineMs: 0 }), { code: "STELE-CFG-0002" })
})

t.test("the driver is called in its order", { skip: noIverilog }, async (t) => {
  const simulator = iverilog([tools.iverilog as Tool, tools.vvp as Tool])
  const limits = { textBytesMax: 1_000, hitsMax: 1_000 }
  const driver = new SimulatedDriver(simulator, await readSources(), { path: folder, toolPath: path }, limits, 1, 60_000)
  t.teardown(() => driver.end())
  await t.rejects(driver.loadPatterns([bytesOf("a")]), { code: "STELE-FPG-0007", message: /no bitstream/ })
  await t.rejects(driver.loadBitstream("0".repeat(64)), { code: "STELE-FPG-0002", message: new RegExp(bitstreams.small) })
  await driver.loadBitstream(bitstreams.small)
  await t.rejects(driver.searchPatterns(bytesOf("a")), { code: "STELE-FPG-0007", message: /no patterns/ })
  await t.rejects(driver.loadPatterns(Array.from({ length: 5 }, () => bytesOf("a"))), { code: "STELE-FPG-0004", reason: { limit: 4, found: 5 } })
  t.equal(await driver.loadPatterns([bytesOf("aba"), bytesOf("b")]), 4 * 16)
  t.throws(() => driver.getResults(), { code: "STELE-FPG-0007", message: /no text/ })
  t.match(await driver.searchPatterns(bytesOf("ababa")), { textBytes: 5, hits: 4, waitedCycles: 0 })
  t.strictSame(driver.getResults(), matches(bytesOf("ababa"), [bytesOf("aba"), bytesOf("b")]))
  // They are searched for again, until others are loaded or their simulator has ended.
  t.match(await driver.searchPatterns(bytesOf("b")), { hits: 1 })
  process.kill(driver.pid as number, "SIGKILL")
  await t.rejects(driver.searchPatterns(bytesOf("b")), { code: /STELE-(ACC-0002|FPG-0007)/ })
  await t.rejects(driver.searchPatterns(bytesOf("b")), { code: "STELE-FPG-0007", message: /no patterns/ })
})

t.test("a simulator that dies, hangs or is no longer wanted is ended, and the next search starts another", { skip: noIverilog }, async (t) => {
  const device = await open({ simulator: "iverilog", design: "small" })
  const [long, short, patterns] = [new Uint8Array(60_000), bytesOf("aba"), [bytesOf("a")]]
  const pidOf = (): number => device.describe().simulator.pid as number
  const works = async (): Promise<void> => void t.strictSame(await device.search(short, patterns), kernelFinds(short, patterns))
  const isGone = async (pid: number): Promise<void> => {
    for (let tries = 0; tries < 500; tries++) {
      try {
        process.kill(pid, 0)
      } catch {
        return
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.fail(`${pid} is still there`)
  }
  const first = pidOf()
  const died = t.rejects(device.search(long, patterns), { code: "STELE-ACC-0002", message: /SIGKILL/, isRetryable: true })
  process.kill(first, "SIGKILL")
  await died
  await works()
  const second = pidOf()
  t.not(second, first)
  process.kill(second, "SIGSTOP")
  const waits = device.search(short, patterns)
  const queued = t.rejects(device.search(short, patterns, { deadlineMs: 50 }), { code: "STELE-ACC-0006", reason: { operation: "search", deadlineMs: 50 } })
  await queued
  t.equal(pidOf(), second, "who waits in vain ends nothing")
  const aborting = new AbortController()
  const aborted = t.rejects(device.search(short, patterns, { signal: aborting.signal }), { code: "STELE-ACC-0007" })
  aborting.abort(new Error("enough"))
  await aborted
  process.kill(second, "SIGCONT")
  t.strictSame(await waits, kernelFinds(short, patterns))
  process.kill(second, "SIGSTOP")
  await t.rejects(device.search(short, patterns, { deadlineMs: 100 }), { code: "STELE-ACC-0006" })
  await isGone(second)
  await works()
  const stopping = new AbortController()
  const stopped = t.rejects(device.search(long, patterns, { signal: stopping.signal }), { code: "STELE-ACC-0007" })
  const third = pidOf()
  // By then it is under way: one that is not has nothing to end.
  await new Promise((resolve) => setImmediate(resolve))
  stopping.abort()
  await stopped
  await isGone(third)
  await works()
  await t.rejects(device.search(short, patterns, { signal: AbortSignal.abort() }), { code: "STELE-ACC-0007" })
  const under = t.rejects(device.search(long, patterns), { code: "STELE-ACC-0008" })
  const after = t.rejects(device.search(short, patterns), { code: "STELE-ACC-0008" })
  const fourth = pidOf()
  await device.close()
  await Promise.all([under, after])
  await isGone(fourth)
  await t.rejects(device.search(short, patterns), { code: "STELE-ACC-0008" })
  await device.close()
})

t.test("processes that build the same at once have one file of it, and drafts go", { skip: noIverilog }, async (t) => {
  const own = await mkdtemp(join(tmpdir(), "stele-fpga-"))
  t.teardown(() => rm(own, { recursive: true, force: true }))
  const built = join(own, "built")
  const abandoned = join(built, "draft-abandoned")
  await mkdir(abandoned, { recursive: true })
  await chmod(built, 0o700)
  await utimes(abandoned, new Date(0), new Date(0))
  const program = `
    import { openFpga } from ${JSON.stringify(new URL("../../../runtime/accel/fpga/mod.ts", import.meta.url).href)}
    const device = await openFpga({ folder: ${JSON.stringify(built)}, simulator: "iverilog", design: "small" })
    console.log(JSON.stringify(await device.search(Buffer.from("aba"), [Buffer.from("a")])))
    await device.close()`
  const outputs = await Promise.all([0, 1, 2].map(() => promisify(execFile)(process.execPath, ["--input-type=module", "-e", program])))
  for (const { stdout } of outputs) t.equal(stdout.trim(), '[{"at":0,"literal":0},{"at":2,"literal":0}]')
  const names = await readdir(built)
  t.equal(names.length, 1, names.join(", "))
  // A build that is given up leaves nothing.
  await rm(built, { recursive: true })
  await t.rejects(openFpga({ folder: built, simulator: "iverilog", signal: AbortSignal.abort() }), { code: "STELE-ACC-0007" })
  await mkdir(join(own, "tools"))
  await writeFile(join(own, "tools/iverilog"), `#!/bin/sh\n[ "$1" = -V ] && exec ${tools.iverilog?.file ?? ""} -V\necho "sorry: nothing works"\nexit 2\n`, {
    mode: 0o700,
  })
  await writeFile(join(own, "tools/vvp"), `#!/bin/sh\nexec ${tools.vvp?.file ?? ""} "$@"\n`, { mode: 0o700 })
  const broken = openFpga({ folder: built, simulator: "iverilog", toolPath: `${join(own, "tools")}:/usr/bin:/bin` })
  await t.rejects(broken, { code: "STELE-FPG-0001", message: /with iverilog: sorry: nothing works\niverilog ended with 2/ })
  t.strictSame(await readdir(built), [])
})

t.test("a folder that others may write to is not run from", { skip: noIverilog || process.getuid === undefined }, async (t) => {
  const own = await mkdtemp(join(tmpdir(), "stele-fpga-"))
  t.teardown(() => rm(own, { recursive: true, force: true }))
  await chmod(own, 0o777)
  await t.rejects(openFpga({ folder: own, simulator: "iverilog" }), { code: "STELE-CFG-0004", message: /others than this user/ })
})

const disk = await mkdtemp(join(tmpdir(), "stele-fpga-disk-"))
const mount = (...args: ReadonlyArray<string>): boolean => spawnSync("mount", [...args, disk]).status === 0
const isMounted = noIverilog === false && mount("-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs")
t.teardown(async () => {
  if (isMounted) spawnSync("umount", [disk])
  await rm(disk, { recursive: true, force: true })
})
t.test("a disk that is full or read-only is said to be", { skip: noIverilog || (!isMounted && "this user cannot mount a file system") }, async (t) => {
  await t.rejects(openFpga({ folder: join(disk, "built"), simulator: "iverilog", design: "small" }), { code: "STELE-CFG-0005" })
  t.strictSame(await readdir(join(disk, "built")), [], "nothing is left of it")
  t.ok(mount("-o", "remount,ro"))
  await t.rejects(openFpga({ folder: join(disk, "other"), simulator: "iverilog", design: "small" }), { code: "STELE-CFG-0004", message: /read-only/ })
})

t.test("place and route says the clock, which is kept", { skip: without("yosys", "nextpnr-ice40") }, async (t) => {
  const own = await mkdtemp(join(tmpdir(), "stele-fpga-"))
  t.teardown(() => rm(own, { recursive: true, force: true }))
  const [sources, both] = [await readSources(), [tools.yosys as Tool, tools["nextpnr-ice40"] as Tool] as const]
  // As small as it gets: what the designs come to is measured with --full.
  const least = { ...designs.small, placed: { BYTES: 2, PATTERNS: 2, LENGTH: 2, DEPTH: 16 } }
  const placed = await place(least, both, sources, { path: own, toolPath: path }, forMs(200_000))
  t.match(placed, { part: "iCE40 HX8K", cells: { all: 7680 }, parameters: least.placed })
  t.ok(placed.mhz > 20 && placed.mhz < 500, `${placed.mhz} MHz`)
  t.ok(placed.cells.used > 100 && placed.cells.used < 2_000, `${placed.cells.used} cells`)
  const began = performance.now()
  t.strictSame(await place(least, both, sources, { path: own, toolPath: path }, forMs(200_000)), placed)
  t.ok(performance.now() - began < 1_000, "kept")
  t.equal((await readdir(own)).length, 1)
})

t.test(
  "either design is placed and routed",
  { skip: without("yosys", "nextpnr-ice40", "iverilog", "vvp") || (!isFull && "takes a minute: with --full") },
  async (t) => {
    for (const design of ["small", "standard"] as const) {
      await using device = await open({ simulator: "iverilog", design })
      const clock = await device.measureClock({ deadlineMs: 900_000 })
      t.match(clock, { source: "nextpnr-ice40", part: "iCE40 HX8K" })
      t.ok(clock.mhz > 75, `${design}: ${clock.mhz} MHz, above what is assumed without`)
      t.match(device.describe().modelled[0], { clockSource: "nextpnr-ice40", bytesPerSecond: device.describe().design.bytesPerCycleMax * clock.mhz * 1e6 })
      await using again = await open({ simulator: "iverilog", design })
      t.strictSame(again.describe().clock, clock, "kept")
    }
  },
)
