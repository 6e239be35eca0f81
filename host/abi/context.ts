/**
 * What lift and lower need of one core instance: its memory, its allocator, its handle tables and its budgets.
 * One object per (plugin instance × canonical options); closures get it as first parameter, so they are built once
 * per plugin and never capture an instance.
 */
import type { ResourceType } from "../../schemas/wit/model.ts"

/** The three string encodings of the canonical ABI. */
export type StringEncoding = "utf8" | "utf16" | "latin1+utf16"

export interface AbiContext {
  readonly memory: WebAssembly.Memory | undefined
  /** `cabi_realloc(old, oldSize, align, newSize) -> ptr`; the result is untrusted. */
  readonly realloc: ((old: number, oldSize: number, align: number, newSize: number) => number) | undefined
  /** Views of `memory.buffer`; refreshed with `refreshViews` after every entry into the guest. */
  u8: Uint8Array
  u16: Uint16Array
  i32: Int32Array
  f32: Float32Array
  f64: Float64Array
  i64: BigInt64Array
  /** Shared by all contexts of one plugin instance. */
  readonly budget: CallBudget
  /** Handle tables and resource destructors of the component instance that these options belong to. */
  readonly handles: HandleTable
  /** The component instance that these options belong to. */
  readonly instance: InstanceState
}

/** Flags of one component instance. */
export interface InstanceState {
  /** False while `realloc`, `post-return` or a destructor runs: a call out of the instance then is an `AbiTrap`. */
  mayLeave: boolean
}

/** What one call may still move, and how it notices a stop. Reset at the start of each call; plain fields, no getters. */
export interface CallBudget {
  /** Bytes that may still be lifted out of the guest in this call (`liftBytesMax`). */
  liftBytesLeft: number
  /** Smaller cap of the value being lifted now: the result (`outputBytesMax`) or one host call's arguments (`hostCallBytesMax`). */
  scopeBytesLeft: number
  /** Which limit `scopeBytesLeft` stands for, for the error. */
  scope: "outputBytesMax" | "hostCallBytesMax"
  /** Bytes moved host → guest in this call, for usage. */
  bytesIn: number
  /** Bytes moved guest → host in this call, for usage. */
  bytesOut: number
  /** Called every 4,096 elements while lifting or lowering lists; throws the recorded stop when the call is over. */
  checkStop(): void
  /**
   * Ends the call from inside a host function. A guest with `catch_all` can swallow what JavaScript throws, but no
   * engine trap: so this records `error` as the call's outcome (the first one wins), poisons the call (stop bit,
   * fuel −1) and traps by entering a tiny module that executes `unreachable`.
   */
  fail(error: unknown): never
}

/** One component instance's handles. Index 0 is never a handle. All methods throw `AbiTrap` on a bad handle. */
export interface HandleTable {
  /** Lower an owned resource: `rep` enters the table, its new index goes to the guest. */
  own(type: ResourceType, rep: unknown): number
  /** Lift an owned handle: leaves the table; returns the rep. Traps while it is lent. */
  takeOwn(type: ResourceType, handle: number): unknown
  /** Lift a borrowed handle for the duration of the current host call (counts the loan, undone by `endLoans`). */
  lend(type: ResourceType, handle: number): unknown
  /** Lower a borrow for the duration of the current guest call; the guest must drop it before returning. When the resource is implemented by the callee itself, the rep passes directly. */
  borrow(type: ResourceType, rep: unknown): number
}

/** The guest broke the canonical ABI. Caught at the boundary and turned into `PluginError` `AbiViolation`. */
export class AbiTrap extends Error {
  override readonly name = "AbiTrap"
}
