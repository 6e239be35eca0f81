/** The simulated FPGA: what needs no simulator, and the rest where there is one (`fpga-simulated.ts`). */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { checkSources, designs, readSources, sourcesDigest } from "../../../runtime/accel/fpga/design.ts"
import { type FpgaOptions, openFpga } from "../../../runtime/accel/fpga/mod.ts"
import { operations, Simulation } from "../../../runtime/accel/fpga/process.ts"
import { isFull, replay } from "../../seed.ts"
import { folder, forMs, noIverilog, noVerilator, rtl } from "./simulators.ts"

t.setTimeout(isFull ? 3_000_000 : 290_000)
t.comment(`${replay} replays`)

t.test("the sources are those that `sourcesSha256` names; others are no bitstream", async (t) => {
  const sources = await readSources()
  t.doesNotThrow(() => checkSources(designs.standard, sources), `it is ${sourcesDigest(sources)} now: with every test passed, write it to design.ts`)
  const changed = { ...sources, "matcher.v": new TextEncoder().encode("module matcher; endmodule") }
  t.throws(() => checkSources(designs.standard, changed), { code: "STELE-FPG-0002" })
})

t.test("options that are none are refused", async (t) => {
  await t.rejects(openFpga({ desing: "small" } as FpgaOptions), { code: "STELE-CFG-0001" })
  for (const options of [
    { design: "large" },
    { simulator: "vcs" },
    { board: "none" },
    { clocksPerResult: 0 },
    { patternsMax: 1.5 },
    { deadlineMs: Number.NaN },
  ])
    await t.rejects(openFpga(options as FpgaOptions), { code: "STELE-CFG-0002", reason: { option: Object.keys(options)[0] } })
})

t.test("without a simulator it is absent, and boards are unavailable", async (t) => {
  const empty = await mkdtemp(join(tmpdir(), "stele-fpga-"))
  t.teardown(() => rm(empty, { recursive: true, force: true }))
  t.match(await openFpga({ folder, toolPath: empty }), { state: "absent", reason: /install verilator .* or iverilog/ })
  for (const board of ["alveo-u250", "stratix-10"] as const) t.match(await openFpga({ board }), { state: "unavailable", reason: /nobody has tried/ })
  // Nor is a tool one that cannot be started, or fails.
  for (const name of ["verilator", "iverilog"]) await writeFile(join(empty, name), "#!/bin/sh\nexit 3\n", { mode: 0o700 })
  t.match(await openFpga({ folder, toolPath: empty }), { state: "absent" })
})

t.test("what is no answer is none", async (t) => {
  const ask = (program: string, ms = 30_000): Promise<unknown> => {
    const simulation = new Simulation({ file: process.execPath, args: ["-e", program] })
    return simulation.ask({ operation: operations.describe, wordsMax: 5 }, forMs(ms)).finally(() => t.equal(simulation.pid, undefined))
  }
  const write = (...bytes: ReadonlyArray<number>): string => `process.stdout.write(Buffer.from([${bytes.join(", ")}]))`
  const stay = "; setInterval(() => {}, 1000)"
  await t.rejects(ask("process.stderr.write('no licence'); process.exit(4)"), { code: "STELE-ACC-0002", message: /"no licence" \(exit code 4\)/ })
  await t.rejects(ask(write(255, 255, 255, 255) + stay), { code: "STELE-ACC-0003", message: /more than 5 words/ })
  await t.rejects(ask(write(1, 0, 0, 0, 1, 2, 3, 4, 5) + stay), { code: "STELE-ACC-0003", message: /more than 1 words/ })
  await t.rejects(ask(write(2, 0, 0, 0, 1) + stay, 1_000), { code: "STELE-ACC-0006" })
  const none = new Simulation({ file: join(rtl, "nothing"), args: [] })
  await t.rejects(none.ask({ operation: operations.describe, wordsMax: 5 }, forMs(30_000)), { code: "STELE-ACC-0002", message: /ENOENT/ })
})

if (noVerilator !== false && noIverilog !== false) t.test("the Verilog in a simulator", { skip: `${noVerilator}; ${noIverilog}` }, () => undefined)
else await import("./fpga-simulated.ts")
