/**
 * First walk over the function bodies: every instruction is held against the allow-list, every index against its index
 * space, and what the second walk must know beforehand is gathered: direct calls, stack frames, and (for fuel) which
 * float results have NaN bits that somebody could see.
 *
 * The engine has validated the module before; this walk is total all the same, so that no difference between two
 * decoders (theirs and ours) lets an instruction pass unseen.
 */
import { VerifyError } from "../../schemas/error/mod.ts"
import type { CoreLayout, RawType } from "../../schemas/wasm/core-module.ts"
import { isValueType, CoreReader, refuseValueType } from "../../schemas/wasm/core-module.ts"
import { misc, relaxedSimdFirst, simd, single } from "../harden/opcodes.ts"
import { costTable } from "./cost-table.ts"
import * as Flag from "./flag.ts"
import * as Op from "./op.ts"
import * as Immediate from "../harden/immediate.ts"
import * as Float from "../harden/float.ts"

/** Locals of one function, parameters included; V8, JavaScriptCore and SpiderMonkey all stop at 50,000. */
const localsMax = 50_000

const vectorType = 0x7b

const noTypes: RawType = { params: new Uint8Array(0), results: new Uint8Array(0), vectorParams: 0, vectorResults: 0 }

/** Steps over instructions. Both walks are built on it, so they cannot disagree on where an instruction ends. */
export class BodyReader extends CoreReader {
  readonly layout: CoreLayout
  /** Of the last immediate read: the first index, and the second one. */
  index = 0
  index2 = 0
  /** Arity of the last block type read. */
  blockParams = 0
  blockResults = 0
  /** Operands that calls, blocks and branches named so far, each time they are counted anew: a validator's work beyond the bytes. */
  arityWork = 0
  /** Most operands of one block so far. */
  blockArityMax = 0
  /** True once an immediate said that v128 operands may be about; the walk over a body resets it. */
  vectorsSeen = false
  readonly #hasMemory: boolean

  constructor(bytes: Uint8Array, layout: CoreLayout) {
    super(bytes)
    this.layout = layout
    this.#hasMemory = layout.memories.length > 0
  }

  /** Unsigned LEB128, with the one-byte case first: nearly every index is one. */
  leb(): number {
    if (this.at < this.end) {
      const byte = this.bytes[this.at] as number
      if (byte < 0x80) {
        this.at++
        return byte
      }
    }
    return this.u32()
  }

  /** `i32.const`'s immediate. */
  s32(): number {
    const from = this.at
    this.skipSigned(32)
    let result = 0
    let shift = 0
    for (let i = from; i < this.at; i++, shift += 7) result |= ((this.bytes[i] as number) & 0x7f) << shift
    return shift < 32 && ((this.bytes[this.at - 1] as number) & 0x40) !== 0 ? result | (-1 << shift) : result
  }

  #memory(offset: number): void {
    // A module without a memory gets the host's stop cell at index 0: an instruction that names memory 0 must not reach it.
    if (!this.#hasMemory) this.fail("a memory instruction in a module without a memory", offset)
  }

  #memoryIndex(offset: number): void {
    this.#memory(offset)
    if (this.leb() !== 0) throw new VerifyError("MultipleMemories", { offset })
  }

  #memoryArgument(offset: number): void {
    this.#memory(offset)
    const flags = this.leb()
    if (flags >= 0x80) this.fail("an alignment out of range", offset)
    if (flags & 0x40 && this.leb() !== 0) throw new VerifyError("MultipleMemories", { offset })
    this.leb()
  }

  blockType(): void {
    const offset = this.at
    const byte = this.byte()
    this.blockParams = 0
    this.blockResults = 0
    if (byte === 0x40) return
    if (isValueType(byte)) {
      this.blockResults = 1
      this.arityWork++
      if (byte === vectorType) this.vectorsSeen = true
      return
    }
    if ((byte & 0xc0) === 0x40) refuseValueType(this, byte, offset)
    this.at = offset
    const index = this.s33()
    if (index < 0) this.fail("a block type that is no type", offset)
    const type = this.type(index, offset)
    this.blockParams = type.params.length
    this.blockResults = type.results.length
    if (type.vectorParams + type.vectorResults > 0) this.vectorsSeen = true
    this.arityWork += this.blockParams + this.blockResults
    this.blockArityMax = Math.max(this.blockArityMax, this.blockParams, this.blockResults)
  }

  type(index: number, offset: number): RawType {
    return this.layout.types[index] ?? this.fail(`type ${index} is not defined`, offset)
  }

  functionType(index: number, offset: number): RawType {
    const { functionTypes, types } = this.layout
    if (index >= functionTypes.length) this.fail(`function ${index} is not defined`, offset)
    return types[functionTypes[index] as number] ?? noTypes
  }

  /** Reads what follows an opcode, by its kind. `LabelTable` and `TryTable` are stepped over whole. */
  immediate(kind: number, offset: number): void {
    switch (kind) {
      case Immediate.None:
        return
      case Immediate.Index:
        this.index = this.leb()
        return
      case Immediate.Memory:
        this.#memoryArgument(offset)
        return
      case Immediate.I32:
        this.skipSigned(32)
        return
      case Immediate.I64:
        this.skipSigned(64)
        return
      case Immediate.F32:
        this.skip(4)
        return
      case Immediate.F64:
        this.skip(8)
        return
      case Immediate.BlockType:
        this.blockType()
        return
      case Immediate.LabelTable: {
        const count = this.leb()
        if (count > this.end - this.at) this.fail(`${count} labels do not fit in the bytes left`, offset)
        for (let i = 0; i <= count; i++) this.leb()
        return
      }
      case Immediate.CallIndirect:
        this.index = this.leb()
        this.index2 = this.leb()
        return
      case Immediate.Types: {
        if (this.leb() !== 1) this.fail("a select of other than one type", offset)
        const at = this.at
        const type = this.byte()
        if (!isValueType(type)) refuseValueType(this, type, at)
        return
      }
      case Immediate.HeapType: {
        const at = this.at
        const type = this.byte()
        if (type === 0x70 || type === 0x6f || type === 0x69) return
        if (type < 0x40 || type >= 0x80) throw new VerifyError("TypedReferences", { offset: at })
        refuseValueType(this, type, at)
      }
      // eslint-disable-next-line no-fallthrough -- the case above ends in a throw
      case Immediate.TryTable: {
        this.blockType()
        const count = this.leb()
        if (count > this.end - this.at) this.fail(`${count} catch clauses do not fit in the bytes left`, offset)
        for (let i = 0; i < count; i++) this.catchClause()
        return
      }
      case Immediate.MemoryIndex:
        this.#memoryIndex(offset)
        return
      case Immediate.Bytes16:
        this.skip(16)
        return
      case Immediate.Lane:
        this.skip(1)
        return
      case Immediate.MemoryLane:
        this.#memoryArgument(offset)
        this.skip(1)
        return
      case Immediate.MemoryInit:
        this.index = this.leb()
        this.#memoryIndex(offset)
        return
      case Immediate.MemoryCopy:
        this.#memoryIndex(offset)
        this.#memoryIndex(offset)
        return
      case Immediate.Index2:
        this.index = this.leb()
        this.index2 = this.leb()
        return
      default:
        refuseOpcode(this.bytes, offset)
    }
  }

  /** One clause of a `try_table`; answers its label, which counts from outside the block. */
  catchClause(): number {
    const offset = this.at
    const kind = this.byte()
    if (kind > 3) this.fail(`0x${kind.toString(16)} is not a catch clause`, offset)
    if (kind < 2) this.tag(this.leb(), offset)
    return this.leb()
  }

  /** Number of values a tag carries. */
  tag(index: number, offset: number): number {
    const type = this.layout.tagTypes[index]
    if (type === undefined) this.fail(`tag ${index} is not defined`, offset)
    const { params, vectorParams } = this.layout.types[type] ?? noTypes
    if (vectorParams > 0) this.vectorsSeen = true
    return params.length
  }

  /** The second opcode after a prefix, checked against its table. */
  second(prefix: number, offset: number): number {
    const code = this.leb()
    const table = prefix === Op.Misc ? misc : simd
    if (code >= table.immediate.length || table.immediate[code] === Immediate.Refused) refuseOpcode(this.bytes, offset)
    return code
  }

  #calls(type: RawType): void {
    this.arityWork += type.params.length + type.results.length
  }

  /**
   * Steps over code that cannot be reached, to the instruction that ends it (`end`, `else`, `catch`, `catch_all` or
   * `delegate` of the enclosing block); answers that opcode, standing behind it. Its immediates are not yet read.
   */
  unreachable(): number {
    let nested = 0
    for (;;) {
      const offset = this.at
      const opcode = this.byte()
      switch (opcode) {
        case Op.Call:
        case Op.ReturnCall:
          this.#calls(this.functionType(this.leb(), offset))
          break
        case Op.CallIndirect:
        case Op.ReturnCallIndirect:
          this.immediate(Immediate.CallIndirect, offset)
          this.#calls(this.type(this.index, offset))
          break
        case Op.Br:
        case Op.BrIf:
          this.leb()
          this.arityWork += this.blockArityMax
          break
        case Op.BrTable: {
          const from = this.at
          this.immediate(Immediate.LabelTable, offset)
          // A label takes a byte at least.
          this.arityWork += (this.at - from) * this.blockArityMax
          break
        }
        case Op.Block:
        case Op.Loop:
        case Op.If:
        case Op.Try:
        case Op.TryTable:
          this.immediate(single.immediate[opcode] as number, offset)
          nested++
          break
        case Op.End:
          if (nested === 0) return opcode
          nested--
          break
        case Op.Delegate:
          if (nested === 0) return opcode
          this.leb()
          nested--
          break
        case Op.Else:
        case Op.Catch:
        case Op.CatchAll:
          if (nested === 0) return opcode
          if (opcode === Op.Catch) this.leb()
          break
        case Op.Misc:
        case Op.Simd: {
          const code = this.second(opcode, offset)
          this.immediate((opcode === Op.Misc ? misc : simd).immediate[code] as number, offset)
          break
        }
        default:
          this.immediate(single.immediate[opcode] as number, offset)
      }
    }
  }
}

/**
 * Operands that calls, blocks and branches may name in so much code, in one body and in all. Two bytes of a call can push a thousand
 * operands, and a validator keeps some 32 bytes of each: 124 KB of such calls took V8 2.1 GB and 4 s, before anything ran
 * that could be stopped. What compilers write stays under one a byte.
 */
const arityWorkMax = (codeBytes: number): number => 4 * codeBytes + (1 << 18)

/** Refuses the instruction at `offset` by what it belongs to. */
function refuseOpcode(bytes: Uint8Array, offset: number): never {
  const first = bytes[offset] as number
  if (first === 0xfe) throw new VerifyError("Threads", { offset })
  if (first === 0xfb || first === 0xd3 || (first >= 0xd5 && first <= 0xd6)) throw new VerifyError("GcTypes", { offset, found: "a GC instruction" })
  if (first === 0x14 || first === 0x15 || first === 0xd4) throw new VerifyError("TypedReferences", { offset })
  if (first >= 0xe0 && first <= 0xe6) throw new VerifyError("StackSwitching", { offset })
  const shown = first === Op.Misc || first === Op.Simd ? Array.from(bytes.subarray(offset, offset + 3)) : [first]
  throw new VerifyError("UnknownOpcode", { offset, opcode: shown.map((b) => `0x${b.toString(16).padStart(2, "0")}`).join(" ") })
}

/** What the first walk found. Arrays are indexed by defined function. */
export interface BodyScan {
  readonly flags: Uint8Array
  /**
   * Stack bytes of one frame: 8 × (parameters + locals + greatest operand height + most results of a call) + 64, with a
   * v128 parameter, local or result counted twice, and every operand where some may be v128.
   */
  readonly frameBytes: Uint32Array
  /** Locals without the parameters. */
  readonly localCounts: Uint32Array
  /** Number of local declaration groups. */
  readonly localGroups: Uint32Array
  /** Offset of the first group, and of the first instruction. */
  readonly groupStarts: Uint32Array
  readonly codeStarts: Uint32Array
  /** Direct calls of defined functions, as defined-function numbers: those of `i` are `edges[edgeStarts[i] … edgeStarts[i + 1])`. */
  readonly edgeStarts: Uint32Array
  edges: Uint32Array
  /** Function indexes taken by `ref.func`. */
  readonly references: Set<number>
  growsMemory: boolean
  growsTable: boolean
  /** It changes a table or drops a segment: what nothing outside can undo. */
  changesTables: boolean
  /** For fuel: 1 at the offset of each float instruction whose result must get canonical NaN bits. */
  readonly visibleNan: Uint8Array | undefined
}

export interface ScanOptions {
  /** True for fuel: relaxed SIMD is refused and visible NaNs are found. */
  readonly deterministic: boolean
  /** Largest frame accepted, in bytes; Infinity where the stack is not counted. */
  readonly frameBytesMax: number
}

/** Bytes of code between two yields of a walk: 0.5 ms when the walk is warm, some 10 ms when it is not compiled yet. */
export const stepBytes = 16_384

/** Yields about every `stepBytes`, so that a caller may take the walk in slices. */
export function* scanBodies(bytes: Uint8Array, layout: CoreLayout, options: ScanOptions): Generator<void, BodyScan> {
  const count = layout.bodyStarts.length
  const scan: BodyScan = {
    flags: new Uint8Array(count),
    frameBytes: new Uint32Array(count),
    localCounts: new Uint32Array(count),
    localGroups: new Uint32Array(count),
    groupStarts: new Uint32Array(count),
    codeStarts: new Uint32Array(count),
    edgeStarts: new Uint32Array(count + 1),
    edges: new Uint32Array(0),
    references: new Set(),
    growsMemory: false,
    growsTable: false,
    changesTables: false,
    visibleNan: options.deterministic ? new Uint8Array(bytes.length) : undefined,
  }
  const scanner = new Scanner(bytes, layout, scan, options)
  const code = layout.sections[10]
  const totalMax = arityWorkMax(code === undefined ? 0 : code[1] - code[0])
  let since = 0
  for (let i = 0; i < count; i++) {
    const before = scanner.arityWork
    scanner.body(i)
    const bodyMax = arityWorkMax((layout.bodyEnds[i] as number) - (layout.bodyStarts[i] as number))
    for (const [named, limit] of [
      [scanner.arityWork - before, bodyMax],
      [scanner.arityWork, totalMax],
    ] as const)
      if (named > limit)
        throw new VerifyError("TooMany", { offset: layout.bodyStarts[i] as number, what: "operands named by calls, blocks and branches", count: named, limit })
    since += (layout.bodyEnds[i] as number) - (layout.bodyStarts[i] as number)
    if (since > stepBytes) {
      since = 0
      yield
    }
  }
  scan.edges = scanner.edges.subarray(0, scanner.edgeCount)
  return scan
}

const nanFlag = [0, Flag.NanF32, Flag.NanF64, Flag.NanV128, Flag.NanV128]

class Scanner extends BodyReader {
  readonly #scan: BodyScan
  readonly #options: ScanOptions
  edges: Uint32Array = new Uint32Array(16)
  edgeCount = 0
  // The control stack: opcode that opened the block, operand height below its parameters, arity.
  #openers: Int32Array = new Int32Array(16)
  #bases: Int32Array = new Int32Array(16)
  #params: Int32Array = new Int32Array(16)
  #results: Int32Array = new Int32Array(16)
  #depth = 0
  #height = 0
  #heightMax = 0
  #flags = 0
  // Float results on the operand stack whose NaN bits nobody has seen yet: producer's offset + 1 by stack slot.
  #pending: Int32Array = new Int32Array(0)
  #pendingClass: Uint8Array = new Uint8Array(0)
  #pendingCount = 0
  #pendingLow = 0

  constructor(bytes: Uint8Array, layout: CoreLayout, scan: BodyScan, options: ScanOptions) {
    super(bytes, layout)
    this.#scan = scan
    this.#options = options
    if (options.deterministic) this.#growPending(1024)
  }

  #growPending(size: number): void {
    const slots = new Int32Array(size)
    slots.set(this.#pending)
    this.#pending = slots
    const classes = new Uint8Array(size)
    classes.set(this.#pendingClass)
    this.#pendingClass = classes
  }

  #open(opener: number, params: number, results: number, offset: number): void {
    if (this.#depth === this.#openers.length) {
      const grown = (old: Int32Array): Int32Array => {
        const next = new Int32Array(old.length * 2)
        next.set(old)
        return next
      }
      this.#openers = grown(this.#openers)
      this.#bases = grown(this.#bases)
      this.#params = grown(this.#params)
      this.#results = grown(this.#results)
    }
    this.#pop(params, offset)
    const at = this.#depth++
    this.#openers[at] = opener
    this.#bases[at] = this.#height
    this.#params[at] = params
    this.#results[at] = results
    this.#push(params)
  }

  #pop(count: number, offset: number): void {
    this.#height -= count
    if (this.#depth > 0 && this.#height < (this.#bases[this.#depth - 1] as number)) this.fail("an instruction without its operands", offset)
  }

  #push(count: number): void {
    this.#height += count
    if (this.#height <= this.#heightMax) return
    this.#heightMax = this.#height
    if (this.#height <= this.#pending.length || !this.#options.deterministic) return
    // Before the table of pending floats grows with it: a call of two bytes can push a thousand operands.
    if (costTable.stackSlotBytes * this.#height > this.#options.frameBytesMax) this.#refuseFrame(costTable.stackSlotBytes * this.#height)
    this.#growPending(this.#height * 2)
  }

  #refuseFrame(frameBytes: number): never {
    const { layout } = this
    throw new VerifyError("FrameSize", {
      offset: layout.bodyStarts[this.#current] as number,
      function: layout.functionsImported + this.#current,
      frameBytes,
      limit: this.#options.frameBytesMax,
    })
  }

  #label(label: number, offset: number): void {
    if (label >= this.#depth) this.fail(`label ${label} is not defined`, offset)
    const at = this.#depth - 1 - label
    this.arityWork += (this.#openers[at] === Op.Loop ? this.#params[at] : this.#results[at]) as number
  }

  #edge(callee: number): void {
    const first = this.#scan.edgeStarts[this.#current] as number
    // Repeated calls of one function in a row are one edge; more would only slow the graph down.
    if (this.edgeCount > first && this.edges[this.edgeCount - 1] === callee) return
    if (this.edgeCount === this.edges.length) {
      const grown = new Uint32Array(this.edges.length * 2)
      grown.set(this.edges)
      this.edges = grown
    }
    this.edges[this.edgeCount++] = callee
  }
  #current = 0
  /** v128 parameters and locals of the current function. */
  #vectors = 0
  /** Slots of the most results that one call of the current function brings: they pass through memory, and are copied from there. */
  #resultSlots = 0

  /** The bits of one pending float are seen: its producer must canonicalise. */
  #see(slot: number): void {
    const producer = this.#pending[slot] as number
    if (producer === 0) return
    ;(this.#scan.visibleNan as Uint8Array)[producer - 1] = 1
    this.#flags |= nanFlag[this.#pendingClass[slot] as number] as number
    this.#pending[slot] = 0
    this.#pendingCount--
  }

  /** Operands are consumed by something that reads `floatIn` (or sees bits). Call before the pop. */
  #consume(count: number, floatIn: number): void {
    for (let slot = this.#height - count; slot < this.#height; slot++) {
      if (slot < 0) continue
      if ((this.#pending[slot] as number) === 0) continue
      if (floatIn !== Float.None && this.#pendingClass[slot] === floatIn) {
        this.#pending[slot] = 0
        this.#pendingCount--
      } else this.#see(slot)
    }
  }

  /** Control may part or join here: everything pending counts as seen. */
  #boundary(): void {
    if (this.#pendingCount === 0) return
    for (let slot = this.#pendingLow; this.#pendingCount > 0 && slot < this.#height; slot++) this.#see(slot)
    this.#pendingCount = 0
  }

  #produce(floatOut: number, offset: number): void {
    const slot = this.#height - 1
    if (this.#pendingCount === 0 || slot < this.#pendingLow) this.#pendingLow = slot
    this.#pending[slot] = offset + 1
    this.#pendingClass[slot] = floatOut
    this.#pendingCount++
  }

  #locals(i: number, params: number): number {
    const scan = this.#scan
    const from = this.at
    const groups = this.leb()
    if (groups * 2 > this.end - this.at) this.fail(`${groups} groups of locals do not fit in the bytes left`, from)
    scan.localGroups[i] = groups
    scan.groupStarts[i] = this.at
    let total = params
    this.#vectors = 0
    for (let g = 0; g < groups; g++) {
      const count = this.leb()
      total += count
      if (total > localsMax) throw new VerifyError("TooMany", { offset: from, what: "locals in one function", count: total, limit: localsMax })
      const offset = this.at
      const type = this.byte()
      if (!isValueType(type)) refuseValueType(this, type, offset)
      if (type === vectorType) this.#vectors += count
    }
    scan.localCounts[i] = total - params
    scan.codeStarts[i] = this.at
    return total
  }

  body(i: number): void {
    const { layout } = this
    const scan = this.#scan
    this.#current = i
    this.at = layout.bodyStarts[i] as number
    this.end = layout.bodyEnds[i] as number
    const type = this.functionType(layout.functionsImported + i, this.at)
    const locals = this.#locals(i, type.params.length)
    this.#depth = 0
    this.#height = 0
    this.#heightMax = 0
    this.#flags = 0
    this.#pendingCount = 0
    this.#resultSlots = 0
    this.blockArityMax = type.results.length
    this.vectorsSeen = type.vectorParams + type.vectorResults + this.#vectors > 0
    scan.edgeStarts[i] = this.edgeCount
    this.#open(Op.Block, 0, type.results.length, this.at)
    this.#instructions(locals)
    if (this.at !== this.end) this.fail("bytes after the end of a function")
    scan.edgeStarts[i + 1] = this.edgeCount
    scan.flags[i] = this.#flags
    const vectors = this.#vectors + type.vectorParams
    const operandSlots = this.#heightMax * (this.vectorsSeen ? costTable.stackVectorSlots : 1)
    const slots = locals + vectors * (costTable.stackVectorSlots - 1) + operandSlots + this.#resultSlots
    const frame = costTable.stackSlotBytes * slots + costTable.stackFrameBytes
    scan.frameBytes[i] = frame
    if (frame > this.#options.frameBytesMax) this.#refuseFrame(frame)
  }

  #instructions(locals: number): void {
    const { layout, bytes } = this
    const { deterministic } = this.#options
    const pending = deterministic
    let live = true
    while (this.#depth > 0) {
      const opcode = live ? this.byte() : this.unreachable()
      const offset = this.at - 1
      const kind = single.immediate[opcode] as number
      switch (opcode) {
        case Op.Block:
        case Op.Try:
        case Op.Loop:
          if (opcode === Op.Loop) this.#flags |= Flag.Loop
          if (pending) this.#boundary()
          this.blockType()
          this.#open(opcode, this.blockParams, this.blockResults, offset)
          break
        case Op.If:
          this.blockType()
          if (pending) this.#boundary()
          this.#pop(1, offset)
          this.#open(opcode, this.blockParams, this.blockResults, offset)
          break
        case Op.TryTable: {
          if (pending) this.#boundary()
          this.#flags |= Flag.Catch
          this.blockType()
          const { blockParams, blockResults } = this
          const count = this.leb()
          if (count > this.end - this.at) this.fail(`${count} catch clauses do not fit in the bytes left`, offset)
          for (let c = 0; c < count; c++) this.#label(this.catchClause(), offset)
          this.#open(opcode, blockParams, blockResults, offset)
          break
        }
        case Op.Else: {
          const top = this.#depth - 1
          if (this.#openers[top] !== Op.If) this.fail("an else without its if", offset)
          this.#ends(top, live, offset)
          this.#openers[top] = Op.Else
          this.#height = this.#bases[top] as number
          this.#push(this.#params[top] as number)
          live = true
          break
        }
        case Op.Catch:
        case Op.CatchAll: {
          const top = this.#depth - 1
          if (this.#openers[top] !== Op.Try && this.#openers[top] !== Op.Catch) this.fail("a catch without its try", offset)
          this.#ends(top, live, offset)
          this.#flags |= Flag.Catch
          this.#openers[top] = opcode
          this.#height = this.#bases[top] as number
          if (opcode === Op.Catch) this.#push(this.tag(this.leb(), offset))
          live = true
          break
        }
        case Op.Delegate:
        case Op.End: {
          const top = this.#depth - 1
          if (opcode === Op.Delegate) {
            if (this.#openers[top] !== Op.Try) this.fail("a delegate without its try", offset)
            this.#label(this.leb(), offset)
          }
          this.#ends(top, live, offset)
          if (this.#openers[top] === Op.If && this.#params[top] !== this.#results[top]) this.fail("an if without an else must keep its operands", offset)
          this.#height = this.#bases[top] as number
          this.#depth = top
          this.#push(this.#results[top] as number)
          live = true
          break
        }
        case Op.Br:
          if (pending) this.#boundary()
          this.#label(this.leb(), offset)
          live = false
          break
        case Op.BrIf:
          if (pending) this.#boundary()
          this.#label(this.leb(), offset)
          this.#pop(1, offset)
          break
        case Op.BrTable: {
          if (pending) this.#boundary()
          this.#pop(1, offset)
          const count = this.leb()
          if (count > this.end - this.at) this.fail(`${count} labels do not fit in the bytes left`, offset)
          for (let l = 0; l <= count; l++) this.#label(this.leb(), offset)
          live = false
          break
        }
        case Op.Unreachable:
        case Op.Return:
          if (pending) this.#boundary()
          live = false
          break
        case Op.Throw:
          if (pending) this.#boundary()
          this.#pop(this.tag(this.leb(), offset), offset)
          live = false
          break
        case Op.ThrowRef:
          if (pending) this.#boundary()
          this.#pop(1, offset)
          live = false
          break
        case Op.Rethrow: {
          const label = this.leb()
          this.#label(label, offset)
          const opener = this.#openers[this.#depth - 1 - label]
          if (opener !== Op.Catch && opener !== Op.CatchAll) this.fail("a rethrow outside a catch", offset)
          if (pending) this.#boundary()
          live = false
          break
        }
        case Op.Call:
        case Op.ReturnCall: {
          const callee = this.leb()
          const type = this.functionType(callee, offset)
          if (callee < layout.functionsImported) this.#flags |= Flag.Open
          else this.#edge(callee - layout.functionsImported)
          this.#calls(type, 0, offset)
          if (opcode === Op.ReturnCall) {
            this.#flags |= Flag.Tail
            if (pending) this.#boundary()
            live = false
          }
          break
        }
        case Op.CallIndirect:
        case Op.ReturnCallIndirect: {
          this.immediate(kind, offset)
          this.#table(this.index2, offset)
          this.#flags |= Flag.Open
          this.#calls(this.type(this.index, offset), 1, offset)
          if (opcode === Op.ReturnCallIndirect) {
            this.#flags |= Flag.Tail
            if (pending) this.#boundary()
            live = false
          }
          break
        }
        case Op.LocalGet:
        case Op.LocalSet:
        case Op.LocalTee:
          if (this.leb() >= locals) this.fail("a local that is not defined", offset)
          if (opcode === Op.LocalGet) this.#push(1)
          else {
            if (pending) this.#consume(1, Float.None)
            this.#pop(1, offset)
            if (opcode === Op.LocalTee) this.#push(1)
          }
          break
        case Op.Misc: {
          const code = this.second(opcode, offset)
          this.immediate(misc.immediate[code] as number, offset)
          this.#miscellaneous(code, offset)
          if (pending && this.#pendingCount > 0) this.#consume(misc.pops[code] as number, misc.floatIn[code] as number)
          this.#pop(misc.pops[code] as number, offset)
          this.#push(misc.pushes[code] as number)
          break
        }
        case Op.Simd: {
          const code = this.second(opcode, offset)
          this.vectorsSeen = true
          if (deterministic && code >= relaxedSimdFirst) throw new VerifyError("RelaxedSimd", { offset })
          this.immediate(simd.immediate[code] as number, offset)
          if (pending && this.#pendingCount > 0) this.#consume(simd.pops[code] as number, simd.floatIn[code] as number)
          this.#pop(simd.pops[code] as number, offset)
          this.#push(simd.pushes[code] as number)
          if (pending && simd.floatOut[code] !== 0) this.#produce(simd.floatOut[code] as number, offset)
          break
        }
        default: {
          this.immediate(kind, offset)
          if (kind === Immediate.Index) this.#indexed(opcode, this.index, offset)
          else if (opcode === Op.MemoryGrow) this.#scan.growsMemory = true
          if (pending && this.#pendingCount > 0) {
            if (opcode === Op.Drop) {
              // A dropped value is seen by nobody.
              const slot = this.#height - 1
              if (slot >= 0 && this.#pending[slot] !== 0) {
                this.#pending[slot] = 0
                this.#pendingCount--
              }
            } else this.#consume(single.pops[opcode] as number, single.floatIn[opcode] as number)
          }
          this.#pop(single.pops[opcode] as number, offset)
          this.#push(single.pushes[opcode] as number)
          if (pending && single.floatOut[opcode] !== 0) this.#produce(single.floatOut[opcode] as number, offset)
        }
      }
      if (this.at > bytes.length) this.fail("unexpected end")
    }
  }

  #ends(top: number, live: boolean, offset: number): void {
    if (!live) return
    if (this.#options.deterministic) this.#boundary()
    if (this.#height !== (this.#bases[top] as number) + (this.#results[top] as number))
      this.fail("a block that leaves other operands than its type says", offset)
  }

  #calls(type: RawType, extra: number, offset: number): void {
    const count = type.params.length + extra
    this.arityWork += type.params.length + type.results.length
    if (this.#options.deterministic && this.#pendingCount > 0) this.#consume(count, Float.None)
    this.#pop(count, offset)
    this.#push(type.results.length)
    if (type.vectorResults > 0) this.vectorsSeen = true
    // One result comes in a register; more than that, the engines keep in the caller's frame until it copies them.
    const slots = type.results.length + type.vectorResults * (costTable.stackVectorSlots - 1)
    if (type.results.length > 1 && slots > this.#resultSlots) this.#resultSlots = slots
  }

  #table(index: number, offset: number): void {
    if (index >= this.layout.tables.length) this.fail(`table ${index} is not defined`, offset)
  }

  #indexed(opcode: number, index: number, offset: number): void {
    if (opcode === Op.GlobalGet || opcode === Op.GlobalSet) {
      const type = this.layout.globalTypes[index]
      if (type === undefined) this.fail(`global ${index} is not defined`, offset)
      if (type === vectorType) this.vectorsSeen = true
    } else if (opcode === 0x25 || opcode === 0x26) {
      if (opcode === 0x26) this.#scan.changesTables = true
      this.#table(index, offset)
    } else if (opcode === Op.RefFunc) {
      this.functionType(index, offset)
      this.#scan.references.add(index)
    } else this.fail("an instruction out of place", offset)
  }

  #miscellaneous(code: number, offset: number): void {
    const { layout, index, index2 } = this
    // data.drop, table.init, elem.drop, table.copy, table.grow, table.fill
    if (code === 9 || (code >= 12 && code <= 15) || code === 17) this.#scan.changesTables = true
    switch (code) {
      case 8:
      case 9:
        if (index >= layout.dataCount) this.fail(`data segment ${index} is not defined`, offset)
        return
      case 12:
      case 13:
        if (index >= layout.elemCount) this.fail(`element segment ${index} is not defined`, offset)
        if (code === 12) this.#table(index2, offset)
        return
      case 14:
        this.#table(index, offset)
        this.#table(index2, offset)
        return
      case 15:
        this.#scan.growsTable = true
        this.#table(index, offset)
        return
      case 16:
      case 17:
        this.#table(index, offset)
    }
  }
}
