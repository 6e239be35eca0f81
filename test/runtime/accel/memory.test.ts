/** What is remembered of devices: kept, bounded, and never the reason that something fails. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { Remembered } from "../../../kernels/accelerate/core.ts"
import { fileMemory, memoryPath } from "../../../runtime/accel/memory.ts"
import { openAccelerator } from "../../../runtime/accel/mod.ts"

const folder = mkdtempSync(join(tmpdir(), "stele-accel-"))
t.teardown(() => rmSync(folder, { recursive: true }))
const path = join(folder, "accelerator.json")

const remembered = (launchMs: number): Remembered => ({
  calibration: {
    ...{
      fingerprint: "x",
      measuredAt: "2026-01-01T00:00:00.000Z",
      rounds: 3,
      tookMs: 1,
      launchMs,
      readMs: 1,
      upBytesPerMs: 1,
      downBytesPerMs: 1,
      searchBytesPerMs: 0,
    },
    rates: { arithmetic: 1, memory: 1, function: 1, reduction: 1 },
  },
  corrections: [["matmul/20", { factor: 2, runs: 3 }]],
})

t.test("what was set is got, by another process too", async (t) => {
  fileMemory(path).set("a", remembered(1))
  fileMemory(path).set("b", remembered(2))
  fileMemory(path).set("a", remembered(3))
  t.same(fileMemory(path).get("a"), remembered(3))
  t.same(fileMemory(path).get("b"), remembered(2))
  t.equal(fileMemory(path).get("c"), undefined)
  t.equal(statSync(path).mode & 0o777, 0o600)
  for (let i = 0; i < 40; i++) fileMemory(path).set(`device ${i}`, remembered(i))
  t.equal(Object.keys((JSON.parse(readFileSync(path, "utf8")) as { devices: object }).devices).length, 32)
  t.equal(fileMemory(path).get("a"), undefined, "the oldest go")
})

t.test("a file that says nonsense is measured over", async (t) => {
  const broken = remembered(1)
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    JSON.stringify({ version: 2, devices: { a: remembered(1) } }),
    ...[{ launchMs: -1 }, { launchMs: "1" }, { upBytesPerMs: 0 }, { rates: {} }, { measuredAt: 3 }].map((part) =>
      JSON.stringify({ version: 1, devices: { a: { ...broken, calibration: { ...broken.calibration, ...part } } } }),
    ),
    JSON.stringify({ version: 1, devices: { a: { ...broken, corrections: [["x", { factor: 0, runs: 1 }]] } } }),
    JSON.stringify({ version: 1, devices: { a: { ...broken, corrections: [3] } } }),
    JSON.stringify({ version: 1, devices: { a: 3 } }),
  ]) {
    writeFileSync(path, text)
    t.equal(fileMemory(path).get("a"), undefined, text)
  }
  fileMemory(path).set("a", remembered(4))
  t.same(fileMemory(path).get("a"), remembered(4))
})

t.test("a folder that cannot be written costs a measurement and nothing else", async (t) => {
  const nowhere = fileMemory(join(folder, "missing", "accelerator.json"))
  nowhere.set("a", remembered(1))
  t.equal(nowhere.get("a"), undefined)
  t.equal(memoryPath({ XDG_DATA_HOME: folder }), join(folder, "stele", "accelerator.json"))
  await using accelerator = await openAccelerator({ memoryPath: "/proc/nowhere/accelerator.json" })
  t.ok(accelerator.status().some(({ state }) => state === "ready"))
})

t.test("devices of this machine are measured three times, and those it cannot have say what they need", async (t) => {
  rmSync(path, { force: true })
  const measuredAt = async (): Promise<ReadonlyArray<unknown>> => {
    await using accelerator = await openAccelerator({ memoryPath: path })
    t.match(
      accelerator.status().filter(({ state }) => state === "unavailable"),
      [{ name: "cuda", reason: "needs a native backend" }, { name: "rocm" }, { name: "oneapi" }, { name: "opencl" }],
    )
    return accelerator.status().flatMap(({ calibration }) => (calibration === undefined ? [] : [calibration.measuredAt]))
  }
  const found = []
  for (let i = 0; i < 4; i++) found.push(await measuredAt())
  t.ok((found[0]?.length ?? 0) >= 3)
  t.strictNotSame(found[2], found[1], "three processes measure")
  t.same(found[3], found[2], "the fourth reads")
})
