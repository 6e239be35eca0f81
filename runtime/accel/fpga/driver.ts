/** What drives a board that has the matcher on it: the interface, and the driver of a simulated one. */
import { ConfigError } from "../../../schemas/error/config.ts"
import { AccelerateError } from "../../../schemas/error/accelerate.ts"
import { FpgaError } from "../../../schemas/error/fpga.ts"
import type { Match } from "../../../kernels/search/literals.ts"
import { type Folder, type Simulator, simulatorOf } from "./built.ts"
import { checkSources, type Design, designOf, type Sources } from "./design.ts"
import { operations, Simulation } from "./process.ts"
import { type Control, device, Watch } from "./watch.ts"

/** A literal, all of it or with bytes that may be any. */
export type Pattern = Uint8Array | { readonly bytes: Uint8Array; readonly care: ReadonlyArray<boolean> }

/** What a search took. Clocks are exact; of time they say nothing. */
export interface Searched {
  readonly textBytes: number
  /** From the first word of the text to the last result. */
  readonly cycles: number
  /** Of them, those in which a word of text waited because results did. */
  readonly waitedCycles: number
  readonly hits: number
}

export interface FpgaDriver {
  /** Makes the board the design of this SHA-256. @throws (rejects) FpgaError `Bitstream`, `Build`; ConfigError, AccelerateError */
  loadBitstream(sha256: string, control?: Control): Promise<void>
  /** At most as many as the design has slots. Gives the cycles that it took. @throws (rejects) FpgaError `NotLoaded`, `Pattern`, `Patterns`; AccelerateError */
  loadPatterns(patterns: ReadonlyArray<Pattern>, control?: Control): Promise<number>
  /** @throws (rejects) FpgaError `NotLoaded`, `Text`, `Hits`; AccelerateError */
  searchPatterns(text: Uint8Array, control?: Control): Promise<Searched>
  /** Of the last search, by place and then by pattern. @throws FpgaError `NotLoaded` */
  getResults(): ReadonlyArray<Match>
}

export interface DriverLimits {
  /** Bytes of one text; default 1 GiB, at most 4 GiB. */
  readonly textBytesMax: number
  /** Hits of one search; default 4,194,304. */
  readonly hitsMax: number
}

/** Bytes of text given at once: simulate.v has room for so many. */
const pieceBytes = 65_536

export const lengthOf = (pattern: Pattern): number => (pattern instanceof Uint8Array ? pattern.length : pattern.bytes.length)

/** @throws FpgaError `Pattern` of one that no slot holds */
export function checkPatterns({ parameters: { LENGTH } }: Design, patterns: ReadonlyArray<Pattern>): void {
  patterns.forEach((pattern, index) => {
    const length = lengthOf(pattern)
    const refuse = (expected: string, found: string) => new FpgaError("Pattern", { pattern: index, expected, found })
    if (length < 1 || length > LENGTH) throw refuse(`1 to "patternBytesMax" (${LENGTH}) bytes`, `${length} bytes`)
    if (pattern instanceof Uint8Array) return
    const { care } = pattern
    if (care.length !== length) throw refuse(`${length} values of "care", one for each byte`, String(care.length))
    if (!care.includes(true)) throw refuse("at least one byte that counts", "none")
  })
}

/** @throws FpgaError `Text` */
export function checkText(textBytes: number, { textBytesMax }: DriverLimits): void {
  if (textBytes > textBytesMax) throw new FpgaError("Text", { limit: textBytesMax, found: textBytes })
}

/** Of a load: each slot's bytes, the last one last, and after each whether it counts (1) and is one of the pattern's (2). */
function slotsOf({ parameters: { LENGTH, PATTERNS } }: Design, patterns: ReadonlyArray<Pattern>): Uint8Array {
  const slots = new Uint8Array(2 * LENGTH * PATTERNS)
  patterns.forEach((pattern, slot) => {
    const [bytes, care] = pattern instanceof Uint8Array ? [pattern, undefined] : [pattern.bytes, pattern.care]
    const from = (slot + 1) * LENGTH - bytes.length
    bytes.forEach((byte, i) => {
      slots[2 * (from + i)] = byte
      slots[2 * (from + i) + 1] = 2 + (care?.[i] === false ? 0 : 1)
    })
  })
  return slots
}

interface Loaded {
  readonly design: Design
  readonly simulation: Simulation
}

/** The Verilog itself, in a simulator's process. Whoever calls it waits for each call to end before the next. */
export class SimulatedDriver implements FpgaDriver {
  readonly #simulator: Simulator
  readonly #sources: Sources
  readonly #folder: Folder
  readonly #limits: DriverLimits
  readonly #every: number
  readonly #deadlineMs: number
  #loaded: Loaded | undefined
  /** Of the patterns that are loaded, and in which of the processes. */
  #lengths: ReadonlyArray<number> | undefined
  #start = 0
  #results: ReadonlyArray<Match> | undefined

  /** `every`: a result is taken every so many clocks, as by a slower bus. `deadlineMs`: of a call that says none. */
  constructor(simulator: Simulator, sources: Sources, folder: Folder, limits: DriverLimits, every: number, deadlineMs: number) {
    this.#simulator = simulator
    this.#sources = sources
    this.#folder = folder
    this.#limits = limits
    this.#every = every
    this.#deadlineMs = deadlineMs
  }

  get pid(): number | undefined {
    return this.#loaded?.simulation.pid
  }

  #need(before: string): Loaded {
    if (this.#loaded === undefined) throw new FpgaError("NotLoaded", { what: "bitstream", before })
    return this.#loaded
  }

  async loadBitstream(sha256: string, control: Control | Watch = {}): Promise<void> {
    const watch = Watch.of("loadBitstream", control, this.#deadlineMs)
    const design = designOf(sha256)
    checkSources(design, this.#sources)
    const simulation = new Simulation(await simulatorOf(design, this.#simulator, this.#sources, this.#folder, watch))
    const { BYTES, PATTERNS, LENGTH, DEPTH } = design.parameters
    const expected = [1, BYTES, PATTERNS, LENGTH, DEPTH]
    const found = await simulation.ask({ operation: operations.describe, wordsMax: expected.length }, watch)
    if (String([...found]) !== String(expected)) {
      simulation.end()
      throw new AccelerateError("Failed", { device, detail: `the simulator is of another design: ${[...found].join(", ")}, not ${expected.join(", ")}` })
    }
    this.end()
    this.#loaded = { design, simulation }
    this.#lengths = undefined
    this.#results = undefined
  }

  async loadPatterns(patterns: ReadonlyArray<Pattern>, control: Control | Watch = {}): Promise<number> {
    const watch = Watch.of("loadPatterns", control, this.#deadlineMs)
    const { design, simulation } = this.#need("load patterns")
    const { PATTERNS } = design.parameters
    if (patterns.length < 1 || patterns.length > PATTERNS) throw new FpgaError("Patterns", { limit: PATTERNS, found: patterns.length })
    checkPatterns(design, patterns)
    this.#lengths = undefined
    this.#results = undefined
    const [cycles = 0] = await simulation.ask({ operation: operations.load, bytes: slotsOf(design, patterns), wordsMax: 1 }, watch)
    this.#lengths = patterns.map(lengthOf)
    this.#start = simulation.starts
    return cycles
  }

  async searchPatterns(text: Uint8Array, control: Control | Watch = {}): Promise<Searched> {
    const watch = Watch.of("searchPatterns", control, this.#deadlineMs)
    const { design, simulation } = this.#need("search")
    const lengths = this.#lengths
    if (lengths === undefined || this.#start !== simulation.starts || simulation.pid === undefined)
      throw new FpgaError("NotLoaded", { what: "patterns", before: "search" })
    checkText(text.length, this.#limits)
    this.#results = undefined
    const { BYTES, PATTERNS, DEPTH } = design.parameters
    const resultWords = 2 + Math.ceil((BYTES * PATTERNS) / 32)
    const wordsMax = 2 + resultWords * (Math.ceil(pieceBytes / BYTES) + DEPTH + 8)
    const found: Array<Match> = []
    let [cycles, waitedCycles, lastWord, isOver] = [0, 0, -1, false]
    const refuse = (detail: string) => new AccelerateError("Failed", { device, detail: `the simulator says what cannot be: ${detail}` })
    try {
      for (let from = 0; !isOver; from += pieceBytes) {
        const bytes = text.subarray(from, from + pieceBytes)
        const isLast = from + pieceBytes >= text.length
        const flags = (from === 0 ? 1 : 0) + (isLast ? 2 : 0)
        const answer = await simulation.ask({ operation: operations.search, flags, every: this.#every, bytes, wordsMax }, watch)
        if (answer.length < 2 || (answer.length - 2) % resultWords !== 0) throw refuse(`${answer.length} words`)
        cycles += answer[0] as number
        waitedCycles += answer[1] as number
        for (let at = 2; at < answer.length; at += resultWords) {
          const word = answer[at] as number
          if (word <= lastWord || word * BYTES >= Math.max(1, text.length) || isOver) throw refuse(`a result of word ${word} after one of word ${lastWord}`)
          lastWord = word
          isOver = answer[at + 1] === 1
          for (let part = 2; part < resultWords; part++)
            for (let bits = answer[at + part] as number; bits !== 0; bits = (bits & (bits - 1)) >>> 0) {
              const bit = 32 * (part - 2) + 31 - Math.clz32(bits & -bits)
              const literal = bit % PATTERNS
              const length = lengths[literal]
              const place = word * BYTES + Math.floor(bit / PATTERNS) + 1 - (length ?? 0)
              if (length === undefined || place < 0 || place + length > text.length) throw refuse(`a match in slot ${literal} at ${place}`)
              if (found.length === this.#limits.hitsMax) throw new FpgaError("Hits", { limit: this.#limits.hitsMax })
              found.push({ at: place, literal })
            }
        }
        if (isOver !== isLast) throw refuse(isOver ? "a last result before the text's end" : "no last result")
      }
    } catch (error) {
      // In the middle of a text it is of no use to another.
      simulation.end()
      throw error
    }
    // They come by the places where they end.
    this.#results = found.sort((a, b) => a.at - b.at || a.literal - b.literal)
    return { textBytes: text.length, cycles, waitedCycles, hits: found.length }
  }

  getResults(): ReadonlyArray<Match> {
    if (this.#results === undefined) throw new FpgaError("NotLoaded", { what: "text", before: "get results" })
    return this.#results
  }

  /** Ends the process. */
  end(): void {
    this.#loaded?.simulation.end()
  }
}

/** @throws ConfigError of what is no whole number from 1 to `max` */
export function whole(option: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value
  throw new ConfigError("Option", { option, expected: `a whole number from 1 to ${max}`, actual: String(value) })
}
