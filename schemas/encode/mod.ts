/**
 * A core module and its world → a component: the inverse of `host/component`. Pure: the same bytes and the same world
 * give the same bytes, and nothing of this machine or of this version is in them.
 *
 * The core module has the names of the component model's build conventions (see `naming.ts`); it is put into the
 * component as it is, without the section that tells wit-component its world.
 */
import { EncodeError } from "../error/encode.ts"
import { limits } from "../error/limit.ts"
import { VerifyError } from "../error/verify.ts"
import { type CoreModule, decodeCoreModule } from "../wasm/core-module.ts"
import { Reader } from "../wasm/reader.ts"
import type { CoreSignature, StringEncoding } from "../wit/layout.ts"
import type { FunctionType, ResourceType, World } from "../wit/model.ts"
import { type CanonicalOptions, ComponentWriter } from "./component-writer.ts"
import { Exports } from "./exports.ts"
import { Imports } from "./imports.ts"
import { type Adapted, type CoreImportItem, type Lowered, match, type Match, needsOf } from "./match.ts"
import { decodePreview1, preview1Main } from "./preview1.ts"
import { fixupModule, fixupModules, shimModule } from "./shim.ts"
import { checkWorld, homeless, Owners } from "./world.ts"

export interface EncodeOptions {
  /** How the core module has its strings; default `utf8`. AssemblyScript has `utf16`. */
  readonly encoding?: StringEncoding
  /**
   * `inert`: what the core module imports of WASI preview 1 is answered inside the component, by an adapter that has no files, no arguments, swallows
   * what is written and refuses to be a source of secrets. Otherwise such imports are refused.
   */
  readonly preview1?: "inert"
}

/**
 * The component that `core` is as a plugin of `world`.
 *
 * @throws EncodeError with the import, export or type that does not fit; VerifyError or LimitError for a core module that no host of ours would run.
 */
export function encodeComponent(world: World, core: Uint8Array, options: EncodeOptions = {}): Uint8Array {
  checkWorld(world)
  const imported = new Owners(world.imports)
  const exported = new Owners(world.exports)
  const adapter = options.preview1 === undefined ? undefined : decodePreview1()
  const found = match(world, decode(core), imported, exported, adapter?.functions)
  const out = new ComponentWriter(core.length + 4096)
  /** Types written so far, for whoever writes types of the component's own space. */
  const entries = new Map<string, number>()
  const imports = new Imports(out, world, imported, found, entries)
  const shim = new Shim(out, found, adapter?.bytes)
  const resources = new Map<ResourceType, number>()
  for (const extern of world.exports.values()) {
    if (extern.kind !== "interface") continue
    for (const item of extern.exports.values()) {
      if (item.kind !== "resource-type" || imported.get(item.resource) !== undefined || resources.has(item.resource)) continue
      resources.set(item.resource, out.resource(shim.destructor(item.resource)))
    }
  }

  /** Instances of what the core module imports, by its module names. */
  const given: Array<readonly [name: string, instance: number]> = []
  for (const [name, items] of found.imports) {
    const bundle = Array.from(items, ([item, what]) => ({ name: item, sort: "func" as const, index: coreImport(out, what, imports, resources, shim) }))
    given.push([name, out.coreBundle(bundle)])
  }
  const main = out.coreInstantiate(out.coreModule(withoutWorld(core)), given)

  const memory = found.memory === undefined ? undefined : out.aliasCore("memory", main, found.memory)
  const allocators = new Map<string, number>()
  const optionsOf = (type: FunctionType, direction: "lift" | "lower"): CanonicalOptions => {
    // All options or none: one context for a host to make, where fewer options for some functions would be two or three.
    if (memory === undefined || !needsOf(type, direction).memory) return {}
    const name = found.realloc[direction]
    let realloc = name === undefined ? undefined : allocators.get(name)
    if (name !== undefined && realloc === undefined) allocators.set(name, (realloc = out.aliasCore("func", main, name)))
    return { encoding: options.encoding ?? "utf8", memory, ...(realloc === undefined ? {} : { realloc }) }
  }
  shim.fill(main, (lowered) => out.lower(imports.function(lowered.of, lowered.name), optionsOf(lowered.type, "lower")))
  const exports = new Exports({ out, world, match: found, imported, exported, imports, resources, main, entries, optionsOf: (type) => optionsOf(type, "lift") })
  exports.write()
  return out.bytes()
}

function coreImport(out: ComponentWriter, item: CoreImportItem, imports: Imports, resources: ReadonlyMap<ResourceType, number>, shim: Shim): number {
  if (item.kind === "preview1") return shim.adapted(item)
  if (item.kind === "lower") return shim.stub(item) ?? out.lower(imports.function(item.of, item.name), {})
  return out.resourceOperation(item.kind, resources.get(item.resource) ?? imports.type(item.resource) ?? homeless(item.resource, "the core module's imports"))
}

/** Stubs for what needs the main instance: lowered functions that move values through its memory, and its destructors. */
class Shim {
  readonly #out: ComponentWriter
  readonly #match: Match
  readonly #instance: number | undefined
  readonly #lowered = new Map<Lowered, number>()
  readonly #destructors = new Map<ResourceType, number>()
  readonly #adapted = new Map<string, number>()
  readonly #adapter: Uint8Array | undefined
  readonly #slots: Array<CoreSignature> = []

  constructor(out: ComponentWriter, found: Match, adapter: Uint8Array | undefined) {
    this.#adapter = adapter
    this.#out = out
    this.#match = found
    for (const items of found.imports.values()) {
      for (const item of items.values()) {
        if (item.kind === "lower" && needsOf(item.type, "lower").memory) this.#lowered.set(item, this.#slots.push(item.signature) - 1)
      }
    }
    for (const resource of found.destructors.keys()) this.#destructors.set(resource, this.#slots.push({ params: ["i32"], results: [] }) - 1)
    for (const items of found.imports.values())
      for (const item of items.values()) if (item.kind === "preview1") this.#adapted.set(item.name, this.#slots.push(item.signature) - 1)
    if (this.#slots.length > 0) this.#instance = out.coreInstantiate(out.coreModule([shimModule(this.#slots)]), [])
  }

  #stub(slot: number | undefined): number | undefined {
    return slot === undefined ? undefined : this.#out.aliasCore("func", this.#instance as number, String(slot))
  }

  stub(item: Lowered): number | undefined {
    return this.#stub(this.#lowered.get(item))
  }

  destructor(resource: ResourceType): number | undefined {
    return this.#stub(this.#destructors.get(resource))
  }

  adapted({ name }: Adapted): number {
    return this.#stub(this.#adapted.get(name)) as number
  }

  /** Puts behind the stubs what they stand for, and starts the main module. */
  fill(main: number, lower: (lowered: Lowered) => number): void {
    const { initialize } = this.#match
    if (this.#instance === undefined && initialize === undefined) return
    // The adapter takes the main module's memory, as lowered functions do.
    const adapter =
      this.#adapter === undefined || this.#adapted.size === 0
        ? undefined
        : this.#out.coreInstantiate(this.#out.coreModule([this.#adapter]), [[preview1Main, main]])
    const functions = [
      ...Array.from(this.#lowered.keys(), lower),
      ...Array.from(this.#destructors.keys(), (resource) => this.#out.aliasCore("func", main, this.#match.destructors.get(resource) as string)),
      ...Array.from(this.#adapted.keys(), (name) => this.#out.aliasCore("func", adapter as number, name)),
    ]
    const args: Array<readonly [string, number]> = []
    if (this.#instance !== undefined) {
      args.push([fixupModules.slots, this.#out.coreBundle(functions.map((index, slot) => ({ name: String(slot), sort: "func", index })))])
      args.push([fixupModules.table, this.#instance])
    }
    if (initialize !== undefined) args.push([fixupModules.start, main])
    this.#out.coreInstantiate(this.#out.coreModule([fixupModule(this.#slots, initialize)]), args)
  }
}

function decode(core: Uint8Array): CoreModule {
  try {
    return decodeCoreModule(core, { functionBodyBytesMax: limits.functionBodyBytesMax.default })
  } catch (error) {
    if (error instanceof VerifyError && (error.reason._tag === "Malformed" || error.reason._tag === "NotWasm")) {
      const [offset, detail] = error.reason._tag === "Malformed" ? [error.reason.offset, error.reason.detail] : [0, `it starts with ${error.reason.found}`]
      throw new EncodeError("Core", { offset, detail }, { cause: error })
    }
    throw error
  }
}

/** The module in parts, without the custom sections in which toolchains tell wit-component the world. */
function withoutWorld(core: Uint8Array): ReadonlyArray<Uint8Array> {
  const parts: Array<Uint8Array> = []
  const reader = new Reader(core, 8)
  let from = 0
  while (reader.at < core.length) {
    const start = reader.at
    const id = reader.byte()
    const end = reader.u32() + reader.at
    if (id === 0 && reader.text(core.length).startsWith("component-type")) {
      parts.push(core.subarray(from, start))
      from = end
    }
    reader.at = end
  }
  parts.push(core.subarray(from))
  return parts
}
