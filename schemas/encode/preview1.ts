/** WASI preview 1 inside a component (`preview1.wat`), for languages whose runtime asks for it whatever the plugin does. */
import { limits } from "../error/limit.ts"
import { fromBase64 } from "../value/base64.ts"
import { decodeCoreModule } from "../wasm/core-module.ts"
import type { CoreSignature, FlatType } from "../wit/layout.ts"
import { preview1Base64 } from "./preview1.gen.ts"

/** The module that the adapter takes `memory` from. */
export const preview1Main = "main"

export interface Preview1Adapter {
  readonly bytes: Uint8Array
  readonly functions: ReadonlyMap<string, CoreSignature>
}

let adapter: Preview1Adapter | undefined

export function decodePreview1(): Preview1Adapter {
  if (adapter !== undefined) return adapter
  const bytes = fromBase64(preview1Base64) as Uint8Array
  const functions = new Map<string, CoreSignature>()
  for (const [name, type] of decodeCoreModule(bytes, { functionBodyBytesMax: limits.functionBodyBytesMax.default }).exports) {
    if (type.kind !== "func") continue
    functions.set(name, { params: type.type.params as ReadonlyArray<FlatType>, results: type.type.results as ReadonlyArray<FlatType> })
  }
  adapter = { bytes, functions }
  return adapter
}
