/**
 * Core modules that are plugins by an ABI of their own. Which one is told by what a module imports; each ABI is one
 * folder here and gives a `Blueprint`, so that everything after decoding is the way of any component.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import type { Blueprint } from "../component/blueprint.ts"
import { decodeCoreModule } from "../../schemas/wasm/core-module.ts"
import type { Limits } from "../options.ts"
import type { Loaded } from "./core.ts"
import { splitModules } from "./extism/joined.ts"
import { extismBlueprint, isExtism } from "./extism/mod.ts"
import { preview1Blueprint } from "./preview1/mod.ts"

export function foreignBlueprint(bytes: Uint8Array, limits: Limits): Blueprint {
  if (bytes.length > limits.componentBytesMax) throw new LimitError("componentBytesMax", { limit: limits.componentBytesMax, actual: bytes.length })
  const joined = splitModules(bytes, limits.coreModulesMax)
  if (joined !== undefined) {
    const loaded = (part: Uint8Array): Loaded => ({ bytes: part, module: decodeCoreModule(part, limits) })
    return extismBlueprint(loaded(joined.main), limits, new Map(Array.from(joined.libraries, ([name, part]) => [name, loaded(part)])))
  }
  const main = { bytes, module: decodeCoreModule(bytes, limits) }
  return isExtism(main.module) ? extismBlueprint(main, limits) : preview1Blueprint(main)
}
