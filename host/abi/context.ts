/**
 * What lift and lower need of one core instance: its memory, its allocator, its handle tables and its budgets.
 * One object per (plugin instance × canonical options); closures get it as first parameter, so they are built once
 * per plugin and never capture an instance.
 */
import type { ErrorContextType, FutureType, ResourceType, StreamType } from "../../schemas/wit/model.ts"
import type { CoreValue } from "./number.ts"

export type { StringEncoding } from "../../schemas/wit/layout.ts"

/** `cabi_realloc(old, oldSize, align, newSize) -> ptr`; the result is untrusted. */
export type Realloc = (old: number, oldSize: number, align: number, newSize: number) => number

/** Made by `createContext` only, so that every context has one hidden class and the closures stay monomorphic. */
export interface AbiContext {
  /** Set by `createContext`, or later by `attachMemory` where a core instance exists after the functions that need it. */
  memory: WebAssembly.Memory | undefined
  realloc: Realloc | undefined
  /** What a foreign ABI calls of the core instance besides its exports, in the order its blueprint names them. */
  functions: ReadonlyArray<(...args: ReadonlyArray<CoreValue>) => unknown>
  /** Views of `memory.buffer`; refreshed with `refreshViews` after every entry into the guest. */
  u8: Uint8Array
  u16: Uint16Array
  i32: Int32Array
  f32: Float32Array
  f64: Float64Array
  i64: BigInt64Array
  /** Second half of what a string or list lowers to: its length in code units (tagged) or elements; valid until the next lowering. */
  loweredLength: number
  /** List elements, weighed by `Layout.words`, that may still be moved before the next `budget.checkStop()`. */
  wordsUntilCheck: number
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
  /**
   * Did the export call that runs now, or ran last, enter the guest or give it a handle? A call that failed with
   * `WitError` while this is false left no trace, and the instance may serve the next call.
   */
  isTouched: boolean
}

/**
 * What one call may still move, and how it notices a stop. Plain fields, no getters. Whoever starts a call sets
 * `liftBytesLeft = liftBytesMax` and the counters to 0; the `scope` fields belong to `host/abi`, which sets them
 * before it lifts a result or a host call's arguments.
 */
export interface CallBudget {
  /** The limits of the same names, in bytes. */
  readonly liftBytesMax: number
  readonly outputBytesMax: number
  readonly hostCallBytesMax: number
  readonly streamBytesMax: number
  /** Bytes that may still be lifted out of the guest in this call (`liftBytesMax`). */
  liftBytesLeft: number
  /** Smaller cap of the value being lifted now: the result (`outputBytesMax`), one host call's arguments (`hostCallBytesMax`) or a piece of a stream (`streamBytesMax`). */
  scopeBytesLeft: number
  /** Which limit `scopeBytesLeft` stands for, for the error. */
  scope: "outputBytesMax" | "hostCallBytesMax" | "streamBytesMax"
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

/**
 * One component instance's handles. Index 0 is never a handle. Lifting methods throw `AbiTrap` on a bad handle;
 * lowering methods throw `WitError` `Value` with an empty path on a host value that is no such resource.
 */
export interface HandleTable {
  /** Lower an owned resource: `rep` enters the table, its new index goes to the guest. */
  own(type: ResourceType, rep: unknown): number
  /** Lift an owned handle: leaves the table; returns the rep. Traps while it is lent. */
  takeOwn(type: ResourceType, handle: number): unknown
  /** Lift a borrowed handle for the duration of the current host call (counts the loan, undone by `endScope`). */
  lend(type: ResourceType, handle: number): unknown
  /** Lower a borrow for the duration of the current guest call; the guest must drop it before returning. When the resource is implemented by the callee itself, the rep passes directly. */
  borrow(type: ResourceType, rep: unknown): number
  /** Streams, futures and error contexts; absent where none can be. */
  readonly ends?: EndTable | undefined
  /**
   * Opens a scope for loans and borrows (scopes nest): before the parameters of a function whose type mentions
   * `borrow` are moved. Not called for other functions.
   */
  beginScope(): void
  /** Ends the innermost scope: returns its loans; `AbiTrap` when a handle lowered by `borrow` in it was not dropped. Not called when the call fails. */
  endScope(): void
}

/** The ends of streams and futures, and error contexts, of one component instance; they share its handle table. */
export interface EndTable {
  /** Lower one: what the host gave, or what another component instance gave away. */
  give(type: StreamType | FutureType | ErrorContextType, value: unknown): number
  /** Lift one: a readable end leaves the table. */
  take(type: StreamType | FutureType | ErrorContextType, handle: number): unknown
}

/** The guest broke the canonical ABI. Caught at the boundary and turned into `PluginError` `AbiViolation`. */
export class AbiTrap extends Error {
  override readonly name = "AbiTrap"
}

/** Lift and lower look at the stop once in this many list elements of one word, and as much more often as elements weigh more. */
export const checkWords = 4096

const noBytes = new ArrayBuffer(0)
/** Views of no memory: made once, because most contexts get their memory later. */
const none = {
  u8: new Uint8Array(noBytes),
  u16: new Uint16Array(noBytes),
  i32: new Int32Array(noBytes),
  f32: new Float32Array(noBytes),
  f64: new Float64Array(noBytes),
  i64: new BigInt64Array(noBytes),
}

const noFunctions: AbiContext["functions"] = []

/** Makes a context; `memory` and `realloc` may be attached later, before the first call that needs them. */
export function createContext(options: {
  readonly memory: WebAssembly.Memory | undefined
  readonly realloc: Realloc | undefined
  readonly budget: CallBudget
  readonly handles: HandleTable
  readonly instance: InstanceState
}): AbiContext {
  const cx: AbiContext = {
    memory: options.memory,
    realloc: options.realloc,
    functions: noFunctions,
    u8: none.u8,
    u16: none.u16,
    i32: none.i32,
    f32: none.f32,
    f64: none.f64,
    i64: none.i64,
    loweredLength: 0,
    wordsUntilCheck: checkWords,
    budget: options.budget,
    handles: options.handles,
    instance: options.instance,
  }
  if (options.memory !== undefined) renewViews(cx)
  return cx
}

/**
 * Gives a context its memory and allocator after the fact: nothing captures them, so functions made before see them.
 * `like` is a context of the same memory whose views are valid: they are shared until the memory grows.
 */
export function attachMemory(cx: AbiContext, memory: WebAssembly.Memory | undefined, realloc: Realloc | undefined, like?: AbiContext): void {
  cx.memory = memory
  cx.realloc = realloc
  if (like === undefined || like.memory !== memory || like.u8.length === 0) return renewViews(cx)
  cx.u8 = like.u8
  cx.u16 = like.u16
  cx.i32 = like.i32
  cx.f32 = like.f32
  cx.f64 = like.f64
  cx.i64 = like.i64
}

/**
 * Makes the views valid again after the guest ran. `memory.grow` detaches the old buffer (JS API, "refresh the memory
 * buffer"), so a length of 0 tells; reading `memory.buffer` on each call would cost more than everything else here.
 */
export function refreshViews(cx: AbiContext): void {
  if (cx.u8.length === 0) renewViews(cx)
}

function renewViews(cx: AbiContext): void {
  if (cx.memory === undefined) return
  const { buffer } = cx.memory
  cx.u8 = new Uint8Array(buffer)
  cx.u16 = new Uint16Array(buffer)
  cx.i32 = new Int32Array(buffer)
  cx.f32 = new Float32Array(buffer)
  cx.f64 = new Float64Array(buffer)
  cx.i64 = new BigInt64Array(buffer)
}
