/**
 * Instances that start where initialisation ended. While a plugin is loaded one instance is initialised as any other,
 * except that it may ask the host for nothing: what it were told would be frozen for all later ones. What it keeps is
 * written into its core modules, which are compiled again. Nothing of a tenant can be in it, so loads of all tenants share
 * it. Loaded by plugins that ask for it.
 */
import { PoolError } from "../../schemas/error/pool.ts"
import { Instance } from "../call/instance.ts"
import type { CoreLayout } from "../../schemas/wasm/core-module.ts"
import type { CompiledModule, Linked, Snapshot } from "../link/prepare.ts"
import type { Needs } from "../meter/needs.ts"
import { bake, constantOf, expose, globalName, keptGlobals, memoryName, type ModuleState, obstacle, runsOf } from "./snapshot-module.ts"

/** Bytes of all runs of a snapshot: they stand in compiled modules, which are kept for as long as the plugin. */
export const snapshotBytesMax = 64 * 1024 ** 2

/** One core module as it came, and as the rewriter wrote it. */
interface Part {
  readonly original: Uint8Array
  readonly layout: CoreLayout
  readonly rewritten: Uint8Array
  readonly needs: Needs
}

const refuse = (detail: string): never => {
  throw new PoolError("Snapshot", { detail })
}

export class SnapshotMaker {
  readonly #injected: string
  readonly #parts: Array<Part> = []

  constructor(injected: string) {
    this.#injected = injected
  }

  /**
   * What to compile in place of a rewritten module, in the order of the component's modules.
   * @throws PoolError `Snapshot` for a module that does what no snapshot repeats
   */
  readonly expose = (original: Uint8Array, layout: CoreLayout, rewritten: Uint8Array, needs: Needs): Uint8Array<ArrayBuffer> => {
    const found = obstacle(original, layout)
    if (found !== undefined) refuse(`core module ${this.#parts.length} ${found}`)
    this.#parts.push({ original, layout, rewritten, needs })
    return expose(original, layout, rewritten, needs, this.#injected)
  }

  /**
   * Initialises an instance and takes what it keeps.
   * @throws PoolError `Snapshot`; whatever a call throws whose instance fails to start
   */
  async take(linked: Linked): Promise<Snapshot> {
    const silent = speechless(linked)
    const instance = linked.blueprint.builtins === undefined ? new Instance(silent) : (linked.waiting as NonNullable<Linked["waiting"]>).create(silent)
    instance.start(linked.callLimits())
    try {
      if (!instance.isUntouched) refuse("initialisation makes resource handles")
      const modules: Array<CompiledModule | undefined> = []
      let bytes = 0
      for (const [i, step] of linked.blueprint.instantiations.entries()) {
        if (step.kind !== "instantiate") {
          modules.push(undefined)
          continue
        }
        const part = this.#parts[step.module] as Part
        const state = this.#stateOf(part, step.module, instance.cores[i] as WebAssembly.Exports)
        for (const run of state.memory?.runs ?? []) bytes += run.bytes.length
        if (bytes > snapshotBytesMax) refuse(`its memories hold more than ${snapshotBytesMax} bytes after initialisation`)
        modules.push(await compileBaked(part, state))
      }
      return { modules, ...instance.usage() }
    } finally {
      instance.discard()
    }
  }

  #stateOf({ original, layout }: Part, number: number, exports: WebAssembly.Exports): ModuleState {
    const memory = exports[memoryName(this.#injected)] as WebAssembly.Memory | undefined
    const globals: Array<ReadonlyArray<number> | undefined> = []
    for (const kept of keptGlobals(original, layout)) {
      const { value } = exports[globalName(this.#injected, kept)] as WebAssembly.Global
      globals[kept] =
        constantOf(layout.globalTypes[layout.globalsImported + kept] as number, value) ??
        refuse(`core module ${number} has a global that holds ${Number.isNaN(value) ? "a NaN, whose bits cannot be read" : "a reference"}`)
    }
    return { memory: memory === undefined ? undefined : { pages: memory.buffer.byteLength / 65_536, runs: runsOf(new Uint8Array(memory.buffer)) }, globals }
  }
}

async function compileBaked({ rewritten, needs }: Part, state: ModuleState): Promise<CompiledModule> {
  const module = await WebAssembly.compile(bake(rewritten, state))
  // Placing the segments was charged when the snapshot was taken, and is in what it used.
  const memory = needs.memory === undefined || state.memory === undefined ? needs.memory : { ...needs.memory, min: state.memory.pages }
  return { module, needs: { ...needs, memory, setupFuel: 0 } }
}

/** The same plugin for an instance that may ask the host for nothing. */
function speechless(linked: Linked): Linked {
  const refusing = (name: string) => (): never => refuse(`initialisation calls "${name}", whose answer would be the same for every later instance`)
  return {
    ...linked,
    functions: new Map(Array.from(linked.functions, ([key, { name }]) => [key, { name, call: refusing(name) }])),
    blueprint: {
      ...linked.blueprint,
      raws: linked.blueprint.raws.map((raw) => ({ ...raw, import: { ...raw.import, call: refusing(`${raw.import.module}#${raw.import.name}`) } })),
    },
    discarded: () => undefined,
    released: () => undefined,
  }
}
