/**
 * The rewriter: takes a core module that the engine has validated and writes one that can be stopped, metered and
 * capped. `docs/adr/0003-metering-and-hardening.md` says why it is built so; the promises are these.
 *
 * **Time.** `weights` gives each instruction a cost; along every path no more than about `gapMax + unwinding` of it
 * passes between two checks. Walking a body forwards, three worst costs are kept: since entry (no check yet), since the
 * last check, and since the return of a callee that has no static bound. Labels carry their maxima, loop headers reset
 * them by their check. A check is written before an instruction that would carry a cost over its bound, before an exit
 * that would hand too much to the caller, at each loop header, before each bulk operation and throw, after each catch,
 * and at the entry of functions on a call cycle or with an indirect, imported or tail call. Small trees of direct calls
 * carry no check; their exact worst cost is added at each call.
 *
 * **Unwinding.** After a deep recursion has returned, its frames run their tails one after another. A frame may do so
 * without a check for one unit per 16 bytes of counted stack, so all together for `stackBytesMax / 16`.
 *
 * **Stack.** A counting function takes the bytes left as an extra last parameter, subtracts its charge, traps below
 * zero, and hands the rest to its callees: nothing is stored and nothing has to be restored, whatever way a call ends.
 * Only calls that leave the direct graph go through the `stack` global, and wrappers with the original types read it.
 *
 * **Fuel.** Straight-line segments charge at their first instruction. Functions with loops keep the counter in a local
 * and write it back at loop headers, calls and exits; all other ones work on the global. Where the counter is tested
 * and what is charged is fixed in the code, so exhaustion comes at the same instruction however the host slices it.
 */
import { LimitError, VerifyError } from "../../schemas/error/mod.ts"
import { type CoreModule, type CoreTable, readConstant, CoreReader, readElem } from "../../schemas/wasm/core-module.ts"
import { misc, simd, single } from "../harden/opcodes.ts"
import { type BodyScan, BodyReader, scanBodies, stepBytes } from "./body.ts"
import { buildCallGraph, type CallGraph } from "./call-graph.ts"
import { costTable, fuelCosts, weights } from "./cost-table.ts"
import { bulkHelper, type BulkRequest, type BulkShape, elementsPerStep, memoryBytesPerStep } from "./injected.ts"
import type { Needs, Tier } from "./needs.ts"
import { leb, sleb, Writer } from "./writer.ts"
import * as Flag from "./flag.ts"
import * as Op from "./op.ts"
import * as Immediate from "../harden/immediate.ts"
import * as Float from "../harden/float.ts"

export interface RewriteOptions {
  readonly tier: Tier
  /** Import module name of everything injected; random per process, so that no guest can name it. */
  readonly injectedModule: string
  /** Cap of each memory, in 64-KiB pages. */
  readonly memoryPagesMax: number
  /** Cap of each table, in elements. */
  readonly tableElementsMax: number
  readonly functionBodyBytesMax: number
  /** Largest stack frame accepted, in counted bytes; default 32,768. Not looked at in tier `off`. */
  readonly stackFrameBytesMax?: number
  /**
   * Called once the module is known not to be a burden to a validator, before anything of it is rewritten: throws unless
   * the engine accepts the original.
   */
  readonly validate?: () => void
  /** For tests only. */
  readonly test?: {
    /** Every check calls `tick` instead of testing the cell, so that a clock can be read at each. Tier `deadline`. */
    readonly probe?: boolean
    /** Leaves one rule out, to show that the tests would notice. */
    readonly omit?: "loop" | "entry" | "bulk" | "straight" | "exit" | "unwind" | "nan"
  }
}

export interface Rewritten {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly needs: Needs
}

/** Worst weight between two checks inside one function. */
export const gapMax = 15_000
/** Worst weight of a function that passes without a check, before its first one, and after its last one. */
export const leafMax = 5_000
/** The same for functions that can be called from outside: an unknown callee is taken to cost this much. */
const escapingLeafMax = 1_000
/** Bytes of counted stack that let a frame run one unit after an unbounded callee returned. */
const stackBytesPerUnwindUnit = 16
/** Segments are closed at this cost, so that a padded LEB128 of three bytes holds it. */
const segmentMax = 1_000_000
/** More wrappers of bulk operations than a compiler writes for distinct tables and segments. */
const helpersMax = 2_000
const frameBytesMaxDefault = 32_768
/** The largest function body that V8 compiles; JavaScriptCore and SpiderMonkey have the same figure. */
const rewrittenBodyBytesMax = 7_654_321
/** All code together: checks can make code of nothing but loop headers five times as large, canonicalisation fifteen times. */
const rewrittenBytesMax = 256 << 20
/** All wrappers of counted functions together: some 30 bytes each in what compilers write, 3 KB with a thousand parameters. */
const wrapperBytesMax = 16 << 20

/** Room at first, doubled as needed: engines keep arrays of 64 bytes on their own heap, which costs a small module a tenth of larger ones. */
const shallow = 16

const valueType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const

/** More mutable globals than compilers make: their names are bytes that the module has not. */
const keptGlobalsMax = 16
const ignore = (): void => undefined

const canonicalF32 = [0x43, 0x00, 0x00, 0xc0, 0x7f]
const canonicalF64 = [0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]
const canonicalF32x4 = [0xfd, 0x0c, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f]
const canonicalF64x2 = [0xfd, 0x0c, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]

/** Rewrites a decoded and validated core module. See `rewriteSteps` for errors. */
export function rewriteCoreModule(bytes: Uint8Array, module: CoreModule, options: RewriteOptions): Rewritten {
  const steps = rewriteSteps(bytes, module, options)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * The same in steps of a few milliseconds (about 16 KiB of code each; one function is never divided).
 *
 * Throws `VerifyError` (`Malformed`, `FrameSize`, `RelaxedSimd`, `UnknownOpcode`, …) and `LimitError`
 * (`memoryBytesMax`, `tableElementsMax`).
 */
export function* rewriteSteps(bytes: Uint8Array, module: CoreModule, options: RewriteOptions): Generator<void, Rewritten> {
  const { layout } = module
  const { tier } = options
  for (const memory of layout.memories.slice(layout.memoriesImported))
    if (memory.min > options.memoryPagesMax) throw new LimitError("memoryBytesMax", { limit: options.memoryPagesMax * 65_536, actual: memory.min * 65_536 })
  for (const table of layout.tables.slice(layout.tablesImported))
    if (table.min > options.tableElementsMax) throw new LimitError("tableElementsMax", { limit: options.tableElementsMax, actual: table.min })
  // The engine copies active segments in one step that nothing stops. Each fits its table or memory, so more than fits
  // all of them is one place written again and again: 6 MB of binary, half a second an instance.
  const { activeSegments, activeElements, activeDataBytes } = layout
  if (activeElements > options.tableElementsMax) throw new LimitError("tableElementsMax", { limit: options.tableElementsMax, actual: activeElements })
  if (activeDataBytes > options.memoryPagesMax * 65_536)
    throw new LimitError("memoryBytesMax", { limit: options.memoryPagesMax * 65_536, actual: activeDataBytes })
  const setupFuel =
    tier === "fuel" ? activeSegments * costTable.bulk + activeElements * costTable.bulkElement + Math.floor(activeDataBytes / costTable.bulkBytesPerUnit) : 0
  for (let i = 0; i < layout.bodyStarts.length; i++) {
    const size = (layout.bodyEnds[i] as number) - (layout.bodyStarts[i] as number)
    if (size > options.functionBodyBytesMax) throw new LimitError("functionBodyBytesMax", { limit: options.functionBodyBytesMax, actual: size })
  }
  const scan = yield* scanBodies(bytes, layout, {
    deterministic: tier === "fuel",
    frameBytesMax: tier === "off" ? Infinity : (options.stackFrameBytesMax ?? frameBytesMaxDefault),
  })
  options.validate?.()
  const graph = buildCallGraph(layout, scan)
  const rewriter = new Rewriter(bytes, module, options, scan, graph)
  let since = 0
  for (const f of graph.order) {
    rewriter.body(f)
    since += (layout.bodyEnds[f] as number) - (layout.bodyStarts[f] as number)
    if (since > stepBytes) {
      since = 0
      yield
    }
  }
  return rewriter.assemble(setupFuel)
}

type SectionWalk = (
  reader: CoreReader,
  onFunction: (index: number, at: number) => void,
  onGlobal: (index: number, at: number) => void,
  skip: () => void,
) => void

class Rewriter extends BodyReader {
  readonly #options: RewriteOptions
  readonly #scan: BodyScan
  readonly #graph: CallGraph
  readonly #out: Writer
  readonly #tier: Tier
  readonly #timed: boolean
  readonly #counter: boolean
  // Index spaces of the rewritten module.
  readonly #tickIndex: number
  readonly #functionShift: number
  readonly #globalShift: number
  readonly #fuelGlobal: number
  readonly #stackGlobal: number
  readonly #pagesGlobal: number
  readonly #elementsGlobal: number
  /** Functions with the original type before a counted one, by defined function: for exports, and for references. −1 is none. */
  readonly #exportWrappers: Int32Array
  readonly #referenceWrappers: Int32Array
  readonly #wrapperCount: number
  readonly #helpersFirst: number
  readonly #helpers: Array<{ readonly type: number; readonly body: ReadonlyArray<number> }> = []
  readonly #helperByKey = new Map<string, number>()
  readonly #addedTypes: Array<Array<number>> = []
  readonly #addedTypeByKey = new Map<string, number>()
  readonly #checkBytes: ReadonlyArray<number>
  /** From the check's `if` to its end, in bytes. */
  readonly #checkTail: number
  #epochUsed = false
  /** Offsets in `#out` of the `if` of each check, in order of writing: branch hints are made of them. */
  #coldBranches: Uint32Array = new Uint32Array(shallow)
  #coldCount = 0
  readonly #coldStarts: Uint32Array
  // Extents of rewritten bodies in `#out`, by defined function.
  readonly #starts: Uint32Array
  readonly #ends: Uint32Array
  // Summaries of finished functions: worst weight before the first check, through without any, after the last; −1 is none.
  readonly #pre: Int32Array
  readonly #through: Int32Array
  readonly #post: Int32Array
  /** 1 where control may come back from an unbounded callee without a check since. */
  readonly #unwinds: Uint8Array
  readonly #finished: Uint8Array
  /** 1 for finished functions in which, or below which, a check may stand: what their caller did before is not in their sums. */
  readonly #checked: Uint8Array

  constructor(bytes: Uint8Array, module: CoreModule, options: RewriteOptions, scan: BodyScan, graph: CallGraph) {
    super(bytes, module.layout)
    const { layout } = module
    const { tier } = options
    const count = layout.bodyStarts.length
    this.#options = options
    this.#scan = scan
    this.#graph = graph
    this.#tier = tier
    this.#timed = tier !== "off"
    this.#counter = tier === "fuel" || tier === "slice"
    if (!this.#timed) {
      graph.counted.fill(0)
      graph.unbounded.fill(0)
    }
    const counts = graph.counted.includes(1)
    const meters = this.#counter && count > 0 && (tier === "fuel" || this.#anyCheck())
    const ticks = meters || options.test?.probe === true
    this.#tickIndex = ticks ? layout.functionsImported : -1
    this.#functionShift = ticks ? 1 : 0
    let global = layout.globalsImported
    this.#fuelGlobal = meters ? global++ : -1
    this.#stackGlobal = counts ? global++ : -1
    this.#pagesGlobal = scan.growsMemory ? global++ : -1
    this.#elementsGlobal = scan.growsTable ? global++ : -1
    this.#globalShift = global - layout.globalsImported
    this.#exportWrappers = new Int32Array(count).fill(-1)
    this.#referenceWrappers = new Int32Array(count).fill(-1)
    let index = layout.functionTypes.length + this.#functionShift
    for (let f = 0; f < count; f++) if (graph.counted[f] === 1 && graph.exported[f] === 1) this.#exportWrappers[f] = index++
    for (let f = 0; f < count; f++) if (graph.counted[f] === 1 && graph.referenced[f] === 1) this.#referenceWrappers[f] = index++
    this.#wrapperCount = index - layout.functionTypes.length - this.#functionShift
    this.#helpersFirst = index
    this.#coldStarts = new Uint32Array(count)
    this.#starts = new Uint32Array(count)
    this.#ends = new Uint32Array(count)
    this.#pre = new Int32Array(count)
    this.#through = new Int32Array(count).fill(-1)
    this.#post = new Int32Array(count).fill(-1)
    this.#unwinds = new Uint8Array(count)
    this.#finished = new Uint8Array(count)
    this.#checked = new Uint8Array(count)
    let wrapperBytes = 0
    for (let f = 0; f < count; f++) {
      const wrappers = ((this.#exportWrappers[f] as number) < 0 ? 0 : 1) + ((this.#referenceWrappers[f] as number) < 0 ? 0 : 1)
      if (wrappers === 0) continue
      // A parameter takes up to three bytes.
      wrapperBytes += wrappers * (32 + 3 * this.functionType(layout.functionsImported + f, 0).params.length)
      if (wrapperBytes > wrapperBytesMax)
        throw new VerifyError("TooMany", {
          offset: layout.bodyStarts[f] as number,
          what: "bytes of wrappers for functions that are exported or referenced",
          count: wrapperBytes,
          limit: wrapperBytesMax,
        })
    }
    const code = layout.sections[10]
    const size = code === undefined ? 0 : code[1] - code[0]
    this.#out = new Writer(Math.ceil(size * (tier === "fuel" ? 2 : 1.25)) + 4_096)
    this.#checkBytes = this.#makeCheck()
    // if void; call; its index; end
    this.#checkTail = this.#counter && this.#fuelGlobal >= 0 ? 4 + leb(this.#tickHelper()).length : 0
  }

  /** For `slice`: whether any body will hold a check, so that shims import nothing. Errs to yes. */
  #anyCheck(): boolean {
    const { layout } = this
    if (this.#graph.unbounded.includes(1)) return true
    let codeBytes = 0
    for (let i = 0; i < layout.bodyStarts.length; i++) {
      if (((this.#scan.flags[i] as number) & (Flag.Loop | Flag.Catch)) !== 0) return true
      codeBytes += (layout.bodyEnds[i] as number) - (layout.bodyStarts[i] as number)
    }
    // What is tested without loops and cycles is at least a throw: no locals (1 byte), the throw (2), end (1).
    return codeBytes > 3
  }

  // -------------------------------------------------------------------------------------------------------------
  // Added types and functions
  // -------------------------------------------------------------------------------------------------------------

  #addType(params: Uint8Array | ReadonlyArray<number>, results: Uint8Array | ReadonlyArray<number>): number {
    const key = `${params.join()}>${results.join()}`
    const known = this.#addedTypeByKey.get(key)
    if (known !== undefined) return known
    const index = this.layout.types.length + this.#addedTypes.length
    this.#addedTypes.push([0x60, ...leb(params.length), ...params, ...leb(results.length), ...results])
    this.#addedTypeByKey.set(key, index)
    return index
  }

  #helper(
    key: string,
    make: () => { readonly params: ReadonlyArray<number>; readonly results: ReadonlyArray<number>; readonly body: ReadonlyArray<number> },
  ): number {
    const known = this.#helperByKey.get(key)
    if (known !== undefined) return known
    if (this.#helpers.length >= helpersMax)
      throw new VerifyError("TooMany", { offset: this.at, what: "distinct bulk operations", count: this.#helpers.length + 1, limit: helpersMax })
    const index = this.#helpersFirst + this.#helpers.length
    this.#helperByKey.set(key, index)
    const slot = this.#helpers.push({ type: -1, body: [] }) - 1
    const made = make()
    this.#helpers[slot] = { type: this.#addType(made.params, made.results), body: made.body }
    return index
  }

  /** Index of the function that calls `tick` and traps when it says so. */
  #tickHelper(): number {
    return this.#helper("tick", () => ({
      params: [],
      results: [],
      body: [0x00, 0x10, ...leb(this.#tickIndex), 0x04, 0x40, 0x00, 0x0b, 0x0b],
    }))
  }

  /** The bytes of one check, stack-neutral. With a counter it tests the global: functions that hold it in a local write their own. */
  #makeCheck(): ReadonlyArray<number> {
    if (!this.#timed) return []
    if (this.#options.test?.probe === true) return [0x10, ...leb(this.#tickIndex), 0x04, 0x40, 0x00, 0x0b]
    if (this.#counter) {
      if (this.#fuelGlobal < 0) return []
      return [0x23, ...leb(this.#fuelGlobal), 0x42, 0x00, 0x53, 0x04, 0x40, 0x10, ...leb(this.#tickHelper()), 0x0b]
    }
    // i32.const 0; i32.atomic.load (the epoch memory); i32.const 1; i32.and; if unreachable end
    const memory = this.layout.memories.length === 0 ? [0x02, 0x00] : [0x42, 0x01, 0x00]
    return [0x41, 0x00, 0xfe, 0x10, ...memory, 0x41, 0x01, 0x71, 0x04, 0x40, 0x00, 0x0b]
  }

  /** Global index in the rewritten module. */
  #global(index: number): number {
    return index < this.layout.globalsImported ? index : index + this.#globalShift
  }

  /** Function index for code that calls with the original type: tables, `ref.func`, start; or, with `wrappers` given, exports. */
  #outside(index: number, wrappers: Int32Array = this.#referenceWrappers): number {
    const { functionsImported } = this.layout
    if (index < functionsImported) return index
    const wrapper = wrappers[index - functionsImported] as number
    return wrapper >= 0 ? wrapper : index + this.#functionShift
  }

  // -------------------------------------------------------------------------------------------------------------
  // One body
  // -------------------------------------------------------------------------------------------------------------

  // Set per function.
  #f = 0
  #params = 0
  #isCounted = false
  #stackLocal = 0
  #fuelLocal = -1
  #nanF32 = 0
  #nanF64 = 0
  #nanV128 = 0
  #entryMax = 0
  #unwindMax = 0
  #caughtAtTop = false
  /** Input bytes from here to the current instruction are still to be copied. */
  #copied = 0
  // Worst weights on the paths that lead here; −1 when no path is of that kind.
  #sinceEntry = -1
  #sinceCheck = -1
  #sinceReturn = -1
  /** Weight of instructions walked since the three were brought up to date, and how much more may follow. */
  #run = 0
  #room = 0
  // The fuel segment that is open: position of its three-byte cost in the output, or −1.
  #segmentAt = -1
  #segment = 0
  // Control stack.
  #depth = 0
  #openers: Uint8Array = new Uint8Array(shallow)
  #labelEntry: Int32Array = new Int32Array(shallow)
  #labelCheck: Int32Array = new Int32Array(shallow)
  #labelReturn: Int32Array = new Int32Array(shallow)
  #savedEntry: Int32Array = new Int32Array(shallow)
  #savedCheck: Int32Array = new Int32Array(shallow)
  #savedReturn: Int32Array = new Int32Array(shallow)
  /** Bit 0: something branches here; bit 1: an exception arrives here. */
  #marks: Uint8Array = new Uint8Array(shallow)
  /** For loops under `slice`: position of the header's three-byte weight, and the greatest weight of a turn. */
  #turnAt: Int32Array = new Int32Array(shallow)
  #turn: Int32Array = new Int32Array(shallow)

  body(f: number): void {
    const { layout } = this
    const scan = this.#scan
    const out = this.#out
    const flags = scan.flags[f] as number
    const params = this.functionType(layout.functionsImported + f, 0).params.length
    this.#f = f
    this.#params = params
    this.#isCounted = this.#graph.counted[f] === 1
    this.#entryMax = this.#graph.exported[f] === 1 || this.#graph.referenced[f] === 1 ? escapingLeafMax : leafMax
    this.#unwindMax = Math.floor((scan.frameBytes[f] as number) / stackBytesPerUnwindUnit)
    this.#caughtAtTop = false
    this.at = scan.codeStarts[f] as number
    this.end = layout.bodyEnds[f] as number
    this.#starts[f] = out.at
    this.#coldStarts[f] = this.#coldCount

    // Locals: the guest's groups as they are, then ours. A counted function has one more parameter, after the guest's.
    let local = params + (this.#isCounted ? 1 : 0) + (scan.localCounts[f] as number)
    this.#stackLocal = params
    const added: Array<number> = []
    const scratch = (type: number): number => {
      added.push(type)
      return local++
    }
    this.#fuelLocal = this.#counter && this.#fuelGlobal >= 0 && (flags & Flag.Loop) !== 0 && (flags & Flag.Catch) === 0 ? scratch(valueType.i64) : -1
    if (flags & Flag.NanF32) this.#nanF32 = scratch(valueType.f32)
    if (flags & Flag.NanF64) this.#nanF64 = scratch(valueType.f64)
    if (flags & Flag.NanV128) this.#nanV128 = scratch(valueType.v128)
    out.u32((scan.localGroups[f] as number) + added.length)
    out.copy(this.bytes, scan.groupStarts[f] as number, scan.codeStarts[f] as number)
    for (const type of added) out.list([1, type])

    this.#depth = 0
    this.#run = 0
    this.#segmentAt = -1
    this.#copied = this.at
    this.#sinceEntry = 0
    this.#sinceCheck = -1
    this.#sinceReturn = -1
    this.#open(Op.Block)
    if (this.#isCounted) this.#stackPrologue()
    if (this.#graph.unbounded[f] === 1) this.#checked[f] = 1
    if (this.#fuelLocal >= 0) this.#loadFuel()
    if (this.#timed) {
      this.#measure()
      if (this.#graph.unbounded[f] === 1) {
        if (this.#options.test?.omit === "entry") this.#reset()
        else this.#check(64)
      }
    }
    this.#instructions()
    this.#ends[f] = out.at
    this.#finished[f] = 1
    const count = out.at - (this.#starts[f] as number)
    const tooLarge = count > rewrittenBodyBytesMax
    if (tooLarge || out.at > rewrittenBytesMax)
      throw new VerifyError("TooMany", {
        offset: layout.bodyStarts[f] as number,
        what: tooLarge ? "bytes of instrumented code in one function" : "bytes of instrumented code",
        count: tooLarge ? count : out.at,
        limit: tooLarge ? rewrittenBodyBytesMax : rewrittenBytesMax,
      })
    if (this.#caughtAtTop) this.#post[f] = gapMax
  }

  /** local −= charge; below zero: the global says so, and the call ends. */
  #stackPrologue(): void {
    const out = this.#out
    out.reserve(64)
    out.push(Op.LocalGet)
    out.u32(this.#stackLocal)
    out.push(Op.I32Const)
    out.s32(this.#graph.chargeBytes[this.#f] as number)
    out.push(0x6b) // i32.sub
    out.push(Op.LocalTee)
    out.u32(this.#stackLocal)
    out.list([Op.I32Const, 0x00, 0x48, Op.If, 0x40, Op.I32Const, 0x7f, Op.GlobalSet]) // i32.lt_s
    out.u32(this.#stackGlobal)
    out.list([Op.Unreachable, Op.End])
  }

  #loadFuel(): void {
    const out = this.#out
    out.reserve(16)
    out.push(Op.GlobalGet)
    out.u32(this.#fuelGlobal)
    out.push(Op.LocalSet)
    out.u32(this.#fuelLocal)
  }

  #storeFuel(): void {
    const out = this.#out
    out.reserve(16)
    out.push(Op.LocalGet)
    out.u32(this.#fuelLocal)
    out.push(Op.GlobalSet)
    out.u32(this.#fuelGlobal)
  }

  /** Writes out the input up to `offset`, which the caller then replaces or precedes. */
  #cut(offset: number): void {
    if (this.#copied < offset) this.#out.copy(this.bytes, this.#copied, offset)
    this.#copied = offset
  }

  // ---- time ----

  /** Brings the three worst costs up to date and computes how much may follow. */
  #measure(): void {
    const run = this.#run
    this.#run = 0
    let room = gapMax
    if (this.#sinceEntry >= 0) {
      this.#sinceEntry += run
      if (this.#sinceEntry > (this.#pre[this.#f] as number)) this.#pre[this.#f] = this.#sinceEntry
      room = this.#entryMax - this.#sinceEntry
    }
    if (this.#sinceCheck >= 0) {
      this.#sinceCheck += run
      if (gapMax - this.#sinceCheck < room) room = gapMax - this.#sinceCheck
    }
    if (this.#sinceReturn >= 0) {
      this.#sinceReturn += run
      if (gapMax - this.#sinceReturn < room) room = gapMax - this.#sinceReturn
    }
    this.#room = room
  }

  /** Writes a check at the current output position; under `slice` it charges the weight behind it, at least `least`. */
  #check(least = 1): void {
    this.#measure()
    const weight = Math.max(this.#sinceEntry, this.#sinceCheck, this.#sinceReturn, least)
    this.#writeCheck(this.#tier === "slice" ? weight : -1)
    this.#reset()
  }

  #reset(): void {
    this.#sinceEntry = -1
    this.#sinceCheck = 0
    this.#sinceReturn = -1
    this.#run = 0
    this.#room = gapMax
  }

  /** The branch at `at` in the output is hardly ever taken. */
  #cold(at: number): void {
    if (!this.#counter) return
    if (this.#coldCount === this.#coldBranches.length) {
      const grown = new Uint32Array(this.#coldCount * 2)
      grown.set(this.#coldBranches)
      this.#coldBranches = grown
    }
    this.#coldBranches[this.#coldCount++] = at
  }

  /**
   * Calls `tick` whether or not the slice is spent. Before a throw: unwinding a deep stack takes some 0.1 ms on V8 and
   * 0.5 ms on JavaScriptCore, out of proportion to any cost. Accounts are as before: an early tick only refills.
   */
  #clock(): void {
    if (!this.#counter || this.#fuelGlobal < 0) return
    if (this.#fuelLocal >= 0) this.#storeFuel()
    this.#out.byte(Op.Call)
    this.#out.u32(this.#tickHelper())
    if (this.#fuelLocal >= 0) this.#loadFuel()
  }

  /** Answers the position of the weight, for `slice`. */
  #writeCheck(weight: number): number {
    const out = this.#out
    const local = this.#fuelLocal
    let at = -1
    this.#checked[this.#f] = 1
    out.reserve(64)
    if (weight >= 0) at = this.#writeCharge(weight)
    if (local < 0) {
      out.list(this.#checkBytes)
      this.#cold(out.at - this.#checkTail)
      if (!this.#counter) this.#epochUsed = true
      return at
    }
    out.push(Op.LocalGet)
    out.u32(local)
    out.list([0x42, 0x00, 0x53, Op.If, 0x40]) // i64.const 0; i64.lt_s
    this.#cold(out.at - 2)
    this.#storeFuel()
    out.reserve(32)
    out.push(Op.Call)
    out.u32(this.#tickHelper())
    this.#loadFuel()
    out.byte(Op.End)
    return at
  }

  /** Counter −= cost, with the cost as three padded bytes; answers their position. */
  #writeCharge(cost: number): number {
    const out = this.#out
    out.reserve(32)
    const local = this.#fuelLocal
    out.push(local < 0 ? Op.GlobalGet : Op.LocalGet)
    out.u32(local < 0 ? this.#fuelGlobal : local)
    out.push(0x42) // i64.const
    const at = out.at
    out.at += 3
    this.#patchCost(at, cost)
    out.push(0x7d) // i64.sub
    out.push(local < 0 ? Op.GlobalSet : Op.LocalSet)
    out.u32(local < 0 ? this.#fuelGlobal : local)
    return at
  }

  #patchCost(at: number, cost: number): void {
    const { bytes } = this.#out
    bytes[at] = (cost & 0x7f) | 0x80
    bytes[at + 1] = ((cost >> 7) & 0x7f) | 0x80
    bytes[at + 2] = (cost >> 14) & 0x3f
  }

  // ---- fuel segments ----

  #charge(cost: number, offset: number): void {
    if (cost === 0) return
    if (this.#segmentAt >= 0 && this.#segment + cost > segmentMax) this.#endSegment()
    if (this.#segmentAt < 0) {
      this.#cut(offset)
      this.#segmentAt = this.#writeCharge(0)
      this.#segment = 0
    }
    this.#segment += cost
  }

  #endSegment(): void {
    if (this.#segmentAt < 0) return
    this.#patchCost(this.#segmentAt, this.#segment)
    this.#segmentAt = -1
  }

  // ---- control stack ----

  #open(opener: number): void {
    const at = this.#depth++
    if (at === this.#openers.length) this.#grow()
    this.#openers[at] = opener
    this.#labelEntry[at] = -1
    this.#labelCheck[at] = -1
    this.#labelReturn[at] = -1
    this.#marks[at] = 0
    this.#turnAt[at] = -1
    this.#turn[at] = 0
  }

  #grow(): void {
    const grown = (old: Int32Array): Int32Array => {
      const next = new Int32Array(old.length * 2)
      next.set(old)
      return next
    }
    const bytesGrown = (old: Uint8Array): Uint8Array => {
      const next = new Uint8Array(old.length * 2)
      next.set(old)
      return next
    }
    this.#openers = bytesGrown(this.#openers)
    this.#marks = bytesGrown(this.#marks)
    this.#labelEntry = grown(this.#labelEntry)
    this.#labelCheck = grown(this.#labelCheck)
    this.#labelReturn = grown(this.#labelReturn)
    this.#savedEntry = grown(this.#savedEntry)
    this.#savedCheck = grown(this.#savedCheck)
    this.#savedReturn = grown(this.#savedReturn)
    this.#turnAt = grown(this.#turnAt)
    this.#turn = grown(this.#turn)
  }

  /** The current path joins the label at `at`. */
  #merge(at: number): void {
    this.#marks[at] = (this.#marks[at] as number) | 1
    if (this.#sinceEntry > (this.#labelEntry[at] as number)) this.#labelEntry[at] = this.#sinceEntry
    if (this.#sinceCheck > (this.#labelCheck[at] as number)) this.#labelCheck[at] = this.#sinceCheck
    if (this.#sinceReturn > (this.#labelReturn[at] as number)) this.#labelReturn[at] = this.#sinceReturn
  }

  /** Before a branch to `label`. A branch out of the function is an exit, one to a loop a turn. */
  #branch(label: number, offset: number): void {
    const at = this.#depth - 1 - label
    if (at < 0) this.fail(`label ${label} is not defined`, offset)
    if (at === 0) return this.#exit(offset)
    if (this.#openers[at] === Op.Loop) {
      const weight = Math.max(this.#sinceEntry, this.#sinceCheck, this.#sinceReturn)
      if (weight > (this.#turn[at] as number)) this.#turn[at] = weight
      return
    }
    this.#merge(at)
  }

  /** Before control leaves the function: what the caller is handed stays within its bounds. */
  #exit(offset: number): void {
    const f = this.#f
    if (this.#timed) {
      this.#measure()
      const { omit } = this.#options.test ?? {}
      const late = this.#sinceCheck > leafMax && omit !== "exit"
      const unwinding = this.#sinceReturn > this.#unwindMax && omit !== "unwind"
      // Under `slice` nobody charges what an unbounded function did after its last check, unless it does so itself.
      // A caller from outside takes a small leaf for granted, no more.
      const freeMax = this.#graph.unbounded[f] === 1 ? 64 : this.#entryMax === escapingLeafMax ? escapingLeafMax : Infinity
      const uncharged = this.#tier === "slice" && Math.max(this.#sinceCheck, this.#sinceReturn) > freeMax
      if (late || unwinding || uncharged) {
        this.#cut(offset)
        this.#check()
      }
      this.#record()
    }
    if (this.#fuelLocal >= 0) {
      this.#cut(offset)
      this.#storeFuel()
    }
  }

  #record(): void {
    const f = this.#f
    if (this.#sinceEntry > (this.#through[f] as number)) this.#through[f] = this.#sinceEntry
    if (this.#sinceCheck > (this.#post[f] as number)) this.#post[f] = this.#sinceCheck
    if (this.#sinceReturn >= 0) this.#unwinds[f] = 1
  }

  // ---- calls ----

  /**
   * Checks before a call whose callee runs at most `pre` before its own first check. `checks` says that the callee may
   * check: under `slice` that check charges what the callee did, so what was done here is charged before, lest a callee
   * that always checks, or one that throws, takes it out of all sums.
   */
  #beforeCall(pre: number, checks: boolean, offset: number): void {
    this.#measure()
    const entry = this.#sinceEntry >= 0 && this.#sinceEntry + pre > this.#entryMax
    const gap = Math.max(this.#sinceCheck, this.#sinceReturn)
    const uncharged = this.#tier === "slice" && checks && Math.max(gap, this.#sinceEntry) > 64
    if (checks) this.#checked[this.#f] = 1
    if ((entry || gap + pre > gapMax || uncharged) && this.#options.test?.omit !== "straight") {
      this.#cut(offset)
      this.#check()
    }
    if (this.#sinceEntry >= 0 && this.#sinceEntry + pre > (this.#pre[this.#f] as number)) this.#pre[this.#f] = this.#sinceEntry + pre
  }

  /** The state after a call that passed in at most `through` without a check (−1: never). */
  #afterCall(through: number, post: number, unwinds: boolean): void {
    const entry = this.#sinceEntry >= 0 && through >= 0 ? this.#sinceEntry + through : -1
    let check = this.#sinceCheck >= 0 && through >= 0 ? this.#sinceCheck + through : -1
    let back = this.#sinceReturn >= 0 && through >= 0 ? this.#sinceReturn + through : -1
    if (unwinds) back = Math.max(back, 0)
    else if (post > check) check = post
    // A callee that never returns leaves no path: the code behind it is dead, and counts as if just checked.
    if (entry < 0 && check < 0 && back < 0) check = 0
    this.#sinceEntry = entry
    this.#sinceCheck = check
    this.#sinceReturn = back
    this.#run = 0
    this.#measure()
  }

  /** Writes what must precede the callee's operands being taken: the stack budget and the fuel counter. */
  #handOver(counted: boolean, open: boolean, tail: boolean): void {
    const out = this.#out
    if (this.#fuelLocal >= 0) this.#storeFuel()
    if (!this.#isCounted || !(counted || open)) return
    out.reserve(32)
    out.push(Op.LocalGet)
    out.u32(this.#stackLocal)
    if (tail) {
      // The frame is gone when the callee runs.
      out.push(Op.I32Const)
      out.s32(this.#graph.chargeBytes[this.#f] as number)
      out.push(0x6a) // i32.add
    }
    if (open) {
      out.push(Op.GlobalSet)
      out.u32(this.#stackGlobal)
    }
  }

  #call(callee: number, tail: boolean, offset: number): void {
    const { functionsImported } = this.layout
    const j = callee - functionsImported
    const open = j < 0
    const counted = !open && this.#graph.counted[j] === 1
    if (this.#timed) {
      if (open) this.#openCall(tail, offset)
      else {
        const unbounded = this.#graph.unbounded[j] === 1
        const finished = this.#finished[j] === 1
        const pre = unbounded ? 0 : (this.#pre[j] as number)
        const through = finished ? (this.#through[j] as number) : -1
        if (tail) this.#tailCall(pre, through, finished && this.#unwinds[j] === 0 ? (this.#post[j] as number) : -1, unbounded || this.#unwinds[j] === 1, offset)
        else {
          this.#beforeCall(pre, unbounded || this.#checked[j] === 1, offset)
          this.#afterCall(through, finished ? (this.#post[j] as number) : 0, !finished || this.#unwinds[j] === 1)
        }
      }
    }
    const plain = !counted && this.#functionShift === 0 && this.#fuelLocal < 0 && !(open && this.#isCounted)
    if (plain) return
    this.#cut(offset)
    this.#handOver(counted, open, tail)
    const out = this.#out
    out.reserve(16)
    out.push(tail ? Op.ReturnCall : Op.Call)
    out.u32(open ? callee : callee + this.#functionShift)
    this.#copied = this.at
    if (this.#fuelLocal >= 0 && !tail) this.#loadFuel()
  }

  /** An indirect or imported call: the callee may be a small leaf without a check, or anything. */
  #openCall(tail: boolean, offset: number): void {
    if (tail) return this.#tailCall(escapingLeafMax, escapingLeafMax, -1, true, offset)
    this.#beforeCall(escapingLeafMax, true, offset)
    this.#afterCall(escapingLeafMax, -1, true)
  }

  /** A tail call: the callee's exits are this function's. */
  #tailCall(pre: number, through: number, post: number, unwinds: boolean, offset: number): void {
    this.#measure()
    const f = this.#f
    const gap = Math.max(this.#sinceCheck, this.#sinceReturn)
    const late = gap + pre > gapMax || (through >= 0 && this.#sinceCheck >= 0 && this.#sinceCheck + through > leafMax)
    const unwinding = through >= 0 && this.#sinceReturn >= 0 && this.#sinceReturn + through > this.#unwindMax
    const uncharged = this.#tier === "slice" && Math.max(gap, this.#sinceEntry) > 64
    if (late || unwinding || uncharged) {
      this.#cut(offset)
      this.#check()
    }
    if (through >= 0) {
      if (this.#sinceEntry >= 0 && this.#sinceEntry + through > (this.#through[f] as number)) this.#through[f] = this.#sinceEntry + through
      if (this.#sinceCheck >= 0 && this.#sinceCheck + through > (this.#post[f] as number)) this.#post[f] = this.#sinceCheck + through
      if (this.#sinceReturn >= 0) this.#unwinds[f] = 1
    }
    if (post > (this.#post[f] as number)) this.#post[f] = post
    if (unwinds) this.#unwinds[f] = 1
  }

  #callIndirect(tail: boolean, offset: number): void {
    if (this.#timed) this.#openCall(tail, offset)
    if (!this.#isCounted && this.#fuelLocal < 0) return
    this.#cut(offset)
    this.#handOver(false, true, tail)
    if (this.#fuelLocal < 0 || tail) return
    this.#cut(this.at)
    this.#loadFuel()
  }

  // ---- bulk operations ----

  /**
   * A check stands before each bulk operation. One that is known to be short stays as it is; any other becomes a call
   * of an injected function that does the same in steps.
   */
  #bulk(shape: BulkShape, length: number, known: number, offset: number): void {
    if (!this.#timed && shape.kind !== "memory.grow" && shape.kind !== "table.grow") return
    const grows = shape.kind === "memory.grow" || shape.kind === "table.grow"
    const onMemory = shape.kind.startsWith("memory")
    const short = !grows && this.#tier !== "fuel" && Math.min(length, known) <= (onMemory ? memoryBytesPerStep : elementsPerStep)
    const { omit } = this.#options.test ?? {}
    if (short || (omit === "bulk" && !grows)) {
      if (omit === "bulk") return
      this.#cut(offset)
      this.#check()
      // Weight of the operation itself: 1 MiB of memory, or 16,384 elements, as some 2,000 units.
      const worst = Math.min(length, known)
      this.#run += 16 + (onMemory ? worst >> 9 : worst >> 3)
      this.#measure()
      return
    }
    const request: BulkRequest = {
      shape,
      check: grows && this.#tier === "off" ? [] : this.#tier === "slice" ? [...this.#sliceCharge(2_000), ...this.#checkBytes] : this.#checkBytes,
      fuelGlobal: this.#tier === "fuel" ? this.#fuelGlobal : -1,
      budgetGlobal: grows ? (onMemory ? this.#pagesGlobal : this.#elementsGlobal) : -1,
    }
    if (!this.#counter && this.#timed) this.#epochUsed = true
    const key = `${shape.kind} ${shape.a} ${shape.b}`
    const index = this.#helper(key, () => bulkHelper(request))
    if (this.#timed) {
      this.#beforeCall(0, true, offset)
      this.#afterCall(-1, 2_100, false)
    }
    this.#cut(offset)
    if (this.#fuelLocal >= 0) this.#storeFuel()
    const out = this.#out
    out.reserve(16)
    out.push(Op.Call)
    out.u32(index)
    this.#copied = this.at
    if (this.#fuelLocal >= 0) this.#loadFuel()
  }

  #sliceCharge(weight: number): ReadonlyArray<number> {
    const at = leb(this.#fuelGlobal)
    return [Op.GlobalGet, ...at, 0x42, ...sleb(weight), 0x7d, Op.GlobalSet, ...at]
  }

  // ---- the walk ----

  #instructions(): void {
    const { layout } = this
    const out = this.#out
    const timed = this.#timed
    const fuel = this.#tier === "fuel"
    const { omit } = this.#options.test ?? {}
    const visibleNan = omit === "nan" ? undefined : this.#scan.visibleNan
    const shiftLocals = this.#isCounted
    const paramCount = this.#params
    let live = true
    /** Value of the `i32.const` just before, or −1. */
    let constant = -1
    let previous = -1
    for (;;) {
      const opcode = live ? this.byte() : this.unreachable()
      const offset = this.at - 1
      if (!live) this.#copied = offset
      if (timed && live && opcode !== Op.Misc && opcode !== Op.Simd) {
        const weight = weights.single[opcode] as number
        this.#run += weight
        if (this.#run > this.#room && omit !== "straight") {
          this.#run -= weight
          this.#cut(offset)
          this.#check()
          this.#run = weight
        }
      }
      if (fuel && live && opcode !== Op.Misc && opcode !== Op.Simd) this.#charge(fuelCosts.single[opcode] as number, offset)
      previous = constant
      constant = -1
      switch (opcode) {
        case Op.Block:
        case Op.Try:
          this.blockType()
          if (timed) this.#measure()
          this.#open(opcode)
          break
        case Op.TryTable: {
          if (timed) this.#measure()
          this.blockType()
          const count = this.leb()
          for (let c = 0; c < count; c++) {
            const at = this.#depth - 1 - this.catchClause()
            if (at < 0) this.fail("a label that is not defined", offset)
            this.#marks[at] = (this.#marks[at] as number) | 3
            if (at === 0) this.#caughtAtTop = true
          }
          this.#open(opcode)
          break
        }
        case Op.Loop: {
          this.blockType()
          if (timed) this.#measure()
          this.#endSegment()
          this.#open(opcode)
          if (!timed || omit === "loop") break
          this.#cut(this.at)
          if (this.#fuelLocal >= 0 && fuel) this.#storeFuel()
          const at = this.#depth - 1
          const weight = Math.max(1, this.#sinceEntry, this.#sinceCheck, this.#sinceReturn)
          this.#turn[at] = weight
          this.#turnAt[at] = this.#writeCheck(this.#tier === "slice" ? weight : -1)
          this.#reset()
          break
        }
        case Op.If: {
          this.blockType()
          if (timed) this.#measure()
          this.#endSegment()
          this.#open(opcode)
          const at = this.#depth - 1
          this.#savedEntry[at] = this.#sinceEntry
          this.#savedCheck[at] = this.#sinceCheck
          this.#savedReturn[at] = this.#sinceReturn
          break
        }
        case Op.Else: {
          const at = this.#depth - 1
          if (live) {
            if (timed) this.#measure()
            this.#merge(at)
          }
          this.#endSegment()
          this.#openers[at] = Op.Else
          this.#restore(at)
          live = true
          break
        }
        case Op.Catch:
        case Op.CatchAll: {
          const at = this.#depth - 1
          if (live) {
            if (timed) this.#measure()
            this.#merge(at)
          }
          if (opcode === Op.Catch) this.leb()
          this.#endSegment()
          this.#openers[at] = opcode
          live = true
          this.#afterException()
          break
        }
        case Op.Delegate:
        case Op.End: {
          if (opcode === Op.Delegate) this.leb()
          const at = this.#depth - 1
          if (live && timed) this.#measure()
          if (at === 0) {
            if (live) this.#exit(offset)
            this.#endSegment()
            this.#cut(this.at)
            if (this.at !== this.end) this.fail("bytes after the end of a function")
            return
          }
          const opener = this.#openers[at] as number
          if (opener === Op.If) this.#mergeSaved(at)
          if (opener === Op.Loop) {
            if ((this.#turnAt[at] as number) >= 0) this.#patchCost(this.#turnAt[at] as number, this.#turn[at] as number)
            // Only the fall-through leaves a loop by its end.
            this.#depth = at
            if (!live) this.#nowhere()
            live = true
            break
          }
          if (opener !== Op.Block || !live || ((this.#marks[at] as number) & 1) !== 0) this.#endSegment()
          if (live) this.#merge(at)
          this.#depth = at
          this.#sinceEntry = this.#labelEntry[at] as number
          this.#sinceCheck = this.#labelCheck[at] as number
          this.#sinceReturn = this.#labelReturn[at] as number
          if (this.#sinceEntry < 0 && this.#sinceCheck < 0 && this.#sinceReturn < 0) this.#nowhere()
          else if (timed) this.#measure()
          if (((this.#marks[at] as number) & 2) !== 0) this.#afterException()
          live = true
          break
        }
        case Op.Br:
          if (timed) this.#measure()
          this.#branch(this.leb(), offset)
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        case Op.BrIf:
          if (timed) this.#measure()
          this.#branch(this.leb(), offset)
          this.#endSegment()
          break
        case Op.BrTable: {
          if (timed) this.#measure()
          const count = this.leb()
          let exits = false
          for (let l = 0; l <= count; l++) {
            const label = this.leb()
            if (label === this.#depth - 1) exits = true
            else this.#branch(label, offset)
          }
          if (exits) this.#exit(offset)
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        }
        case Op.Return:
          this.#exit(offset)
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        case Op.Unreachable:
        case Op.Throw:
        case Op.Rethrow:
        case Op.ThrowRef:
          if (opcode === Op.Throw || opcode === Op.Rethrow) this.leb()
          if (timed) {
            this.#cut(offset)
            if (opcode === Op.Unreachable) this.#measure()
            else {
              this.#check()
              this.#clock()
            }
          }
          if (this.#fuelLocal >= 0) {
            this.#cut(offset)
            this.#storeFuel()
          }
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        case Op.Call:
          this.#call(this.leb(), false, offset)
          break
        case Op.ReturnCall:
          this.#call(this.leb(), true, offset)
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        case Op.CallIndirect:
          this.immediate(Immediate.CallIndirect, offset)
          this.#callIndirect(false, offset)
          break
        case Op.ReturnCallIndirect:
          this.immediate(Immediate.CallIndirect, offset)
          this.#callIndirect(true, offset)
          this.#cut(this.at)
          this.#endSegment()
          live = false
          break
        case Op.LocalGet:
        case Op.LocalSet:
        case Op.LocalTee: {
          const index = this.leb()
          if (shiftLocals && index >= paramCount) {
            this.#cut(offset)
            out.reserve(8)
            out.push(opcode)
            out.u32(index + 1)
            this.#copied = this.at
          }
          break
        }
        case Op.GlobalGet:
        case Op.GlobalSet: {
          const index = this.leb()
          if (this.#globalShift > 0 && index >= layout.globalsImported) {
            this.#cut(offset)
            out.reserve(8)
            out.push(opcode)
            out.u32(this.#global(index))
            this.#copied = this.at
          }
          break
        }
        case Op.RefFunc: {
          const index = this.leb()
          this.#cut(offset)
          out.byte(opcode)
          out.u32(this.#outside(index))
          this.#copied = this.at
          break
        }
        case Op.I32Const:
          constant = this.s32() >>> 0
          break
        case Op.MemoryGrow:
          this.immediate(Immediate.MemoryIndex, offset)
          this.#bulk({ kind: "memory.grow", a: 0, b: 0, max: layout.memories[0]?.max ?? this.#memoryMax(), type: 0 }, Infinity, Infinity, offset)
          break
        case Op.Misc: {
          const code = this.second(opcode, offset)
          this.immediate(misc.immediate[code] as number, offset)
          this.#weigh(weights.misc[code] as number, offset)
          if (fuel) this.#charge(fuelCosts.misc[code] as number, offset)
          this.#miscellaneous(code, previous, offset)
          break
        }
        case Op.Simd: {
          const code = this.second(opcode, offset)
          this.immediate(simd.immediate[code] as number, offset)
          this.#weigh(weights.simd[code] as number, offset)
          if (fuel) this.#charge(fuelCosts.simd[code] as number, offset)
          if (visibleNan !== undefined && visibleNan[offset] === 1) this.#canonicalise(simd.floatOut[code] as number)
          break
        }
        default:
          this.immediate(single.immediate[opcode] as number, offset)
          if (visibleNan !== undefined && visibleNan[offset] === 1) this.#canonicalise(single.floatOut[opcode] as number)
      }
    }
  }

  #weigh(weight: number, offset: number): void {
    if (!this.#timed) return
    this.#run += weight
    if (this.#run <= this.#room || this.#options.test?.omit === "straight") return
    this.#run -= weight
    this.#cut(offset)
    this.#check()
    this.#run = weight
  }

  /** Code that no path reaches, but that the engine still validates: it starts as if just checked. */
  #nowhere(): void {
    this.#reset()
  }

  #restore(at: number): void {
    this.#sinceEntry = this.#savedEntry[at] as number
    this.#sinceCheck = this.#savedCheck[at] as number
    this.#sinceReturn = this.#savedReturn[at] as number
    this.#run = 0
    if (this.#timed) this.#measure()
  }

  /** An `if` without `else`: the path that skips it joins its end. */
  #mergeSaved(at: number): void {
    this.#marks[at] = (this.#marks[at] as number) | 1
    this.#labelEntry[at] = Math.max(this.#labelEntry[at] as number, this.#savedEntry[at] as number)
    this.#labelCheck[at] = Math.max(this.#labelCheck[at] as number, this.#savedCheck[at] as number)
    this.#labelReturn[at] = Math.max(this.#labelReturn[at] as number, this.#savedReturn[at] as number)
  }

  /** An exception may arrive from anywhere below: nothing is known of the time since the last check. */
  #afterException(): void {
    if (!this.#timed) return
    this.#cut(this.at)
    this.#check()
  }

  #memoryMax(): number {
    return this.layout.memoriesImported > 0 ? -1 : this.#options.memoryPagesMax
  }

  /** Greatest size of a table, or Infinity when another module decides. */
  #tableMax(index: number): number {
    const table = this.layout.tables[index] as CoreTable
    if (index < this.layout.tablesImported) return table.max ?? Infinity
    return Math.min(table.max ?? Infinity, this.#options.tableElementsMax)
  }

  #miscellaneous(code: number, length: number, offset: number): void {
    const { layout, index, index2 } = this
    const known = length >= 0 ? length : Infinity
    const refType = (table: number): number => (layout.tables[table] as CoreTable).element
    switch (code) {
      case 8:
        return this.#bulk(
          { kind: "memory.init", a: index, b: 0, max: layout.dataSizes[index] as number, type: 0 },
          layout.dataSizes[index] as number,
          known,
          offset,
        )
      case 10:
        return this.#bulk({ kind: "memory.copy", a: 0, b: 0, max: 0, type: 0 }, Infinity, known, offset)
      case 11:
        return this.#bulk({ kind: "memory.fill", a: 0, b: 0, max: 0, type: 0 }, Infinity, known, offset)
      case 12:
        return this.#bulk(
          { kind: "table.init", a: index, b: index2, max: layout.elemSizes[index] as number, type: 0 },
          layout.elemSizes[index] as number,
          known,
          offset,
        )
      case 14:
        return this.#bulk({ kind: "table.copy", a: index, b: index2, max: 0, type: 0 }, Math.min(this.#tableMax(index), this.#tableMax(index2)), known, offset)
      case 15: {
        const max = this.#tableMax(index)
        return this.#bulk({ kind: "table.grow", a: index, b: 0, max: max === Infinity ? -1 : max, type: refType(index) }, Infinity, Infinity, offset)
      }
      case 17:
        return this.#bulk({ kind: "table.fill", a: index, b: 0, max: 0, type: refType(index) }, this.#tableMax(index), known, offset)
    }
  }

  /** After a float instruction: x becomes the canonical NaN where x ≠ x. */
  #canonicalise(kind: number): void {
    this.#cut(this.at)
    const out = this.#out
    out.reserve(64)
    const local = kind === Float.F32 ? this.#nanF32 : kind === Float.F64 ? this.#nanF64 : this.#nanV128
    const get = (): void => {
      out.push(Op.LocalGet)
      out.u32(local)
    }
    out.push(Op.LocalTee)
    out.u32(local)
    out.list(kind === Float.F32 ? canonicalF32 : kind === Float.F64 ? canonicalF64 : kind === Float.F32x4 ? canonicalF32x4 : canonicalF64x2)
    get()
    get()
    if (kind === Float.F32) out.list([0x5b, 0x1b]) // f32.eq; select
    else if (kind === Float.F64) out.list([0x61, 0x1b]) // f64.eq; select
    else out.list([0xfd, kind === Float.F32x4 ? 65 : 71, 0xfd, 82]) // f32x4.eq or f64x2.eq; v128.bitselect
  }

  // -------------------------------------------------------------------------------------------------------------
  // The module
  // -------------------------------------------------------------------------------------------------------------

  assemble(setupFuel: number): Rewritten {
    const { layout, bytes } = this
    const options = this.#options
    const code = this.#out
    const name = options.injectedModule
    const out = new Writer(code.at + bytes.length / 4 + 4_096)
    const defined = layout.bodyStarts.length
    const epoch = this.#epochUsed && options.test?.probe !== true
    const ownMemory = layout.memories.length > layout.memoriesImported ? layout.memories[0] : undefined
    const memory = ownMemory === undefined ? undefined : { min: ownMemory.min, max: Math.min(ownMemory.max ?? 65_536, options.memoryPagesMax) }
    const importsMemory = memory !== undefined && options.test?.probe !== true
    const needs: Needs = {
      epoch,
      memory: importsMemory ? memory : undefined,
      fuel: this.#fuelGlobal >= 0,
      stack: this.#stackGlobal >= 0,
      pages: this.#pagesGlobal >= 0,
      elements: this.#elementsGlobal >= 0,
      tick: this.#tickIndex >= 0,
      setupFuel,
      kept: this.#keptGlobals(),
    }
    // Types that wrappers and counted functions need; made before the type section is written.
    const countedTypes = new Uint32Array(defined)
    const countedTypeOf = new Map<number, number>()
    for (let f = 0; f < defined; f++) {
      const index = layout.functionTypes[layout.functionsImported + f] as number
      if (this.#graph.counted[f] === 0) countedTypes[f] = index
      else {
        const type = this.type(index, 0)
        if (type.params.length >= 1_000)
          throw new VerifyError("TooMany", {
            offset: layout.bodyStarts[f] as number,
            what: "parameters of one function",
            count: type.params.length,
            limit: 999,
          })
        let counted = countedTypeOf.get(index)
        if (counted === undefined) countedTypeOf.set(index, (counted = this.#addType([...type.params, valueType.i32], type.results)))
        countedTypes[f] = counted
      }
    }
    const tickType = needs.tick ? this.#addType([], [valueType.i32]) : 0

    out.list([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00])
    this.#vectorSection(out, 1, layout.types.length, this.#addedTypes.length, () => {
      for (const type of this.#addedTypes) out.list(type)
    })
    const injected: Array<() => void> = []
    const inject = (wanted: boolean, field: string, description: ReadonlyArray<number>): void => {
      if (wanted)
        injected.push(() => {
          out.text(name)
          out.text(field)
          out.list(description)
        })
    }
    inject(needs.tick, "tick", [0x00, ...leb(tickType)])
    if (importsMemory) inject(true, "memory", [0x02, 0x01, ...leb(memory.min), ...leb(memory.max)])
    inject(needs.epoch, "epoch", [0x02, 0x03, 0x01, 0x01])
    inject(needs.fuel, "fuel", [0x03, valueType.i64, 0x01])
    inject(needs.stack, "stack", [0x03, valueType.i32, 0x01])
    inject(needs.pages, "pages", [0x03, valueType.i32, 0x01])
    inject(needs.elements, "elements", [0x03, valueType.i32, 0x01])
    const importCount = layout.functionsImported + layout.tablesImported + layout.memoriesImported + layout.globalsImported + layout.tagsImported
    this.#vectorSection(out, 2, importCount, injected.length, () => {
      for (const write of injected) write()
    })
    const functionTotal = defined + this.#wrapperCount + this.#helpers.length
    if (functionTotal > 0)
      out.section(3, () => {
        out.u32(functionTotal)
        for (let f = 0; f < defined; f++) out.u32(countedTypes[f] as number)
        for (let f = 0; f < defined; f++) if ((this.#exportWrappers[f] as number) >= 0) out.u32(layout.functionTypes[layout.functionsImported + f] as number)
        for (let f = 0; f < defined; f++) if ((this.#referenceWrappers[f] as number) >= 0) out.u32(layout.functionTypes[layout.functionsImported + f] as number)
        for (const helper of this.#helpers) out.u32(helper.type)
      })
    const tables = layout.tables.slice(layout.tablesImported)
    if (tables.length > 0)
      out.section(4, () => {
        out.u32(tables.length)
        for (const table of tables) {
          out.list([table.element, 0x01])
          out.u32(table.min)
          out.u32(Math.min(table.max ?? 0xffff_ffff, options.tableElementsMax))
        }
      })
    if (memory !== undefined && !importsMemory)
      out.section(5, () => {
        out.list([1, 0x01])
        out.u32(memory.min)
        out.u32(memory.max)
      })
    this.#copySection(out, 13)
    this.#globals(out)
    this.#exports(out, name, needs.kept ?? [])
    const { start } = layout
    if (start !== undefined) out.section(8, () => out.u32(this.#outside(start)))
    this.#elements(out)
    this.#copySection(out, 12)
    this.#branchHints(out)
    if (functionTotal > 0)
      out.section(10, () => {
        out.u32(functionTotal)
        for (let f = 0; f < defined; f++) {
          const from = this.#starts[f] as number
          const to = this.#ends[f] as number
          out.u32(to - from)
          out.copy(code.bytes, from, to)
        }
        for (let f = 0; f < defined; f++) if ((this.#exportWrappers[f] as number) >= 0) this.#exportWrapper(out, f)
        for (let f = 0; f < defined; f++) if ((this.#referenceWrappers[f] as number) >= 0) this.#referenceWrapper(out, f)
        for (const helper of this.#helpers) {
          out.u32(helper.body.length)
          out.list(helper.body)
        }
      })
    this.#datas(out)
    this.#names(out)
    return { bytes: out.finish(), needs }
  }

  /**
   * "Unlikely" for each check with a call behind it (branch hinting proposal): otherwise engines keep every value of the
   * loop in memory across the call that is never made. Measured on V8: a dot product 2.3 times slower without hints.
   */
  #branchHints(out: Writer): void {
    if (this.#coldCount === 0) return
    const { functionsImported } = this.layout
    const count = this.layout.bodyStarts.length
    // Functions were rewritten callees first, the section wants them by index.
    const ends = new Uint32Array(count)
    let end = this.#coldCount
    for (let i = count - 1; i >= 0; i--) {
      const f = this.#graph.order[i] as number
      ends[f] = end
      end = this.#coldStarts[f] as number
    }
    out.section(0, () => {
      out.text("metadata.code.branch_hint")
      const countAt = out.hole()
      let functions = 0
      for (let f = 0; f < count; f++) {
        const from = this.#coldStarts[f] as number
        const to = ends[f] as number
        if (from === to) continue
        functions++
        out.u32(functionsImported + f + this.#functionShift)
        out.u32(to - from)
        for (let i = from; i < to; i++) {
          out.u32((this.#coldBranches[i] as number) - (this.#starts[f] as number))
          out.u32(1)
          out.byte(0)
        }
      }
      out.patch(countAt, functions)
    })
  }

  /** A vector section copied with `added` entries written behind its own. */
  #vectorSection(out: Writer, id: number, own: number, added: number, write: () => void): void {
    if (own + added === 0) return
    out.section(id, () => {
      out.u32(own + added)
      const extent = this.layout.sections[id]
      if (extent !== undefined) {
        const reader = new CoreReader(this.bytes, extent[0], extent[1])
        reader.u32()
        out.copy(this.bytes, reader.at, extent[1])
      }
      write()
    })
  }

  #copySection(out: Writer, id: number): void {
    const extent = this.layout.sections[id]
    if (extent !== undefined) out.section(id, () => out.copy(this.bytes, extent[0], extent[1]))
  }

  /** Copies a section while `read` walks it, with function and global indexes replaced on the way. */
  #mapped(out: Writer, id: number, read: SectionWalk, wrappers = this.#referenceWrappers): void {
    if (this.layout.sections[id] !== undefined) out.section(id, () => this.#map(out, id, read, wrappers))
  }

  /** The contents of a section, mapped; `skip` leaves out what was read so far. */
  #map(out: Writer, id: number, read: SectionWalk, wrappers = this.#referenceWrappers): void {
    const extent = this.layout.sections[id]
    if (extent === undefined) return
    const reader = new CoreReader(this.bytes, extent[0], extent[1])
    let from = extent[0]
    const replace = (index: number, at: number): void => {
      out.copy(this.bytes, from, at)
      out.u32(index)
      from = reader.at
    }
    read(
      reader,
      (index, at) => replace(this.#outside(index, wrappers), at),
      (index, at) => replace(this.#global(index), at),
      () => void (from = reader.at),
    )
    out.copy(this.bytes, from, extent[1])
  }

  #globals(out: Writer): void {
    this.#mapped(out, 6, (reader, onFunction, onGlobal) => {
      for (let left = reader.u32(); left > 0; left--) {
        reader.skip(2)
        readConstant(reader, onFunction, onGlobal)
      }
    })
  }

  /** Mutable globals, by number among the module's own; undefined where its code changes what is neither such a number nor its memory. */
  #keptGlobals(): ReadonlyArray<number> | undefined {
    const extent = this.layout.sections[6]
    if (this.#scan.changesTables) return undefined
    if (extent === undefined) return []
    const reader = new CoreReader(this.bytes, extent[0], extent[1])
    const kept: Array<number> = []
    const count = reader.u32()
    for (let number = 0; number < count; number++) {
      const type = reader.byte()
      if (reader.byte() === 1) kept.push(number)
      if (kept.at(-1) === number && (type < valueType.f64 || type > valueType.i32)) return undefined
      readConstant(reader, ignore, ignore)
    }
    return kept.length > keptGlobalsMax ? undefined : kept
  }

  #exports(out: Writer, name: string, kept: ReadonlyArray<number>): void {
    const extent = this.layout.sections[7]
    if (extent === undefined && kept.length === 0) return
    out.section(7, () => {
      out.u32((extent === undefined ? 0 : new CoreReader(this.bytes, extent[0], extent[1]).u32()) + kept.length)
      this.#map(
        out,
        7,
        (reader, onFunction, onGlobal, skip) => {
          const count = reader.u32()
          skip()
          for (let left = count; left > 0; left--) {
            reader.skip(reader.u32())
            const kind = reader.byte()
            const at = reader.at
            const index = reader.u32()
            if (kind === 0) onFunction(index, at)
            else if (kind === 3) onGlobal(index, at)
          }
        },
        this.#exportWrappers,
      )
      for (const number of kept) {
        out.text(`${name}k${number}`)
        out.byte(3)
        out.u32(this.#global(this.layout.globalsImported + number))
      }
    })
  }

  /**
   * Element segments with the wrappers in them, and one declarative segment more where `ref.func` names a wrapper: the
   * original may have declared its function by exporting it, and the export is another wrapper now.
   */
  #elements(out: Writer): void {
    const declared: Array<number> = []
    for (const index of this.#scan.references) {
      const wrapper = index < this.layout.functionsImported ? -1 : (this.#referenceWrappers[index - this.layout.functionsImported] as number)
      if (wrapper >= 0) declared.push(wrapper)
    }
    if (declared.length === 0)
      return this.#mapped(out, 9, (reader, onFunction, onGlobal) => {
        for (let left = reader.u32(); left > 0; left--) readElem(reader, onFunction, onGlobal)
      })
    out.section(9, () => {
      out.u32(this.layout.elemCount + 1)
      this.#map(out, 9, (reader, onFunction, onGlobal, skip) => {
        const count = reader.u32()
        skip()
        for (let left = count; left > 0; left--) readElem(reader, onFunction, onGlobal)
      })
      out.list([0x03, 0x00])
      out.u32(declared.length)
      for (const wrapper of declared) out.u32(wrapper)
    })
  }

  #datas(out: Writer): void {
    this.#mapped(out, 11, (reader, onFunction, onGlobal) => {
      for (let left = reader.u32(); left > 0; left--) {
        const flags = reader.u32()
        if (flags === 2) reader.u32()
        if (flags !== 1) readConstant(reader, onFunction, onGlobal)
        reader.skip(reader.u32())
      }
    })
  }

  /**
   * A counted function as the host and other modules call it: original type, budget from the global. The host may enter
   * many times in one call (`realloc` for each string), so the budget is left as it was found.
   */
  #exportWrapper(out: Writer, f: number): void {
    const { functionsImported } = this.layout
    const params = this.functionType(functionsImported + f, 0).params.length
    const size = out.hole()
    const start = out.at
    out.list([1, 1, valueType.i32]) // one local: the budget found
    for (let p = 0; p < params; p++) {
      out.byte(Op.LocalGet)
      out.u32(p)
    }
    out.byte(Op.GlobalGet)
    out.u32(this.#stackGlobal)
    out.byte(Op.LocalTee)
    out.u32(params)
    out.byte(Op.I32Const)
    out.s32(costTable.stackFrameBytes + costTable.stackSlotBytes * (params + 2))
    out.byte(0x6b) // i32.sub
    out.byte(Op.Call)
    out.u32(functionsImported + f + this.#functionShift)
    out.byte(Op.LocalGet)
    out.u32(params)
    out.byte(Op.GlobalSet)
    out.u32(this.#stackGlobal)
    out.byte(Op.End)
    out.patch(size, out.at - start)
  }

  /** A counted function as tables hold it: entered by a tail call, so that the guest's own tail calls leave no frame. */
  #referenceWrapper(out: Writer, f: number): void {
    const { functionsImported } = this.layout
    const params = this.functionType(functionsImported + f, 0).params.length
    const size = out.hole()
    const start = out.at
    out.byte(0)
    for (let p = 0; p < params; p++) {
      out.byte(Op.LocalGet)
      out.u32(p)
    }
    out.byte(Op.GlobalGet)
    out.u32(this.#stackGlobal)
    out.byte(Op.ReturnCall)
    out.u32(functionsImported + f + this.#functionShift)
    out.byte(Op.End)
    out.patch(size, out.at - start)
  }

  /** Module and function names, for messages; whatever does not parse is left out. */
  #names(out: Writer): void {
    const extent = this.layout.names
    if (extent === undefined) return
    const { functionTypes, functionsImported } = this.layout
    const from = out.at
    try {
      const reader = new CoreReader(this.bytes, extent[0], extent[1])
      out.section(0, () => {
        out.text("name")
        while (reader.at < reader.end) {
          const id = reader.byte()
          const size = reader.u32()
          const end = reader.at + size
          if (size > reader.end - reader.at) reader.fail("unexpected end")
          if (id === 0) {
            out.byte(0)
            out.u32(size)
            out.copy(this.bytes, reader.at, end)
          } else if (id === 1) {
            const inner = new CoreReader(this.bytes, reader.at, end)
            out.byte(1)
            const hole = out.hole()
            const start = out.at
            const count = inner.u32()
            const countAt = out.hole()
            let written = 0
            const wrapped: Array<readonly [index: number, from: number, to: number]> = []
            const wrappedAgain: typeof wrapped = []
            let last = -1
            for (let i = 0; i < count; i++) {
              const index = inner.u32()
              const text = inner.at
              inner.skip(inner.u32())
              if (index <= last || index >= functionTypes.length) inner.fail("function names out of order")
              last = index
              out.u32(index < functionsImported ? index : index + this.#functionShift)
              out.copy(this.bytes, text, inner.at)
              written++
              if (index < functionsImported) continue
              const exported = this.#exportWrappers[index - functionsImported] as number
              if (exported >= 0) wrapped.push([exported, text, inner.at])
              const referenced = this.#referenceWrappers[index - functionsImported] as number
              if (referenced >= 0) wrappedAgain.push([referenced, text, inner.at])
            }
            for (const [index, start, to] of [...wrapped, ...wrappedAgain]) {
              out.u32(index)
              out.copy(this.bytes, start, to)
              written++
            }
            out.patch(countAt, written)
            out.patch(hole, out.at - start)
          }
          reader.at = end
        }
      })
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error
      out.at = from
    }
  }
}
