/**
 * A fence around a store, as data: from its commit on nobody writes there, in any process, and whoever tries is told where the
 * store went. It is how a store is moved while it is used.
 */

export interface Fence {
  /** The store that takes its place, without a password. */
  readonly to: string
  /** `moving`: the other store is not open for writers yet, and the fence may be taken away. `moved`: it is. */
  readonly state: "moving" | "moved"
}

/** Puts the fence up, changes it, or (`undefined`) takes it away. The one operation that a fenced store takes, alone in its batch. */
export interface FenceOperation {
  readonly op: "fence"
  readonly tenant: Uint8Array
  readonly fence: Fence | undefined
}

export interface FenceResults {
  readonly fence: undefined
}

export interface FenceQuestion {
  readonly ask: "fence"
}

export interface FenceAnswers {
  readonly fence: Fence | undefined
}
