/**
 * Leases: something that one process of many does at a time, under a name. A lease ends by itself when its holder does not renew it, so
 * a holder that was stopped may go on and not know it: what it writes carries its token, and is refused once another has had the lease.
 */
import type { KeyValueOperation } from "./key-value.ts"
import type { BatchResults, Operation } from "./store.ts"

export interface LeaseOptions {
  /** Whose rows the lease guards: on PostgreSQL a batch is one tenant's. Default: the host's own, which no guest reaches. In another one keys that start with `lease/` are the lease's. */
  readonly tenant?: Uint8Array
  /** How long others wait for a holder that died, ms, `leaseMsMin` to `leaseMsMax`. Renewed at a third of it. Default 15,000. */
  readonly leaseMs?: number
  /** Who it is, for people: at most `holderBytesMax` bytes of UTF-8. Default: machine and process. */
  readonly holder?: string
}

/** Who has a lease. */
export interface Holder {
  readonly holder: string
  readonly token: number
  /** When it ends unless it is renewed, µs since the Unix epoch on the store's clock. */
  readonly expiresAtUs: number
}

export interface Lease extends AsyncDisposable {
  readonly name: string
  readonly holder: string
  /** Greater than those of all before it under this name, in any process. What takes a token with a write refuses one below the greatest it has seen. */
  readonly token: number
  /** Raised when the lease is somebody else's, or may be: it could not be renewed in time. Its reason is `StorageError` `NotHolder`. */
  readonly signal: AbortSignal
  /** A condition for a batch of the lease's tenant: `Conflict`, and nothing kept, once another has had the lease. */
  readonly fence: Extract<KeyValueOperation, { readonly op: "require" }>
  /**
   * Carries out a batch behind the fence.
   * @throws StorageError `NotHolder`, nothing being kept, and what `Store.apply` throws
   */
  apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>>
  /** Gives it back: the next has it at once. It is no error when it is somebody else's. */
  release(): Promise<void>
}

export interface LeadOptions extends LeaseOptions {
  /** Ends the candidacy: what is held is given back when the work has ended. */
  readonly signal: AbortSignal
  /** How long a candidate sleeps, ms. Default 250. */
  readonly pollMs?: number
}

export const leaseLimits = {
  /** Bytes of a name's UTF-8 form. */
  nameBytesMax: 256,
  holderBytesMax: 256,
  leaseMsMin: 100,
  /** A day. */
  leaseMsMax: 86_400_000,
}
