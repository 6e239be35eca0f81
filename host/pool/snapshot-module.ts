/**
 * Core modules that start where an initialised instance stood. `expose` lets the host read what an instance keeps;
 * `bake` writes it into the module: memory as data segments, globals as their initial values, no start function. Both
 * work on what the rewriter wrote, so the code is the same byte for byte and so is what it costs.
 *
 * Tables need no capture: a module that could change one after its segments are placed is refused (`obstacle`), so the
 * element segments, which stay, place the same functions again, and each new instance its own.
 */
import { type CoreLayout, CoreReader, readConstant } from "../../schemas/wasm/core-module.ts"
import { misc, simd, single } from "../harden/opcodes.ts"
import { BodyReader } from "../meter/body.ts"
import type { Needs } from "../meter/needs.ts"
import { sleb, Writer } from "../meter/writer.ts"
import * as Immediate from "../harden/immediate.ts"
import * as Op from "../meter/op.ts"

/** What a core instance keeps beyond its code. */
export interface ModuleState {
  /** Of the memory that the module defines itself. */
  readonly memory: { readonly pages: number; readonly runs: ReadonlyArray<Run> } | undefined
  /** By number among the globals that the module defines: its initial value as a constant expression; undefined for one that keeps its own. */
  readonly globals: ReadonlyArray<ReadonlyArray<number> | undefined>
}

/** Bytes that are not all zero. */
export interface Run {
  readonly at: number
  readonly bytes: Uint8Array
}

const vector = 0x7b
const refusedMisc: Readonly<Record<number, string>> = {
  9: "drops data segments",
  12: "changes a table",
  13: "drops element segments",
  14: "changes a table",
  15: "grows a table",
  17: "changes a table",
}

/** What a module does that no snapshot could repeat; undefined when there is nothing. */
export function obstacle(bytes: Uint8Array, layout: CoreLayout): string | undefined {
  const reader = new BodyReader(bytes, layout)
  if (keptGlobals(bytes, layout).some((number) => layout.globalTypes[layout.globalsImported + number] === vector)) return "has a mutable v128 global"
  for (let f = 0; f < layout.bodyStarts.length; f++) {
    reader.at = layout.bodyStarts[f] as number
    reader.end = layout.bodyEnds[f] as number
    for (let groups = reader.u32(); groups > 0; groups--) {
      reader.u32()
      reader.skip(1)
    }
    const found = bodyObstacle(reader)
    if (found !== undefined) return found
  }
  return undefined
}

function bodyObstacle(reader: BodyReader): string | undefined {
  while (reader.at < reader.end) {
    const offset = reader.at
    const opcode = reader.byte()
    switch (opcode) {
      case 0x26:
        return "changes a table"
      case Op.Call:
      case Op.ReturnCall:
      case Op.Br:
      case Op.BrIf:
      case Op.Catch:
      case Op.Delegate:
      case Op.Rethrow:
      case Op.Throw:
        reader.u32()
        break
      case Op.CallIndirect:
      case Op.ReturnCallIndirect:
        reader.immediate(Immediate.CallIndirect, offset)
        break
      case Op.BrTable:
        reader.immediate(Immediate.LabelTable, offset)
        break
      case Op.Misc:
      case Op.Simd: {
        const code = reader.second(opcode, offset)
        if (opcode === Op.Misc && refusedMisc[code] !== undefined) return refusedMisc[code]
        reader.immediate((opcode === Op.Misc ? misc : simd).immediate[code] as number, offset)
        break
      }
      default:
        reader.immediate(single.immediate[opcode] as number, offset)
    }
  }
  return undefined
}

/** By number among the globals that the module defines. */
function mutableGlobals(bytes: Uint8Array, layout: CoreLayout): ReadonlyArray<boolean> {
  const extent = layout.sections[6]
  if (extent === undefined) return []
  const reader = new CoreReader(bytes, extent[0], extent[1])
  return Array.from({ length: reader.u32() }, () => {
    reader.skip(1)
    const isMutable = reader.byte() === 1
    readConstant(reader, ignore, ignore)
    return isMutable
  })
}

const ignore = (): void => undefined

/** Names under which `expose` exports: with the injected name before them, they are nobody else's. */
export const memoryName = (injected: string): string => `${injected}m`
export const globalName = (injected: string, number: number): string => `${injected}g${number}`

/** Numbers, among those it defines, of the globals whose values a snapshot of this module needs. */
export const keptGlobals = (bytes: Uint8Array, layout: CoreLayout): ReadonlyArray<number> =>
  mutableGlobals(bytes, layout).flatMap((isMutable, number) => (isMutable ? [number] : []))

const definesMemory = (layout: CoreLayout): boolean => layout.memories.length > layout.memoriesImported

/** The rewritten module with its memory and mutable globals exported; `layout` is the original's. */
export function expose(original: Uint8Array, layout: CoreLayout, rewritten: Uint8Array, needs: Needs, injected: string): Uint8Array<ArrayBuffer> {
  const added: Array<readonly [name: string, kind: number, index: number]> = []
  if (definesMemory(layout)) added.push([memoryName(injected), 2, 0])
  const shift = layout.globalsImported + Number(needs.fuel) + Number(needs.stack) + Number(needs.pages) + Number(needs.elements)
  for (const number of keptGlobals(original, layout)) added.push([globalName(injected, number), 3, shift + number])
  const write = (out: Writer, contents: CoreReader | undefined): void => {
    out.section(7, () => {
      out.u32((contents?.u32() ?? 0) + added.length)
      if (contents !== undefined) out.copy(contents.bytes, contents.at, contents.end)
      for (const [name, kind, index] of added) {
        out.text(name)
        out.byte(kind)
        out.u32(index)
      }
    })
  }
  return mapSections(rewritten, {
    7: write,
    // After the sections of types and globals, before the rest: where the exports belong when there are none yet.
    before: { ids: [8, 9, 12, 10, 11], write: (out, seen) => void (seen.has(7) || added.length === 0 || write(out, undefined)) },
  })
}

/** The rewritten module with `state` as what an instance has from its beginning. */
export function bake(rewritten: Uint8Array, state: ModuleState): Uint8Array<ArrayBuffer> {
  const { memory } = state
  const runs = memory?.runs ?? []
  return mapSections(rewritten, {
    5: (out, contents) => {
      contents.skip(1)
      const flags = contents.byte()
      contents.u32()
      out.section(5, () => {
        out.list([1, flags])
        out.u32(memory?.pages ?? 0)
        out.copy(contents.bytes, contents.at, contents.end)
      })
    },
    6: (out, contents) =>
      out.section(6, () => {
        const count = contents.u32()
        out.u32(count)
        for (let number = 0; number < count; number++) {
          const from = contents.at
          contents.skip(2)
          const value = contents.at
          readConstant(contents, ignore, ignore)
          const kept = state.globals[number]
          if (kept === undefined) out.copy(contents.bytes, from, contents.at)
          else {
            out.copy(contents.bytes, from, value)
            out.list(kept)
          }
        }
      }),
    8: () => undefined,
    11: (out, contents) =>
      out.section(11, () => {
        const count = contents.u32()
        out.u32(count + runs.length)
        for (let left = count; left > 0; left--) {
          const from = contents.at
          const flags = contents.u32()
          if (flags === 2) contents.u32()
          if (flags !== 1) readConstant(contents, ignore, ignore)
          contents.skip(contents.u32())
          // An active segment counts as dropped once it is placed: nothing is left of it, but its number.
          if (flags === 1) out.copy(contents.bytes, from, contents.at)
          else out.list([1, 0])
        }
        writeRuns(out, runs)
      }),
    12: (out, contents) => out.section(12, () => out.u32(contents.u32() + runs.length)),
    after: (out, seen) => {
      if (seen.has(11) || runs.length === 0) return
      out.section(11, () => {
        out.u32(runs.length)
        writeRuns(out, runs)
      })
    },
  })
}

function writeRuns(out: Writer, runs: ReadonlyArray<Run>): void {
  for (const { at, bytes } of runs) {
    out.list([0, Op.I32Const, ...sleb(at | 0), Op.End])
    out.u32(bytes.length)
    out.copy(bytes, 0, bytes.length)
  }
}

type SectionWriter = (out: Writer, contents: CoreReader) => void

/** Copies a module section by section, writing those anew that `by` names by id. */
function mapSections(
  module: Uint8Array,
  by: {
    readonly [id: number]: SectionWriter
    readonly before?: { readonly ids: ReadonlyArray<number>; readonly write: (out: Writer, seen: ReadonlySet<number>) => void }
    /** Behind the last section with a number: custom ones may follow. */
    readonly after?: (out: Writer, seen: ReadonlySet<number>) => void
  },
): Uint8Array<ArrayBuffer> {
  const out = new Writer(module.length + 4_096)
  const reader = new CoreReader(module, 8, module.length)
  const seen = new Set<number>()
  let pending = by.before
  let trailing = by.after
  out.copy(module, 0, 8)
  while (reader.at < reader.end) {
    const from = reader.at
    const id = reader.byte()
    const size = reader.u32()
    const contents = new CoreReader(module, reader.at, reader.at + size)
    reader.skip(size)
    if (pending !== undefined && pending.ids.includes(id)) {
      pending.write(out, seen)
      pending = undefined
    }
    if (id === 0 && seen.has(10) && trailing !== undefined) {
      trailing(out, seen)
      trailing = undefined
    }
    seen.add(id)
    const write = by[id]
    if (write === undefined) out.copy(module, from, reader.at)
    else write(out, contents)
  }
  pending?.write(out, seen)
  trailing?.(out, seen)
  return out.finish()
}

/** Constant expressions of a value as it was read from a global of this type; undefined where reading may have lost bits. */
export function constantOf(type: number, value: unknown): ReadonlyArray<number> | undefined {
  switch (type) {
    case 0x7f:
      return [Op.I32Const, ...sleb(value as number), Op.End]
    case 0x7e:
      return [0x42, ...sleb64(value as bigint), Op.End]
    case 0x7d:
      return Number.isNaN(value) ? undefined : [0x43, ...new Uint8Array(Float32Array.of(value as number).buffer), Op.End]
    case 0x7c:
      return Number.isNaN(value) ? undefined : [0x44, ...new Uint8Array(Float64Array.of(value as number).buffer), Op.End]
    default:
      return value === null ? [0xd0, type, Op.End] : undefined
  }
}

function sleb64(value: bigint): Array<number> {
  const out: Array<number> = []
  for (let rest = value; ;) {
    const byte = Number(rest & 0x7fn)
    rest >>= 7n
    if (rest === ((byte & 0x40) === 0 ? 0n : -1n)) return [...out, byte]
    out.push(byte | 0x80)
  }
}

/** Zero bytes between two runs that are worth a segment of its own: placing one costs about as much as copying these. */
const gapBytes = 256
const word = 8

/** The bytes of a memory that are not zero, in runs; a run begins and ends on a multiple of eight. */
export function runsOf(memory: Uint8Array): ReadonlyArray<Run> {
  const words = new BigUint64Array(memory.buffer, memory.byteOffset, memory.length / word)
  const runs: Array<Run> = []
  let start = -1
  let last = 0
  const close = (): void => void runs.push({ at: start * word, bytes: memory.slice(start * word, (last + 1) * word) })
  for (let i = 0; i < words.length; i++) {
    if (words[i] === 0n) continue
    if (start < 0) start = i
    else if ((i - last) * word > gapBytes) {
      close()
      start = i
    }
    last = i
  }
  if (start >= 0) close()
  return runs
}
