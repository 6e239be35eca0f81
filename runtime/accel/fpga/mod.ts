/**
 * An FPGA that searches texts for literals, simulated: its Verilog runs in verilator or Icarus Verilog, where one is installed. Its cycles are those of the
 * hardware; its seconds are those of a simulator. Never chosen by itself (`docs/adr/0056-fpga.md`).
 *
 * ```ts
 * const fpga = await openFpga()
 * if (fpga.state === "open") {
 *   console.log(await fpga.search(text, [needle]))
 *   console.log(fpga.describe())
 *   await fpga.close()
 * } else console.log(fpga.reason)
 * ```
 */
import { tmpdir } from "node:os"
import { join } from "node:path"
import { cacheFolder } from "../../../host/platform/server.ts"
import type { Absent } from "../../../kernels/accelerate/device.ts"
import type { Match } from "../../../kernels/search/literals.ts"
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { FpgaError } from "../../../schemas/error/fpga.ts"
import { SteleError } from "../../../schemas/error/family.ts"
import { ownFolder } from "../../shipped.ts"
import { type Folder, iverilog, place, type Placed, placedBefore, type Simulator, verilator } from "./built.ts"
import { type Board, type BoardName, boards, type Design, type DesignName, designNames, designs, modelled, readSources, type Sources } from "./design.ts"
import { checkPatterns, checkText, type DriverLimits, type Pattern, SimulatedDriver, whole } from "./driver.ts"
import { type Tool, toolOf } from "./tools.ts"
import { type Control, deadlineOf, Watch } from "./watch.ts"

export { type Board, bitstreams, boards, designNames, designs } from "./design.ts"
export type { FpgaDriver, Pattern, Searched } from "./driver.ts"
export type { Placed } from "./built.ts"
export { FpgaError } from "../../../schemas/error/fpga.ts"

const simulatorNames = ["verilator", "iverilog"] as const
export type SimulatorName = (typeof simulatorNames)[number]

export interface FpgaOptions {
  /** Default `standard`: 8 bytes a clock, 8 patterns of up to 16 bytes. */
  readonly design?: DesignName
  /** Default: the first of verilator and iverilog that works here. */
  readonly simulator?: SimulatorName
  /** Only `simulated`, the default, is there; others are configurations that nobody has tried. */
  readonly board?: "simulated" | BoardName
  /** A result is taken every so many clocks, as by a slower bus; from 1, the default, to 65,535. */
  readonly clocksPerResult?: number
  /** Patterns of one search, in several passes of the text; default 512. */
  readonly patternsMax?: number
  /** Bytes of one text; default 1 GiB, at most 4 GiB. */
  readonly textBytesMax?: number
  /** Hits of one search; default 4,194,304. */
  readonly hitsMax?: number
  /** Of a search that says none, in milliseconds; default 60,000. */
  readonly deadlineMs?: number
  /** Of opening, the build of a simulator included, in milliseconds; default 300,000. */
  readonly openMsMax?: number
  /** Where what is built is kept; default `fpga` in the cache folder of `stele`. */
  readonly folder?: string
  /** Folders where tools are looked for; default PATH. */
  readonly toolPath?: string
  readonly signal?: AbortSignal
}

const known: ReadonlyArray<keyof FpgaOptions> = [
  ...(["design", "simulator", "board", "clocksPerResult", "patternsMax", "textBytesMax", "hitsMax", "deadlineMs", "openMsMax", "folder", "toolPath"] as const),
  "signal",
]

/** Where the clock is from: measured by place and route, or nobody's measurement. */
export type Clock =
  | ({ readonly source: "nextpnr-ice40" } & Placed)
  | { readonly source: "assumed"; readonly mhz: number; readonly part: string; readonly why: string }

/** What throughput would be at a clock: modelled, never measured. */
export interface Modelled {
  readonly board: string
  readonly bytesPerSecond: number
  readonly limit: "bus" | "clock"
  readonly clockMhz: number
  readonly clockSource: Clock["source"]
  readonly isTried: boolean
}

export interface FpgaDescription {
  readonly kind: "simulated"
  readonly simulator: { readonly name: string; readonly version: string; readonly pid: number | undefined }
  readonly design: {
    readonly name: DesignName
    readonly sha256: string
    readonly bytesPerCycleMax: number
    /** In one pass of the text. */
    readonly patternsPerPass: number
    readonly patternBytesMax: number
  }
  /** So far, of searches that ended. */
  readonly searches: number
  readonly cycles: number
  readonly waitedCycles: number
  readonly loadCycles: number
  /** Of texts, each pass counted. */
  readonly textBytes: number
  readonly bytesPerCycle: number | undefined
  readonly clock: Clock
  readonly modelled: ReadonlyArray<Modelled>
}

/** Below what place and route came to for either design. */
const assumedMhz = 75
const placedMsMax = 300_000

export class FpgaDevice {
  readonly state = "open"
  readonly kind = "simulated"
  readonly #driver: SimulatedDriver
  readonly #design: Design
  readonly #simulator: Tool
  readonly #limits: DriverLimits & { readonly patternsMax: number; readonly deadlineMs: number }
  readonly #place: (watch: Watch) => Promise<Placed>
  #clock: Clock
  #totals = { searches: 0, cycles: 0, waitedCycles: 0, loadCycles: 0, textBytes: 0 }
  /** Resolves when nobody uses the driver any more. */
  #last: Promise<void> = Promise.resolve()
  #isClosed = false

  /** @internal */
  constructor(
    driver: SimulatedDriver,
    design: Design,
    simulator: Tool,
    limits: DriverLimits & { readonly patternsMax: number; readonly deadlineMs: number },
    clock: Clock,
    place: (watch: Watch) => Promise<Placed>,
  ) {
    this.#driver = driver
    this.#design = design
    this.#simulator = simulator
    this.#limits = limits
    this.#clock = clock
    this.#place = place
  }

  /** Cycles first, then the clock and where it is from, then what is modelled of both. */
  describe(): FpgaDescription {
    const { BYTES, PATTERNS, LENGTH } = this.#design.parameters
    const { cycles, textBytes } = this.#totals
    const { mhz, source } = this.#clock
    const placed = this.#design.placed.PATTERNS
    // Of a design that does not fit, the clock is that of a part of it.
    const board = `${this.#clock.part}${placed === PATTERNS ? "" : `, with ${placed} of ${PATTERNS} slots`}`
    const own: Modelled = { board, bytesPerSecond: BYTES * mhz * 1e6, limit: "clock", clockMhz: mhz, clockSource: source, isTried: false }
    return {
      kind: this.kind,
      simulator: { name: this.#simulator.name, version: this.#simulator.version, pid: this.#driver.pid },
      design: { name: this.#design.name, sha256: this.#design.sha256, bytesPerCycleMax: BYTES, patternsPerPass: PATTERNS, patternBytesMax: LENGTH },
      ...this.#totals,
      bytesPerCycle: cycles === 0 ? undefined : textBytes / cycles,
      clock: this.#clock,
      modelled: [
        own,
        ...Object.values(boards).map((board: Board): Modelled => ({
          board: board.name,
          ...modelled(this.#design, board),
          clockMhz: board.clockMhzAssumed,
          clockSource: "assumed",
          isTried: board.isTried,
        })),
      ],
    }
  }

  /** Why this cannot be searched for here, or undefined. */
  refuse(textBytes: number, patterns: ReadonlyArray<Pattern>): SteleError | undefined {
    try {
      const { patternsMax } = this.#limits
      if (patterns.length < 1 || patterns.length > patternsMax) throw new FpgaError("Patterns", { limit: patternsMax, found: patterns.length })
      checkPatterns(this.#design, patterns)
      checkText(textBytes, this.#limits)
      return undefined
    } catch (error) {
      if (error instanceof SteleError) return error
      throw error
    }
  }

  /** Runs `work` when everybody before has ended, in time or not at all. */
  async #alone<A>(watch: Watch, work: () => Promise<A>): Promise<A> {
    if (this.#isClosed) throw new AccelerateError("Closed", { what: "the FPGA" })
    const before = this.#last
    let end: () => void = () => undefined
    const mine = new Promise<void>((resolve) => (end = resolve))
    this.#last = before.then(() => mine)
    try {
      await watch.race(before)
      if (this.#isClosed) throw new AccelerateError("Closed", { what: "the FPGA" })
      return await work()
    } catch (error) {
      // What was under way when it was closed was ended by that.
      throw this.#isClosed ? new AccelerateError("Closed", { what: "the FPGA" }, { cause: error }) : error
    } finally {
      end()
    }
  }

  /**
   * Every place of each pattern, by place and then by pattern. More patterns than the design has slots are searched for in several passes.
   * @throws (rejects) FpgaError `Pattern`, `Patterns`, `Text`, `Hits`; AccelerateError `Lost`, `Failed`, `Deadline`, `Aborted`, `Closed`
   */
  async search(text: Uint8Array, patterns: ReadonlyArray<Pattern>, control: Control = {}): Promise<ReadonlyArray<Match>> {
    const watch = new Watch("search", control, this.#limits.deadlineMs)
    const refused = this.refuse(text.length, patterns)
    if (refused !== undefined) throw refused
    const slots = this.#design.parameters.PATTERNS
    return this.#alone(watch, async () => {
      const found: Array<Match> = []
      const totals = { ...this.#totals, searches: this.#totals.searches + 1 }
      for (let first = 0; first < patterns.length; first += slots) {
        totals.loadCycles += await this.#driver.loadPatterns(patterns.slice(first, first + slots), watch)
        const { cycles, waitedCycles, hits } = await this.#driver.searchPatterns(text, watch)
        if (found.length + hits > this.#limits.hitsMax) throw new FpgaError("Hits", { limit: this.#limits.hitsMax })
        for (const { at, literal } of this.#driver.getResults()) found.push({ at, literal: first + literal })
        totals.cycles += cycles
        totals.waitedCycles += waitedCycles
        totals.textBytes += text.length
      }
      this.#totals = totals
      return patterns.length <= slots ? found : found.sort((a, b) => a.at - b.at || a.literal - b.literal)
    })
  }

  /** Places and routes the design, or what of it a small part has room for: up to a minute, kept for later. @throws (rejects) FpgaError `Build`; ConfigError, AccelerateError */
  async measureClock(control: Control = {}): Promise<Clock> {
    this.#clock = { source: "nextpnr-ice40", ...(await this.#place(new Watch("measureClock", control, placedMsMax))) }
    return this.#clock
  }

  /** Ends the simulator, and with it what is under way. Again does nothing. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#driver.end()
    await this.#last
    this.#driver.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** What a simulator is made of here; a reason where it is not. */
async function findSimulator(name: SimulatorName, path: string, watch: Watch): Promise<Simulator | string> {
  const find = async (needs: Readonly<Record<string, string>>): Promise<ReadonlyArray<Tool> | string> => {
    const tools: Array<Tool> = []
    for (const [tool, flag] of Object.entries(needs)) {
      const found = await toolOf(tool, flag, path, watch)
      if (found === undefined) return `${tool} is not there`
      tools.push(found)
    }
    return tools
  }
  const tools = await find(name === "verilator" ? { verilator: "--version", make: "--version", "g++": "--version" } : { iverilog: "-V", vvp: "-V" })
  if (typeof tools === "string") return tools
  return name === "verilator" ? verilator(tools as Parameters<typeof verilator>[0]) : iverilog(tools as Parameters<typeof iverilog>[0])
}

const install = "install verilator with make and g++, or iverilog (Debian: apt-get install verilator make g++)"

async function openClock(design: Design, sources: Sources, folder: Folder, watch: Watch): Promise<readonly [Clock, (watch: Watch) => Promise<Placed>]> {
  const [yosys, nextpnr] = [await toolOf("yosys", "-V", folder.toolPath, watch), await toolOf("nextpnr-ice40", "--version", folder.toolPath, watch)]
  const assumed = (why: string): Clock => ({ source: "assumed", mhz: assumedMhz, part: "iCE40 HX8K", why })
  if (yosys === undefined || nextpnr === undefined) {
    const why = `${yosys === undefined ? "yosys" : "nextpnr-ice40"} is not there`
    const refuse = async (): Promise<never> => {
      throw new FpgaError("Build", { design: design.name, tool: "nextpnr-ice40", detail: `${why}: install yosys and nextpnr-ice40` })
    }
    return [assumed(why), refuse]
  }
  const before = await placedBefore(design, sources, [yosys, nextpnr], folder)
  const clock: Clock = before === undefined ? assumed("it was not placed and routed yet; measureClock() does so") : { source: "nextpnr-ice40", ...before }
  return [clock, (asked) => place(design, [yosys, nextpnr], sources, folder, asked)]
}

/** Why there is no simulator here, without building one; undefined where there is. @throws (rejects) AccelerateError `Deadline` */
export async function fpgaAbsence(toolPath = process.env["PATH"] ?? ""): Promise<Absent | undefined> {
  const watch = new Watch("openFpga", {}, 10_000)
  const reasons: Array<string> = []
  for (const name of simulatorNames) {
    const found = await findSimulator(name, toolPath, watch)
    if (typeof found !== "string") return undefined
    reasons.push(found)
  }
  return noSimulator(reasons)
}

const noSimulator = (reasons: ReadonlyArray<string>): Absent => ({ state: "absent", reason: `no simulator of Verilog (${reasons.join("; ")}): ${install}` })

/**
 * Opens the simulated device, and builds its simulator where it is not kept from before. Without one it is absent, and a board is unavailable.
 * @throws (rejects) ConfigError of options, and `Denied`, `Full` of the folder; FpgaError `Build`, `Bitstream`; AccelerateError
 */
export async function openFpga(options: FpgaOptions = {}): Promise<FpgaDevice | Absent> {
  const stray = Object.keys(options).find((name) => !(known as ReadonlyArray<string>).includes(name))
  if (stray !== undefined) throw new ConfigError("UnknownOption", { option: stray, known })
  const one = <A extends string>(option: string, value: A, all: ReadonlyArray<A>): A => {
    if (!all.includes(value)) throw new ConfigError("Option", { option, expected: all.join(", "), actual: String(value) })
    return value
  }
  const board = one("board", options.board ?? "simulated", ["simulated", ...(Object.keys(boards) as Array<BoardName>)])
  const design = designs[one("design", options.design ?? "standard", designNames)]
  const wanted = options.simulator === undefined ? simulatorNames : [one("simulator", options.simulator, simulatorNames)]
  const every = whole("clocksPerResult", options.clocksPerResult ?? 1, 65_535)
  const deadlineMs = deadlineOf(options.deadlineMs ?? 60_000)
  const limits = {
    patternsMax: whole("patternsMax", options.patternsMax ?? 512, 65_536),
    textBytesMax: whole("textBytesMax", options.textBytesMax ?? 2 ** 30, 2 ** 32),
    hitsMax: whole("hitsMax", options.hitsMax ?? 4_194_304, 2 ** 30),
    deadlineMs,
  }
  if (board !== "simulated") {
    const { name, tools } = boards[board]
    return { state: "unavailable", reason: `${name} is a configuration that nobody has tried: it needs ${tools}, and a driver over them` }
  }
  const watch = new Watch("openFpga", { signal: options.signal, deadlineMs: options.openMsMax }, 300_000)
  const toolPath = options.toolPath ?? process.env["PATH"] ?? ""
  const folder: Folder = { path: options.folder ?? join(cacheFolder(process.env) ?? ownFolder(tmpdir()), "fpga"), toolPath }
  const reasons: Array<string> = []
  for (const name of wanted) {
    const found = await findSimulator(name, toolPath, watch)
    if (typeof found === "string") {
      reasons.push(found)
      continue
    }
    const sources = await readSources()
    const driver = new SimulatedDriver(found, sources, folder, limits, every, deadlineMs)
    try {
      await driver.loadBitstream(design.sha256, watch)
    } catch (error) {
      // One that is too old, or whose compiler is broken, is none where there is another.
      if (!(error instanceof FpgaError) || error.reason._tag !== "Build" || name === wanted.at(-1)) throw error
      reasons.push(error.message)
      continue
    }
    return new FpgaDevice(driver, design, found.tools[0] as Tool, limits, ...(await openClock(design, sources, folder, watch)))
  }
  return noSimulator(reasons)
}
