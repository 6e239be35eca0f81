/**
 * `stele/host`: the embeddable core. Component bytes in, callable plugin out; no server, no SQL, no command line.
 */
export * from "../schemas/error/mod.ts"
export { GuestResource } from "./call/handles.ts"
export type { Capability, CallContext, HostExport, HostFunction, HostInterface, HostResource } from "./capability/capability.ts"
export { attenuate, type Grant, type GrantReport, isSubset, parseGrant, printGrant } from "./capability/grant.ts"
export { Host, type HostOptions, type Source } from "./host.ts"
export type { PullBytes, Terminal } from "./wasi/given.ts"
export type { ImportReport, ProvidedInterface } from "./link/link.ts"
export { type CallOptions, defaultLimits, type Limits, type LoadOptions, type ReplaceOptions, type WasiCallOptions, type WasiOptions } from "./options.ts"
export { type Description, Plugin } from "./plugin.ts"
export type { PoolCounts } from "./pool/pool.ts"
export type { AnswerOf, Arguments, ExportName, UntypedExports } from "../schemas/wit/exports.ts"
export { type Wait, waits } from "./link/waits.ts"
export * from "./port/mod.ts"
