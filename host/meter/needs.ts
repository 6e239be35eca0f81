// What the cache and an instance know of a rewriting without loading the rewriter.

/** Part of every cache key: changes when the same input is rewritten to other bytes. */
export const instrumenterVersion = 6

/** `slice` is `deadline` without a watchdog: the same checks, counting time weights down to a call of `tick`. */
export type Tier = "deadline" | "slice" | "fuel" | "off"

/** Which injected imports the rewritten module has; the host provides exactly these. */
export interface Needs {
  /** `epoch`: shared memory of 1 page, whose i32 at 0 stops in bit 0. */
  readonly epoch: boolean
  /** `memory`: the module's own memory, which the host must make with these limits, in pages: an imported memory comes before the epoch's, a defined one would not. */
  readonly memory: { readonly min: number; readonly max: number } | undefined
  /** `fuel`: mutable global i64. Below zero after the module returned or trapped means exhausted. */
  readonly fuel: boolean
  /** `stack`: mutable global i32, bytes of guest stack left. The host sets it before each outermost call; −1 after a trap means exceeded. */
  readonly stack: boolean
  /** `pages`: mutable global i32, pages that may still be grown. −1 after a trap: the engine refused below the cap. */
  readonly pages: boolean
  /** `elements`: mutable global i32, table elements that may still be grown; −1 as for `pages`. */
  readonly elements: boolean
  /** `tick`: function () → i32, called when `fuel` is below zero (or a throw comes); nonzero stops. */
  readonly tick: boolean
  /** Under `fuel`, what to charge for an instantiation: the active segments, at the price of the bulk operations they are. */
  readonly setupFuel: number
  /**
   * Mutable globals, by number among those the module defines, exported as the injected name, `k` and their number: with its
   * memory all that its code changes. Undefined where there is more, such as tables.
   */
  readonly kept: ReadonlyArray<number> | undefined
}

/** Bytes of the injected module name: 110 random bits as letters and digits. Fixed, so that it can be overwritten in place. */
export const injectedNameBytes = 22
