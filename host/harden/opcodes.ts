/**
 * The allow-list of instructions: everything the host lets a guest execute is in these tables, and an opcode that is
 * not in them is refused. Decoding, hardening, the stack bound and metering all read the same rows.
 *
 * Sources: WebAssembly core specification 3.0, appendix "Index of Instructions"; the legacy exception-handling
 * proposal for 0x06 0x07 0x09 0x18 0x19. Left out on purpose: GC (0xFB, 0xD3-0xD6), typed function references
 * (0x14 0x15), threads (0xFE), stack switching (0xE0-0xE6), memory64 and multi-memory forms of memory instructions.
 */
import * as Float from "./float.ts"
import * as Immediate from "./immediate.ts"

/** One row per opcode of one opcode space. Arities of control instructions, calls and `select` are handled by the readers. */
export interface OpcodeTable {
  readonly immediate: Uint8Array
  readonly pops: Uint8Array
  readonly pushes: Uint8Array
  /** `Float` class of the operands when the instruction reads them as numbers only, so that the bits of a NaN do not show. */
  readonly floatIn: Uint8Array
  /** `Float` class of a result whose NaN bits the specification leaves open (core specification 4.3.3 "NaN propagation"). */
  readonly floatOut: Uint8Array
}

const table = (size: number): OpcodeTable => ({
  immediate: new Uint8Array(size),
  pops: new Uint8Array(size),
  pushes: new Uint8Array(size),
  floatIn: new Uint8Array(size),
  floatOut: new Uint8Array(size),
})

const rows = (t: OpcodeTable, from: number, to: number, pops: number, pushes: number, immediate: number = Immediate.None): void => {
  t.immediate.fill(immediate, from, to + 1)
  t.pops.fill(pops, from, to + 1)
  t.pushes.fill(pushes, from, to + 1)
}
const floats = (t: OpcodeTable, from: number, to: number, floatIn: number, floatOut: number): void => {
  t.floatIn.fill(floatIn, from, to + 1)
  t.floatOut.fill(floatOut, from, to + 1)
}

/** One-byte opcodes. */
export const single: OpcodeTable = table(256)
rows(single, 0x00, 0x01, 0, 0) // unreachable, nop
rows(single, 0x02, 0x03, 0, 0, Immediate.BlockType) // block, loop
rows(single, 0x04, 0x04, 1, 0, Immediate.BlockType) // if
rows(single, 0x05, 0x05, 0, 0) // else
rows(single, 0x06, 0x06, 0, 0, Immediate.BlockType) // try (legacy)
rows(single, 0x07, 0x09, 0, 0, Immediate.Index) // catch (legacy), throw, rethrow (legacy)
rows(single, 0x0a, 0x0a, 1, 0) // throw_ref
rows(single, 0x0b, 0x0b, 0, 0) // end
rows(single, 0x0c, 0x0c, 0, 0, Immediate.Index) // br
rows(single, 0x0d, 0x0d, 1, 0, Immediate.Index) // br_if
rows(single, 0x0e, 0x0e, 1, 0, Immediate.LabelTable) // br_table
rows(single, 0x0f, 0x0f, 0, 0) // return
rows(single, 0x10, 0x10, 0, 0, Immediate.Index) // call
rows(single, 0x11, 0x11, 1, 0, Immediate.CallIndirect) // call_indirect
rows(single, 0x12, 0x12, 0, 0, Immediate.Index) // return_call
rows(single, 0x13, 0x13, 1, 0, Immediate.CallIndirect) // return_call_indirect
rows(single, 0x18, 0x18, 0, 0, Immediate.Index) // delegate (legacy)
rows(single, 0x19, 0x19, 0, 0) // catch_all (legacy)
rows(single, 0x1a, 0x1a, 1, 0) // drop
rows(single, 0x1b, 0x1b, 3, 1) // select
rows(single, 0x1c, 0x1c, 3, 1, Immediate.Types) // select t
rows(single, 0x1f, 0x1f, 0, 0, Immediate.TryTable) // try_table
rows(single, 0x20, 0x20, 0, 1, Immediate.Index) // local.get
rows(single, 0x21, 0x21, 1, 0, Immediate.Index) // local.set
rows(single, 0x22, 0x22, 1, 1, Immediate.Index) // local.tee
rows(single, 0x23, 0x23, 0, 1, Immediate.Index) // global.get
rows(single, 0x24, 0x24, 1, 0, Immediate.Index) // global.set
rows(single, 0x25, 0x25, 1, 1, Immediate.Index) // table.get
rows(single, 0x26, 0x26, 2, 0, Immediate.Index) // table.set
rows(single, 0x28, 0x35, 1, 1, Immediate.Memory) // loads
rows(single, 0x36, 0x3e, 2, 0, Immediate.Memory) // stores
rows(single, 0x3f, 0x3f, 0, 1, Immediate.MemoryIndex) // memory.size
rows(single, 0x40, 0x40, 1, 1, Immediate.MemoryIndex) // memory.grow
rows(single, 0x41, 0x41, 0, 1, Immediate.I32)
rows(single, 0x42, 0x42, 0, 1, Immediate.I64)
rows(single, 0x43, 0x43, 0, 1, Immediate.F32)
rows(single, 0x44, 0x44, 0, 1, Immediate.F64)
rows(single, 0x45, 0x66, 2, 1) // comparisons
rows(single, 0x45, 0x45, 1, 1) // i32.eqz
rows(single, 0x50, 0x50, 1, 1) // i64.eqz
rows(single, 0x67, 0x69, 1, 1) // i32.clz ctz popcnt
rows(single, 0x6a, 0x78, 2, 1)
rows(single, 0x79, 0x7b, 1, 1) // i64.clz ctz popcnt
rows(single, 0x7c, 0x8a, 2, 1)
rows(single, 0x8b, 0x91, 1, 1) // f32.abs neg ceil floor trunc nearest sqrt
rows(single, 0x92, 0x98, 2, 1) // f32.add sub mul div min max copysign
rows(single, 0x99, 0x9f, 1, 1)
rows(single, 0xa0, 0xa6, 2, 1)
rows(single, 0xa7, 0xc4, 1, 1) // conversions, sign extension
rows(single, 0xd0, 0xd0, 0, 1, Immediate.HeapType) // ref.null
rows(single, 0xd1, 0xd1, 1, 1) // ref.is_null
rows(single, 0xd2, 0xd2, 0, 1, Immediate.Index) // ref.func
rows(single, 0xfc, 0xfd, 0, 0, Immediate.Prefix)

floats(single, 0x5b, 0x60, Float.F32, Float.None) // f32 comparisons
floats(single, 0x61, 0x66, Float.F64, Float.None)
floats(single, 0x8d, 0x97, Float.F32, Float.F32) // ceil … max; abs, neg and copysign only touch the sign bit
floats(single, 0x9b, 0xa5, Float.F64, Float.F64)
floats(single, 0xa8, 0xa9, Float.F32, Float.None) // i32.trunc_f32
floats(single, 0xaa, 0xab, Float.F64, Float.None)
floats(single, 0xae, 0xaf, Float.F32, Float.None) // i64.trunc_f32
floats(single, 0xb0, 0xb1, Float.F64, Float.None)
floats(single, 0xb6, 0xb6, Float.F64, Float.F32) // f32.demote_f64
floats(single, 0xbb, 0xbb, Float.F32, Float.F64) // f64.promote_f32

/** Opcodes after 0xFC: saturating truncation and bulk operations. */
export const misc: OpcodeTable = table(18)
rows(misc, 0, 7, 1, 1)
floats(misc, 0, 1, Float.F32, Float.None)
floats(misc, 2, 3, Float.F64, Float.None)
floats(misc, 4, 5, Float.F32, Float.None)
floats(misc, 6, 7, Float.F64, Float.None)
rows(misc, 8, 8, 3, 0, Immediate.MemoryInit)
rows(misc, 9, 9, 0, 0, Immediate.Index) // data.drop
rows(misc, 10, 10, 3, 0, Immediate.MemoryCopy)
rows(misc, 11, 11, 3, 0, Immediate.MemoryIndex) // memory.fill
rows(misc, 12, 12, 3, 0, Immediate.Index2) // table.init
rows(misc, 13, 13, 0, 0, Immediate.Index) // elem.drop
rows(misc, 14, 14, 3, 0, Immediate.Index2) // table.copy
rows(misc, 15, 15, 2, 1, Immediate.Index) // table.grow
rows(misc, 16, 16, 0, 1, Immediate.Index) // table.size
rows(misc, 17, 17, 3, 0, Immediate.Index) // table.fill

/** Opcodes after 0xFD: 128-bit SIMD, from 0x100 on relaxed SIMD. */
export const simd: OpcodeTable = table(0x114)
export const relaxedSimdFirst = 0x100
rows(simd, 0, 10, 1, 1, Immediate.Memory)
rows(simd, 11, 11, 2, 0, Immediate.Memory)
rows(simd, 12, 12, 0, 1, Immediate.Bytes16)
rows(simd, 13, 13, 2, 1, Immediate.Bytes16)
rows(simd, 14, 14, 2, 1)
rows(simd, 15, 20, 1, 1)
for (let code = 21; code <= 34; code++) {
  const replaces = code === 23 || code === 26 || (code >= 28 && code % 2 === 0)
  rows(simd, code, code, replaces ? 2 : 1, 1, Immediate.Lane)
}
rows(simd, 35, 76, 2, 1) // comparisons
rows(simd, 77, 77, 1, 1)
rows(simd, 78, 81, 2, 1)
rows(simd, 82, 82, 3, 1) // bitselect
rows(simd, 83, 83, 1, 1)
rows(simd, 84, 87, 2, 1, Immediate.MemoryLane)
rows(simd, 88, 91, 2, 0, Immediate.MemoryLane)
rows(simd, 92, 93, 1, 1, Immediate.Memory)
rows(simd, 94, 100, 1, 1)
rows(simd, 101, 102, 2, 1)
rows(simd, 103, 106, 1, 1) // f32x4.ceil floor trunc nearest
rows(simd, 107, 115, 2, 1)
rows(simd, 116, 117, 1, 1) // f64x2.ceil floor
rows(simd, 118, 121, 2, 1)
rows(simd, 122, 122, 1, 1) // f64x2.trunc
rows(simd, 123, 123, 2, 1)
rows(simd, 124, 129, 1, 1)
rows(simd, 130, 130, 2, 1)
rows(simd, 131, 132, 1, 1)
rows(simd, 133, 134, 2, 1)
rows(simd, 135, 138, 1, 1)
rows(simd, 139, 147, 2, 1)
rows(simd, 148, 148, 1, 1) // f64x2.nearest
rows(simd, 149, 153, 2, 1)
rows(simd, 155, 159, 2, 1)
rows(simd, 160, 161, 1, 1)
rows(simd, 163, 164, 1, 1)
rows(simd, 167, 170, 1, 1)
rows(simd, 171, 174, 2, 1)
rows(simd, 177, 177, 2, 1)
rows(simd, 181, 186, 2, 1)
rows(simd, 188, 191, 2, 1)
rows(simd, 192, 193, 1, 1)
rows(simd, 195, 196, 1, 1)
rows(simd, 199, 202, 1, 1)
rows(simd, 203, 206, 2, 1)
rows(simd, 209, 209, 2, 1)
rows(simd, 213, 223, 2, 1)
rows(simd, 224, 225, 1, 1)
rows(simd, 227, 227, 1, 1)
rows(simd, 228, 235, 2, 1)
rows(simd, 236, 237, 1, 1)
rows(simd, 239, 239, 1, 1)
rows(simd, 240, 247, 2, 1)
rows(simd, 248, 255, 1, 1)
rows(simd, 0x100, 0x100, 2, 1)
rows(simd, 0x101, 0x104, 1, 1)
rows(simd, 0x105, 0x10c, 3, 1)
rows(simd, 0x10d, 0x112, 2, 1)
rows(simd, 0x113, 0x113, 3, 1)

floats(simd, 65, 70, Float.F32x4, Float.None) // f32x4 comparisons
floats(simd, 71, 76, Float.F64x2, Float.None)
floats(simd, 94, 94, Float.F64x2, Float.F32x4) // demote
floats(simd, 95, 95, Float.F32x4, Float.F64x2) // promote
floats(simd, 103, 106, Float.F32x4, Float.F32x4)
floats(simd, 116, 117, Float.F64x2, Float.F64x2)
floats(simd, 122, 122, Float.F64x2, Float.F64x2)
floats(simd, 148, 148, Float.F64x2, Float.F64x2)
floats(simd, 227, 233, Float.F32x4, Float.F32x4) // sqrt add sub mul div min max; pmin and pmax return an operand bit for bit
floats(simd, 239, 245, Float.F64x2, Float.F64x2)
floats(simd, 248, 249, Float.F32x4, Float.None)
floats(simd, 252, 253, Float.F64x2, Float.None)
