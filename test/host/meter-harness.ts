/** Runs core modules plain and rewritten, for the tests of `host/meter` and `host/harden`. */
import { decodeCoreModule } from "../../schemas/wasm/core-module.ts"
import type { Needs, Tier } from "../../host/meter/needs.ts"
import { rewriteCoreModule, type RewriteOptions } from "../../host/meter/rewrite.ts"

export const injectedModule = "injected:test"
export const tiers: ReadonlyArray<Tier> = ["off", "deadline", "slice", "fuel"]

export type GuestFunction = (...args: ReadonlyArray<number | bigint>) => number | bigint | undefined

export interface RunOptions {
  readonly tier: Tier
  readonly imports?: WebAssembly.Imports
  /** Bytes of guest stack; default 256 KiB. */
  readonly stackBytes?: number
  /** Fuel of the first slice; under `fuel` with `slice` given, the whole budget. */
  readonly fuel?: bigint
  /** Fuel handed out by each tick; by default the whole budget at once. */
  readonly slice?: bigint
  /** Pages and elements that may be grown. */
  readonly pages?: number
  readonly elements?: number
  readonly memoryPagesMax?: number
  readonly tableElementsMax?: number
  readonly test?: RewriteOptions["test"]
  readonly validate?: () => void
  /** Replaces the built-in tick. */
  readonly tick?: () => number
}

export const rewrite = (bytes: Uint8Array, options: RunOptions): { readonly bytes: Uint8Array<ArrayBuffer>; readonly needs: Needs } =>
  rewriteCoreModule(bytes, decodeCoreModule(bytes, { functionBodyBytesMax: 8 << 20 }), {
    tier: options.tier,
    injectedModule,
    memoryPagesMax: options.memoryPagesMax ?? 1_024,
    tableElementsMax: options.tableElementsMax ?? 100_000,
    functionBodyBytesMax: 8 << 20,
    ...(options.test === undefined ? {} : { test: options.test }),
    ...(options.validate === undefined ? {} : { validate: options.validate }),
  })

export interface Guest {
  readonly exports: Readonly<Record<string, GuestFunction>> & { readonly memory?: WebAssembly.Memory }
  readonly all: WebAssembly.Exports
  readonly epoch: Int32Array
  readonly stack: WebAssembly.Global<"i32">
  readonly pages: WebAssembly.Global<"i32">
  readonly elements: WebAssembly.Global<"i32">
  readonly needs: Needs
  readonly ticks: { count: number }
  /** Fuel used so far. */
  used(): bigint
  /** Fuel left; below zero is exhausted. */
  left(): bigint
}

const compiled = new WeakMap<Uint8Array, Map<string, { readonly module: WebAssembly.Module; readonly needs: Needs }>>()

/** Rewrites, compiles and instantiates; a module is rewritten and compiled once for each set of rewriting options. */
export function instantiate(bytes: Uint8Array<ArrayBuffer>, options: RunOptions): Guest {
  const key = JSON.stringify([options.tier, options.memoryPagesMax, options.tableElementsMax, options.test])
  let cache = compiled.get(bytes)
  if (cache === undefined) compiled.set(bytes, (cache = new Map()))
  let found = cache.get(key)
  if (found === undefined) {
    const rewritten = rewrite(bytes, options)
    cache.set(key, (found = { module: new WebAssembly.Module(rewritten.bytes), needs: rewritten.needs }))
  }
  const { module, needs } = found
  const budget = options.fuel ?? 1n << 50n
  const slice = options.slice ?? budget
  const first = slice < budget ? slice : budget
  let reserve = budget - first
  const fuel = new WebAssembly.Global({ value: "i64", mutable: true }, first)
  const stack = new WebAssembly.Global({ value: "i32", mutable: true }, options.stackBytes ?? 256 << 10)
  const pages = new WebAssembly.Global({ value: "i32", mutable: true }, options.pages ?? 1_024)
  const elements = new WebAssembly.Global({ value: "i32", mutable: true }, options.elements ?? 100_000)
  const epochMemory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const ticks = { count: 0 }
  const tick =
    options.tick ??
    ((): number => {
      ticks.count++
      const total = reserve + fuel.value
      if (total < 0n) return 1
      const next = slice < total ? slice : total
      fuel.value = next
      reserve = total - next
      return 0
    })
  const injected: Record<string, WebAssembly.ImportValue> = {}
  if (needs.epoch) injected["epoch"] = epochMemory
  if (needs.memory !== undefined) injected["memory"] = new WebAssembly.Memory({ initial: needs.memory.min, maximum: needs.memory.max })
  if (needs.fuel) injected["fuel"] = fuel
  if (needs.stack) injected["stack"] = stack
  if (needs.pages) injected["pages"] = pages
  if (needs.elements) injected["elements"] = elements
  if (needs.tick) injected["tick"] = tick
  const instance = new WebAssembly.Instance(module, { ...options.imports, [injectedModule]: injected })
  return {
    exports: instance.exports as unknown as Guest["exports"],
    all: instance.exports,
    epoch: new Int32Array(epochMemory.buffer),
    stack,
    pages,
    elements,
    needs,
    ticks,
    used: () => budget - reserve - fuel.value,
    left: () => reserve + fuel.value,
  }
}

/** The module as it is. */
export const plain = (bytes: Uint8Array<ArrayBuffer>, imports: WebAssembly.Imports = {}): Guest["exports"] =>
  new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports as unknown as Guest["exports"]

/** What a call did, comparable: its results, or the trap's message. */
export function outcome(run: () => unknown): string {
  try {
    const result = run()
    return Array.isArray(result) ? result.map(show).join() : show(result)
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return `trap: ${error.message}`
    if (error instanceof RangeError) return `range: ${error.message}`
    throw error
  }
}

const show = (value: unknown): string => (typeof value === "bigint" ? `${value}n` : Object.is(value, -0) ? "-0" : String(value))
