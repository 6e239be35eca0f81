/** A small plugin that uses the SDK as a project does, compiled with what `stele build` writes beside the bindings. */
import { Host } from "../../../host/host.ts"
import type { Plugin } from "../../../host/plugin.ts"
import { sdkFiles } from "../../../runtime/author/language/sdk.ts"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { assemblyScriptBindings } from "../../../schemas/generate/assemblyscript/mod.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import { compileBindings } from "../../schemas/assemblyscript/build.ts"
import { isFull, seed } from "../../seed.ts"

/** As `stele build` compiles. */
const level = "--optimizeLevel 3 --shrinkLevel 1 --noAssert"

export async function buildGuest(wit: string, source: string): Promise<Uint8Array> {
  const resolve = parseWit(wit)
  const { world, full } = selectWorld(resolve)
  const { exports, files, entry } = assemblyScriptBindings({ world, name: full, notes: resolve.notes })
  const core = await compileBindings({ exports, entry, files: [...files, ...(await sdkFiles())] }, source, level)
  return encodeComponent(world, core, { encoding: "utf16" })
}

export interface Guest extends AsyncDisposable {
  readonly plugin: Plugin
  readonly component: Uint8Array
  /** Calls an export that answers at once. */
  call(name: string, ...args: ReadonlyArray<unknown>): unknown
  /** Peak of the guest's memory, bytes, in a call of this export. */
  peak(name: string, ...args: ReadonlyArray<unknown>): Promise<number>
}

export async function openGuest(wit: string, source: string): Promise<Guest> {
  const component = await buildGuest(wit, source)
  const host = await Host.open()
  const plugin = await host.load(component, { metering: "off", instances: { reuse: "principal" } })
  return {
    plugin,
    component,
    call: (name, ...args) => plugin.callSync(name, args),
    peak: async (name, ...args) => (await plugin.callWithUsage(name, args)).usage.memoryPeakBytes,
    [Symbol.asyncDispose]: () => host.close(),
  }
}

/** How many of something a property is tried on. */
export const many = (small: number): number => (isFull ? small * 40 : small)

/** One of a run's streams of random numbers: xorshift128+ would do as well; this one is 4 lines (splitmix64). */
export function random(stream: bigint): { below(n: number): number; bits(n: number): bigint } {
  let state = (BigInt(seed) << 32n) + stream
  const next = (): bigint => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = state
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return z ^ (z >> 31n)
  }
  return {
    below: (n) => Number(next() % BigInt(n)),
    /** An integer of `n` bits at most. */
    bits: (n) => {
      let value = 0n
      for (let at = 0; at < n; at += 64) value = (value << 64n) | next()
      return BigInt.asUintN(n, value)
    },
  }
}
