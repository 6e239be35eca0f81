/**
 * The contract of one capability: data and plain functions. Adding a capability is adding one file that exports a
 * `Capability`, and naming it in `host/capability/mod.ts`.
 */
import type { FunctionType, ResourceType, ValueType } from "../../schemas/wit/model.ts"
import type { Limits } from "../options.ts"
import type { Ports, TraceContext } from "../port/mod.ts"
import type { Wasi } from "../wasi/given.ts"
import type { Grant, GrantSet } from "./grant.ts"

/** Limits of a call that host functions count against. */
export type CallQuota = "kernelRunsMax" | "kernelWorkMax"

/**
 * What a host function sees of the call it serves. One object per plugin instance, reused between calls: never
 * keep it beyond the host call.
 */
export interface CallContext {
  /** Opaque tenant; prefixes every port key. */
  readonly tenant: string
  /** `sha256:…` of the component. */
  readonly plugin: string
  /** Live grants: a revocation is seen by the next `allows`. */
  readonly grants: GrantSet
  readonly ports: Ports
  /** Limits in force. */
  readonly limits: Limits
  /** What a program finds when it starts: arguments, environment, streams, directories. */
  readonly wasi: Wasi
  /** Set by `await plugin.call(…, { signal })`. */
  readonly signal: AbortSignal | undefined
  /** The trace that the call is part of, for records and for requests that it makes; undefined where it was made without. */
  readonly trace: TraceContext | undefined
  /** May this host call answer with a promise? The guest is suspended until it settles, or until the call is over. */
  mayWait(): boolean
  /** Aborts when the call is over before a host call has answered, by its deadline, its signal or a failure: for what a wait has begun. */
  ended(): AbortSignal
  /** Milliseconds left of the call's deadline, ≥ 0; `Infinity` without one. */
  remainingMs(): number
  /** The error of a call whose time is over: what waits until then throws it. */
  expired(): Error
  /** Runs `close` once when the instance is discarded: for what is open and in no handle table. */
  atDiscard(close: () => void): void
  /** Counts against a limit of the call, whatever of it the call has used before. @throws LimitError of that name */
  spend(limit: CallQuota, amount: number): void
  /** Counts one use of a grant and the bytes it moved, for `describe()` and the usage record. */
  used(grant: string, bytes: number): void
  /** Records a denial with the observer and returns the error to throw (or to map to the interface's own error). */
  denied(grant: string): Error
}

/**
 * A host function: receives lifted values in the form of HOST.md §1 (records as objects, `result` as `{tag,val}`),
 * returns the same. Throwing a `SteleError` stops the guest with that error; throwing anything else is a
 * `PluginError` with reason `HostCall`. It must not keep references to its arguments' buffers beyond what it copies.
 */
export type HostFunction = (call: CallContext, ...args: ReadonlyArray<never>) => unknown

/** A resource the host owns: what a handle stands for. `drop` runs exactly once, also when the instance is discarded. */
export interface HostResource {
  readonly type: ResourceType
  readonly drop?: (call: CallContext, rep: unknown) => void
}

/** One function served: its declared type (the guest's declaration must equal it) and its implementation. */
export interface HostExport {
  readonly type: FunctionType
  readonly call: HostFunction
  /**
   * Where the guest may wait (`CallContext.mayWait`), it may answer with a promise. `source`: it answers later, or hands out
   * what is waited for, so its plugin is linked to wait; `sink`: it waits for what others handed out.
   */
  readonly waits?: "source" | "sink"
}

/** One interface served under a name, as plain data. Method names are those of the binary: `[method]bucket.get`, `[static]…`, `[constructor]…`. */
export interface HostInterface {
  /** Without version: `wasi:keyvalue/store`. */
  readonly name: string
  /** Served version; an import matches when semver-compatible (same major, or same 0.minor; a pre-release matches only itself). Absent: unversioned. */
  readonly version?: string
  readonly functions: ReadonlyMap<string, HostExport>
  readonly resources: ReadonlyMap<string, HostResource>
  /** Named value types the interface exports, for type checking of `(type (eq …))` imports. */
  readonly types: ReadonlyMap<string, ValueType>
}

/** `sync`: its ports must answer at once. `either`: they may answer later. `async`: they do. What waits is refused at link time without JSPI. */
export type Mode = "sync" | "async" | "either"

export interface Capability {
  /** First word of its grants: `kv`. The inert set uses `inert`. */
  readonly name: string
  /** What an operator must know before granting it, in plain words, one sentence. */
  readonly risk: string
  readonly mode: Mode
  /** Grant patterns it understands, for help and errors: `["kv:read:PREFIX", "kv:write:PREFIX"]`. */
  readonly forms: ReadonlyArray<string>
  /** True for the inert set: linked without any grant, can do nothing to the outside. */
  readonly isInert: boolean
  /** Without a grant its interfaces are part of the inert set: they link, and reach nothing. */
  readonly isInertUngranted?: boolean
  /** Checks and normalises one grant of this capability, from its parts after the name; throws `CapabilityError` `Grammar`. */
  readonly parse: (text: string, parts: ReadonlyArray<string>) => Grant
  /** Is everything `inner` allows also allowed by `outer`? Both are of this capability. */
  readonly subset: (inner: Grant, outer: Grant) => boolean
  readonly interfaces: ReadonlyArray<HostInterface>
  /** Interfaces that are loaded when a plugin first imports one of them: most hosts never need these tables. Names without version. */
  readonly later?: { readonly names: ReadonlyArray<string>; readonly load: () => Promise<ReadonlyArray<HostInterface>> }
  /** The least grant that lets `interface#function` be linked, for the error that names it: `kv:read:*`. */
  readonly needs: (interfaceName: string) => string
  /** Heads (`kv:read`) or capabilities (`http`), any one of which granted lets the interface be linked; none: it needs no grant. */
  readonly heads: (interfaceName: string) => ReadonlyArray<string>
  /** Ports its functions call; one that is `isAsync` needs a guest that can wait. */
  readonly ports: ReadonlyArray<keyof Ports>
}
