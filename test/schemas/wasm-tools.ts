/**
 * wasm-tools, as jco ships them, for input that nobody has chosen: some makes them panic, which ends their instance and says
 * nothing of the input. That is told apart from a refusal, and the next call has a fresh instance.
 */
import type { componentEmbed } from "@bytecodealliance/jco-transpile/wasm-tools"

/** Some options are missing in its types. */
type Embedding = Omit<Parameters<typeof componentEmbed>[0], "features"> & { readonly dummy?: boolean; readonly features?: { readonly tag: "all" } }
interface Tools {
  componentEmbed(options: Embedding): Uint8Array
  componentNew(core: Uint8Array, adapters?: ReadonlyArray<readonly [string, Uint8Array]>): Uint8Array
  componentWit(component: Uint8Array): string
}

/** What wasm-tools say of what they were given. */
export class Refusal extends Error {}
/** Where wasm-tools panicked. */
export class Panic extends Error {}

/** The module behind the package's: another query is another instance. */
const vendor = import.meta.resolve("@bytecodealliance/jco-transpile/wasm-tools").replace(/dist\/[^/]*$/, "vendor/wasm-tools.js")
let instances = 0
async function start(): Promise<Tools> {
  const module = (await import(`${vendor}?instance=${instances++}`)) as { readonly tools: Tools; readonly $init: Promise<void> }
  await module.$init
  return module.tools
}
let running: Promise<Tools> | undefined

/** What a call of wasm-tools answers. Rejects with a `Refusal` or a `Panic`, and with any other error of the call as it is. */
export async function wasmTools<A>(call: (tools: Tools) => A): Promise<A> {
  const tools = await (running ??= start())
  try {
    return call(tools)
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || String(error).includes("wasm trap")) {
      running = undefined
      throw new Panic(`wasm-tools panicked: ${String(error)}`, { cause: error })
    }
    const { payload } = error as { readonly payload?: unknown }
    if (typeof payload === "string") throw new Refusal(payload, { cause: error })
    throw error
  }
}
