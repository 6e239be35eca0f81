/** The kernel that is instantiated before each plugin: which of its functions are the plugin's, and which the host's. */
import { fromBase64 } from "../../../schemas/value/base64.ts"
import type { ContextSpec, CoreRef } from "../../component/blueprint.ts"
import { decodeCoreModule } from "../../../schemas/wasm/core-module.ts"
import type { Limits } from "../../options.ts"
import type { Loaded } from "../core.ts"
import { kernelBase64 } from "./kernel.gen.ts"

/** What a plugin may import of it: the names of the kernel that Extism publishes. */
export const pluginFunctions: ReadonlySet<string> = new Set([
  "alloc",
  "free",
  "length",
  "length_unsafe",
  "load_u8",
  "load_u64",
  "store_u8",
  "store_u64",
  "input_set",
  "input_offset",
  "input_length",
  "input_load_u8",
  "input_load_u64",
  "output_set",
  "output_offset",
  "output_length",
  "error_set",
  "error_get",
  "memory_bytes",
  "reset",
])

/** Positions in `AbiContext.functions`. */
export const hostFunction = { alloc: 0, length: 1, outputAt: 2, outputSize: 3, errorAt: 4, errorSize: 5 } as const

/** Instance number of the kernel. */
export const kernelInstance = 0
const ref = (name: string): CoreRef => ({ kind: "export", instance: kernelInstance, name })

/** Its memory and what the host calls of it; `begin` takes the place of an allocator, so that input is lowered like any list. */
export const kernelContext: Omit<ContextSpec, "owner" | "encoding"> = {
  memory: ref("memory"),
  realloc: ref("begin"),
  functions: ["alloc", "length", "output_at", "output_size", "error_at", "error_size"].map(ref),
}

export const kernelRef = ref

let bytes: Uint8Array | undefined

export function loadKernel(limits: Limits): Loaded {
  bytes ??= fromBase64(kernelBase64) as Uint8Array
  return { bytes, module: decodeCoreModule(bytes, limits) }
}
