/**
 * What a core module calls the parts of its world. Two conventions are in use, and a module follows one of them:
 * that of today's toolchains (wit-component "legacy": `acme:greeter/api@1.0.0#greet`, `[resource-drop]bucket`, `cabi_realloc`),
 * and that of component-model `design/mvp/BuildTargets.md` (`cm32p2|acme:greeter/api@1|greet`).
 */
import type { CoreModule } from "../wasm/core-module.ts"

/** Names by interface (undefined: the world itself) and by the name that the world gives the function or resource. */
export interface Naming {
  /** The module that a world's imports are taken from. */
  readonly imports: (of: string | undefined) => string
  /** The module that operations on an exported resource are taken from. */
  readonly exported: (of: string) => string
  readonly resource: { readonly [K in "new" | "drop" | "rep"]: (resource: string) => string }
  readonly lift: (of: string | undefined, func: string) => string
  readonly post: (lifted: string) => string
  readonly destructor: (of: string, resource: string) => string
  /** What an exported function is named, whatever it is: the test of whether an export means to be one. */
  readonly isLift: (name: string) => boolean
  readonly memory: string
  readonly initialize: string
  /** The first of them that the module exports. */
  readonly realloc: { readonly lift: ReadonlyArray<string>; readonly lower: ReadonlyArray<string> }
}

const usual: Naming = {
  imports: (of) => of ?? "$root",
  exported: (of) => `[export]${of}`,
  resource: { new: (name) => `[resource-new]${name}`, drop: (name) => `[resource-drop]${name}`, rep: (name) => `[resource-rep]${name}` },
  lift: (of, func) => (of === undefined ? func : `${of}#${func}`),
  post: (lifted) => `cabi_post_${lifted}`,
  destructor: (of, resource) => `${of}#[dtor]${resource}`,
  isLift: (name) => name.includes("#") || name.startsWith("cabi_post_"),
  memory: "memory",
  initialize: "_initialize",
  realloc: { lift: ["cabi_export_realloc", "cabi_realloc"], lower: ["cabi_import_realloc", "cabi_realloc"] },
}

/** A version up to what semver lets change: `1.2.3` is `1`, `0.2.6` is `0.2`, `0.0.3` and pre-releases stay. */
const canonical = (of: string): string =>
  of.replace(/@(\d+)\.(\d+)\.(\d+)(-[^+]*)?(\+.*)?$/, (_all, major: string, minor: string, patch: string, pre: string | undefined) => {
    if (pre !== undefined) return `@${major}.${minor}.${patch}${pre}`
    return `@${major !== "0" ? major : minor !== "0" ? `0.${minor}` : `0.0.${patch}`}`
  })

const standard: Naming = {
  imports: (of) => (of === undefined ? "cm32p2" : `cm32p2|${canonical(of)}`),
  exported: (of) => `cm32p2|_ex_${canonical(of)}`,
  resource: { new: (name) => `${name}_new`, drop: (name) => `${name}_drop`, rep: (name) => `${name}_rep` },
  lift: (of, func) => `cm32p2|${of === undefined ? "" : canonical(of)}|${func}`,
  post: (lifted) => `${lifted}_post`,
  destructor: (of, resource) => `cm32p2|${canonical(of)}|${resource}_dtor`,
  isLift: (name) => name.startsWith("cm32p2|"),
  memory: "cm32p2_memory",
  initialize: "cm32p2_initialize",
  realloc: { lift: ["cm32p2_realloc"], lower: ["cm32p2_realloc"] },
}

/** The convention that a module follows. */
export function namingOf(module: CoreModule): Naming {
  const isStandard = module.imports.some((each) => /^cm32p2(?:\||$)/.test(each.module)) || [...module.exports.keys()].some((name) => /^cm32p2[|_]/.test(name))
  return isStandard ? standard : usual
}
