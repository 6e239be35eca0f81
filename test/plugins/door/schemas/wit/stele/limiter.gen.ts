// Do not edit, run `node runtime/build/plugins.ts --types --in test/plugins/door`

export interface Config { readonly capacity: bigint; readonly refillPerSecond: bigint; readonly keysMax: number }

export type Problem = { readonly tag: "uninitialised" } | { readonly tag: "invalid-config"; readonly val: string } | { readonly tag: "clock-went-back"; readonly val: bigint } | { readonly tag: "too-many-keys"; readonly val: number } | { readonly tag: "invalid-snapshot"; readonly val: string }

export interface Request { readonly key: string; readonly tokens: bigint; readonly nowMs: bigint }

export type Decision = { readonly tag: "granted"; readonly val: bigint } | { readonly tag: "denied"; readonly val: bigint }

/** What the component exports: `host.load<Exports>(…)` types `plugin.call`. */
export interface Exports {
  readonly "stele:limiter/core#init": (config: Config) => void
  readonly "stele:limiter/core#step": (request: Request) => Decision
  readonly "stele:limiter/core#snapshot": () => Uint8Array
  readonly "stele:limiter/core#restore": (snapshot: Uint8Array) => void
}

/** Payloads of `PluginError` with reason `Guest`, by export. */
export interface Errors {
  readonly "stele:limiter/core#init": Problem
  readonly "stele:limiter/core#step": Problem
  readonly "stele:limiter/core#restore": Problem
}

/** What the component imports; grants decide what it gets. */
export interface Imports {}

