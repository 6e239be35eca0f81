/**
 * What an instruction costs. Two tables with two purposes:
 *
 * - `costTable` is published: fuel is charged by it, receipts name its version, and a change of any figure is a new
 *   version. It stands for work, roughly one unit a nanosecond of a cold engine, and never depends on the machine.
 * - `weight` bounds time between two stop checks. It is pessimistic where a guest can choose the worst case (a store to
 *   a page not yet touched costs about 1 µs of page fault) and may change without notice.
 */

/** Published with every change: part of cache keys and receipts. */
export const costTable = {
  version: 2,
  /** Every instruction without a row below. */
  default: 1,
  /** nop, block, loop, else, end, try, try_table, catch, catch_all. */
  structure: 0,
  load: 2,
  store: 2,
  /** Integer and float division, remainder and square root, scalar and SIMD. */
  divide: 8,
  branchTable: 2,
  call: 5,
  callIndirect: 8,
  throw: 200,
  /** A call of a host function, and the bytes of arguments and results that one unit moves; charged by the host. */
  hostCall: 500,
  hostCallBytesPerUnit: 8,
  tableAccess: 3,
  /** data.drop, elem.drop. */
  drop: 20,
  /** memory.grow: base, and per page granted. */
  memoryGrow: 1_000,
  memoryGrowPage: 1_000,
  /** table.grow: base, and per element granted. */
  tableGrow: 1_000,
  tableGrowElement: 1,
  /** memory.fill, memory.copy, memory.init, table.fill, table.copy, table.init: base. */
  bulk: 10,
  /** Bytes of memory moved or filled for one unit. */
  bulkBytesPerUnit: 64,
  /** Units per table element moved or filled. */
  bulkElement: 1,
  /** Stack accounting: bytes per local or operand slot, and per frame. Part of the table because it decides outcomes. */
  stackSlotBytes: 8,
  stackFrameBytes: 64,
  /**
   * Slots of a v128 parameter, local or result, and of each operand in a function that may have v128 operands. A frame
   * has as many slots as parameters, locals, operands at most, and results of the call that brings most of them (if it
   * brings more than one): results are written to the caller's frame and copied to their operands.
   */
  stackVectorSlots: 2,
} as const

/** Bit position of `bulkBytesPerUnit`, which is a power of two. */
export const bulkShift = 6

/** Costs by opcode, one array for each opcode space. */
export interface Costs {
  readonly single: Uint16Array
  readonly misc: Uint16Array
  readonly simd: Uint16Array
}

interface Classes {
  readonly default: number
  readonly structure: number
  readonly load: number
  readonly store: number
  readonly divide: number
  readonly branchTable: number
  readonly call: number
  readonly callIndirect: number
  readonly throw: number
  readonly tableAccess: number
  readonly drop: number
}

const spread = (c: Classes): Costs => {
  const single = new Uint16Array(256).fill(c.default)
  const misc = new Uint16Array(32).fill(c.default)
  const simd = new Uint16Array(512).fill(c.default)
  for (const code of [0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x0b, 0x18, 0x19, 0x1f]) single[code] = c.structure
  for (const code of [0x08, 0x09, 0x0a]) single[code] = c.throw
  single[0x0e] = c.branchTable
  single[0x10] = single[0x12] = c.call
  single[0x11] = single[0x13] = c.callIndirect
  single[0x25] = single[0x26] = c.tableAccess
  single.fill(c.load, 0x28, 0x36)
  single.fill(c.store, 0x36, 0x3f)
  for (const code of [0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3]) single[code] = c.divide
  misc[9] = misc[13] = c.drop
  // The bulk operations and the growing ones are charged by length, at run time.
  for (const code of [8, 10, 11, 12, 14, 15, 17]) misc[code] = 0
  single[0x40] = 0
  simd.fill(c.load, 0, 11)
  simd[11] = c.store
  simd.fill(c.load, 84, 88)
  simd.fill(c.store, 88, 92)
  simd.fill(c.load, 92, 94)
  for (const code of [227, 231, 239, 243]) simd[code] = c.divide
  return { single, misc, simd }
}

/** Fuel by opcode. */
export const fuelCosts: Costs = spread(costTable)

/** Time weight by opcode, in units of which 15,000 may pass between two checks of one function. */
export const weights: Costs = spread({
  default: 1,
  structure: 0,
  load: 8,
  store: 8,
  divide: 8,
  branchTable: 2,
  call: 4,
  callIndirect: 8,
  throw: 200,
  tableAccess: 8,
  drop: 100,
})
// ref.func: the first reference to a function is an allocation, 0.2–0.5 µs.
weights.single[0xd2] = 16
