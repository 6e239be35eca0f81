/** The tools that simulate the FPGA, and that place and route it. STELE_TEST_SIMULATORS names those that may not be missing. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Tool, toolOf } from "../../../runtime/accel/fpga/tools.ts"
import { Watch } from "../../../runtime/accel/fpga/watch.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
export const rtl = join(root, "runtime/accel/fpga/rtl")
/** Kept from one run to the next: verilator's takes ten seconds. */
export const folder = join(root, ".cache/fpga")
export const path = process.env["PATH"] ?? ""
export const forMs = (ms: number): Watch => new Watch("test", {}, ms)

const flags = { verilator: "--version", iverilog: "-V", vvp: "-V", make: "--version", "g++": "--version", yosys: "-V", "nextpnr-ice40": "--version" } as const
export type ToolName = keyof typeof flags
export const tools = Object.fromEntries(
  await Promise.all((Object.keys(flags) as Array<ToolName>).map(async (name) => [name, await toolOf(name, flags[name], path, forMs(60_000))] as const)),
) as Readonly<Record<ToolName, Tool | undefined>>
const expected = new Set((process.env["STELE_TEST_SIMULATORS"] ?? "").split(" "))
/** Why a test is left out; never of a tool that may not be missing. */
export function without(...names: ReadonlyArray<ToolName>): string | false {
  const missing = names.filter((name) => tools[name] === undefined)
  return missing.length > 0 && !missing.some((name) => expected.has(name)) && `not here: ${missing.join(", ")}`
}

export const noVerilator = without("verilator", "make", "g++")
export const noIverilog = without("iverilog", "vvp")
