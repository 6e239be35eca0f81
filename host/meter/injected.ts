/**
 * Functions the rewriter adds to a module: bulk operations in steps with a check between, and the two `grow`
 * instructions under the plugin's budget. Each takes the operands of the instruction it replaces and traps where that
 * would trap, by executing it.
 *
 * Core specification 4.6.9 and 4.6.11: a bulk operation checks its bounds before it writes anything, so the steps start
 * only when the whole is in bounds; memories and tables never shrink, so it stays so.
 */
import { bulkShift, costTable } from "./cost-table.ts"
import { leb, sleb } from "./writer.ts"

/** One step of a bulk operation on memory: 50–250 µs on a cold page table. */
export const memoryBytesPerStep = 1 << 20
/** One step of a bulk operation on a table; engines take up to 50 ns an element (dispatch tables, write barriers). */
export const elementsPerStep = 16_384

/** The instruction replaced. `a` and `b` are its indexes in order of the binary format; `type` is a table's element type. */
export interface BulkShape {
  readonly kind: "memory.init" | "memory.copy" | "memory.fill" | "memory.grow" | "table.init" | "table.copy" | "table.fill" | "table.grow"
  readonly a: number
  readonly b: number
  /** Size of the segment, or greatest size of the memory (pages) or table (elements); −1 when another module decides. */
  readonly max: number
  readonly type: number
}

export interface BulkRequest {
  readonly shape: BulkShape
  /** A check: stack-neutral code. */
  readonly check: ReadonlyArray<number>
  /** Under fuel, the global to charge; otherwise −1. */
  readonly fuelGlobal: number
  /** For `grow`, the global with what is left to grow. */
  readonly budgetGlobal: number
}

export interface Helper {
  readonly params: ReadonlyArray<number>
  readonly results: ReadonlyArray<number>
  readonly body: ReadonlyArray<number>
}

const i32 = 0x7f

const get = (local: number): Array<number> => [0x20, local]
const set = (local: number): Array<number> => [0x21, local]
const tee = (local: number): Array<number> => [0x22, local]
const constant = (value: number): Array<number> => [0x41, ...sleb(value)]
const long = (local: number): Array<number> => [...get(local), 0xad] // i64.extend_i32_u
const add = 0x6a
const sub = 0x6b
const gtU = 0x4b
const when = (...body: ReadonlyArray<ReadonlyArray<number> | number>): Array<number> => [0x04, 0x40, ...body.flat(), 0x0b]

/** Fuel −= the i64 on the stack (`amount` pushes it). */
const charge = (request: BulkRequest, ...amount: ReadonlyArray<ReadonlyArray<number> | number>): Array<number> =>
  request.fuelGlobal < 0 ? [] : [0x23, ...leb(request.fuelGlobal), ...amount.flat(), 0x7d, 0x24, ...leb(request.fuelGlobal)]
const i64 = (value: number): Array<number> => [0x42, ...sleb(value)]
const i64add = 0x7c
const i64mul = 0x7e

/** Helpers made before: modules of one toolchain ask for the same few, and making one is a third of a small module's rewriting. */
const made = new Map<string, Helper>()
const madeMax = 256

export function bulkHelper(request: BulkRequest): Helper {
  const { shape, check, fuelGlobal, budgetGlobal } = request
  const key = [shape.kind, shape.a, shape.b, shape.max, shape.type, fuelGlobal, budgetGlobal, check].join()
  const known = made.get(key)
  if (known !== undefined) return known
  const helper = makeHelper(request)
  if (made.size >= madeMax) made.clear()
  made.set(key, helper)
  return helper
}

function makeHelper(request: BulkRequest): Helper {
  const { shape } = request
  if (shape.kind === "memory.grow") return growHelper(request, [i32], 0, [0x40, 0x00], [0x3f, 0x00], costTable.memoryGrow, costTable.memoryGrowPage)
  if (shape.kind === "table.grow")
    return growHelper(
      request,
      [shape.type, i32],
      1,
      [0xfc, 0x0f, ...leb(shape.a)],
      [0xfc, 0x10, ...leb(shape.a)],
      costTable.tableGrow,
      costTable.tableGrowElement,
    )
  return steppedHelper(request)
}

/**
 * (…, delta) → old size or −1. Over the budget: −1, the same everywhere. Refused by the engine although below the
 * maximum: under fuel a trap, which the budget global tells by −1, because another machine would have gone on.
 */
function growHelper(
  request: BulkRequest,
  params: ReadonlyArray<number>,
  delta: number,
  instruction: ReadonlyArray<number>,
  size: ReadonlyArray<number>,
  base: number,
  each: number,
): Helper {
  const budget = leb(request.budgetGlobal)
  const old = params.length
  const { max } = request.shape
  const hostRefused: ReadonlyArray<number> = [...constant(-1), 0x24, ...budget, 0x00]
  // size + delta ≤ max in 64 bits; without a known maximum every refusal is the host's.
  const belowMax: ReadonlyArray<number> = max < 0 ? hostRefused : [...size, 0xad, ...long(delta), i64add, 0x42, ...sleb(max), 0x58, ...when(hostRefused)] // i64.le_u
  const body = [
    ...[0x01, 0x01, i32], // one local: the old size
    ...charge(request, i64(base)),
    ...request.check,
    ...[...get(delta), 0x23, ...budget, gtU, ...when([...constant(-1), 0x0f])],
    ...charge(request, long(delta), i64(each), i64mul),
    ...(request.fuelGlobal < 0 ? [] : request.check),
    ...params.flatMap((_, p) => get(p)),
    ...instruction,
    ...tee(old),
    ...[...constant(-1), 0x46], // i32.eq
    ...when(request.fuelGlobal < 0 ? [] : belowMax, [...constant(-1), 0x0f]),
    ...[0x23, ...budget, ...get(delta), sub, 0x24, ...budget],
    ...get(old),
    0x0b,
  ]
  return { params, results: [i32], body }
}

/** (destination, source or value, length) → (): the instruction, in steps when the length exceeds one. */
function steppedHelper(request: BulkRequest): Helper {
  const { shape } = request
  const [d, x, n] = [0, 1, 2]
  const onMemory = shape.kind.startsWith("memory")
  const step = onMemory ? memoryBytesPerStep : elementsPerStep
  const instruction: ReadonlyArray<number> = {
    "memory.init": [0xfc, 0x08, ...leb(shape.a), 0x00],
    "memory.copy": [0xfc, 0x0a, 0x00, 0x00],
    "memory.fill": [0xfc, 0x0b, 0x00],
    "table.init": [0xfc, 0x0c, ...leb(shape.a), ...leb(shape.b)],
    "table.copy": [0xfc, 0x0e, ...leb(shape.a), ...leb(shape.b)],
    "table.fill": [0xfc, 0x11, ...leb(shape.a)],
    "memory.grow": [],
    "table.grow": [],
  }[shape.kind]
  const fills = shape.kind === "memory.fill" || shape.kind === "table.fill"
  const copies = shape.kind === "memory.copy" || shape.kind === "table.copy"
  const params = fills && !onMemory ? [i32, shape.type, i32] : [i32, i32, i32]
  const whole = [...get(d), ...get(x), ...get(n), ...instruction]

  // Out of bounds: the whole instruction, which traps before it writes.
  const pagesToBytes: ReadonlyArray<number> = [0x3f, 0x00, 0xad, ...i64(16), 0x86] // memory.size; extend; i64.shl
  const tableSize = (table: number): ReadonlyArray<number> => [0xfc, 0x10, ...leb(table), 0xad]
  const target = shape.kind === "table.init" ? shape.b : shape.a
  const bound = (local: number, size: ReadonlyArray<number>): Array<number> => [...long(local), ...long(n), i64add, ...size, 0x56, ...when([...whole, 0x0f])] // i64.gt_u
  const bounds = [
    ...bound(d, onMemory ? pagesToBytes : tableSize(target)),
    ...(fills ? [] : bound(x, copies ? (onMemory ? pagesToBytes : tableSize(shape.b)) : [0x42, ...sleb(shape.max)])),
  ]
  const cost = (): Array<number> => charge(request, i64(onMemory ? step >> bulkShift : step * costTable.bulkElement))
  const more = [...get(n), ...constant(step), gtU]
  const forwards = [
    ...[0x03, 0x40], // loop
    ...cost(),
    ...request.check,
    ...[...get(d), ...get(x), ...constant(step), ...instruction],
    ...[...get(d), ...constant(step), add, ...set(d)],
    ...(fills ? [] : [...get(x), ...constant(step), add, ...set(x)]),
    ...[...get(n), ...constant(step), sub, ...set(n)],
    ...more,
    ...[0x0d, 0x00, 0x0b],
  ]
  // A copy to a higher address starts at its end, so that no step overwrites what a later one reads.
  const backwards = [
    ...[0x03, 0x40],
    ...cost(),
    ...request.check,
    ...[...get(n), ...constant(step), sub, ...set(n)],
    ...[...get(d), ...get(n), add, ...get(x), ...get(n), add, ...constant(step), ...instruction],
    ...more,
    ...[0x0d, 0x00, 0x0b],
  ]
  const steps = copies ? [...get(d), ...get(x), gtU, 0x04, 0x40, ...backwards, 0x05, ...forwards, 0x0b] : forwards
  const length: ReadonlyArray<number> = onMemory ? [...long(n), ...i64(bulkShift), 0x88] : [...long(n), ...i64(costTable.bulkElement), i64mul] // i64.shr_u
  const body = [
    0x00,
    ...charge(request, i64(costTable.bulk)),
    ...request.check,
    ...[...more, ...when(bounds, steps)],
    ...charge(request, length),
    ...(request.fuelGlobal < 0 ? [] : request.check),
    ...whole,
    0x0b,
  ]
  return { params, results: [], body }
}
