/**
 * Extism plugins, unmodified: core modules that import `extism:host/env`. A kernel of ours is instantiated before the
 * plugin and linked to it by its exports, so that loads and stores never enter JavaScript (docs/adr/0029-extism.md).
 */
import { ExtismError } from "../../../schemas/error/extism.ts"
import type { Blueprint } from "../../component/blueprint.ts"
import type { CoreModule } from "../../../schemas/wasm/core-module.ts"
import type { Limits } from "../../options.ts"
import { printable } from "../../../schemas/wit/name.ts"
import { coreBlueprint, type ForeignExport, type Library, type Loaded } from "../core.ts"
import { preview1Import } from "../preview1/mod.ts"
import { bindFunction, pluginFunction } from "./call.ts"
import { envFunctions } from "./env.ts"
import { kernelContext, kernelRef, loadKernel, pluginFunctions } from "./kernel.ts"
import { envModule, mainName, userModule } from "./names.ts"
import { userFunction } from "./user.ts"

export const isExtism = ({ imports }: CoreModule): boolean => imports.some(({ module }) => module === envModule || module === userModule)

/** A function of this name with these parameters, and no result or any one. */
const has = ({ exports }: CoreModule, name: string, params: number): boolean => {
  const found = exports.get(name)
  return found?.kind === "func" && found.type.params.length === params && found.type.params.every((param) => param === "i32")
}

/** What makes a module ready, as Extism's hosts call it: Haskell's runtime, a reactor's constructors, or nothing. */
function startOf(module: CoreModule): ReadonlyArray<string> {
  const reactor = has(module, "_initialize", 0) ? ["_initialize"] : []
  if (has(module, "hs_init", 2)) return [...reactor, "hs_init"]
  return has(module, "__wasm_call_ctors", 0) ? ["__wasm_call_ctors"] : reactor
}

const starts: ReadonlySet<string> = new Set(["_initialize", "hs_init", "__wasm_call_ctors"])

/**
 * Each library behind those that it imports from. As Extism's hosts link them: all are instantiated, imported or not, and
 * a reactor is initialised. What runs once, a command, is no library.
 */
function inOrder(libraries: ReadonlyMap<string, Loaded>): ReadonlyArray<Library> {
  const ordered: Array<Library> = []
  const state = new Map<string, "entered" | "done">()
  const visit = (name: string, loaded: Loaded): void => {
    if (state.get(name) === "done") return
    const refuse = (detail: string): never => {
      throw new ExtismError("Link", { module: printable(name), detail })
    }
    if (state.get(name) === "entered") refuse("it imports from itself, in the end")
    if (has(loaded.module, "_start", 0)) refuse("it is a command, which runs once and exports nothing to others")
    state.set(name, "entered")
    for (const { module: from } of loaded.module.imports) {
      if (from === mainName) refuse("it imports from the main module, which comes last")
      const other = libraries.get(from)
      if (other !== undefined) visit(from, other)
    }
    state.set(name, "done")
    ordered.push({ name, loaded, start: has(loaded.module, "_initialize", 0) ? ["_initialize"] : [] })
  }
  for (const [name, loaded] of libraries) visit(name, loaded)
  return ordered
}

/** `libraries`: the other modules of a manifest, by name. Only the main module's functions are called from outside. */
export function extismBlueprint(main: Loaded, limits: Limits, libraries: ReadonlyMap<string, Loaded> = new Map()): Blueprint {
  const bind = bindFunction(limits)
  const exports: Array<ForeignExport> = []
  for (const [name, type] of main.module.exports) {
    if (type.kind !== "func" || starts.has(name)) continue
    const { params, results } = type.type
    if (params.length > 0 || results.length > 1 || results.some((each) => each !== "i32")) continue
    exports.push({ name, type: pluginFunction, core: name, binding: bind })
  }
  return coreBlueprint({
    main,
    before: [loadKernel(limits)],
    context: kernelContext,
    resolve: (module, name, type) => {
      if (module === envModule) return pluginFunctions.has(name) ? kernelRef(name) : envFunctions.get(name)
      if (module === "wasi_snapshot_preview1" || module === "wasi_unstable") return preview1Import(module, name)
      if (type.kind !== "func") return undefined
      return userFunction(module, name, type.type)
    },
    libraries: inOrder(libraries),
    start: startOf(main.module),
    exports,
    abi: "Extism",
  })
}
