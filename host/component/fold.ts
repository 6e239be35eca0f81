/**
 * Folds wit-component's shim and fix-up modules out of a blueprint. A component whose lowered imports need the main
 * module's memory instantiates three core modules: a shim of stubs that call through a table, the main module on those
 * stubs, and a fix-up module whose one element segment fills the table and whose start function may be the main
 * module's initialiser. Our lowered functions find their memory when they are called, so the main module can have them
 * directly: two compilations and instantiations fewer, and no indirect call on each host call (measured on the echo
 * guest: 3 × 100 µs to compile, 3 × 8 µs to instantiate).
 *
 * Recognition is exact and by meaning, not by name: a module that differs in anything stays as it is.
 */
import { type CoreExternType, type CoreImport, type CoreModule, CoreReader, isSameSignature } from "../../schemas/wasm/core-module.ts"
import type { Blueprint, CoreInstantiation, CoreRef } from "./blueprint.ts"

type Loaded = Blueprint["coreModules"][number]

/** Reads LEB128 of at most 32 bits at `at.position`. The bytes belong to a decoded module: malformed ones do not come here, absurd ones read as −1. */
function u32(bytes: Uint8Array, at: { position: number }): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at.position++] ?? 0x80
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  return -1
}

const isSection = (module: CoreModule, id: number): boolean => module.layout.sections[id] !== undefined

/** Table slot that each export of a shim calls, by name; undefined when the module is no shim. */
function shimSlots({ bytes, module }: Loaded): ReadonlyMap<string, number> | undefined {
  const { layout } = module
  // The engine never sees a module that is folded: what it would refuse must not pass here.
  if (layout.tables[0]?.element !== funcref) return undefined
  // Sections: type, function, table, export, code; nothing imported, one table, no memory, global, start, element or data.
  if ([2, 5, 6, 8, 9, 11, 13].some((id) => isSection(module, id)) || layout.tables.length !== 1) return undefined
  const slots: Array<number> = []
  for (let f = 0; f < module.functionCount; f++) {
    const at = { position: layout.bodyStarts[f] as number }
    const type = layout.functionTypes[f] as number
    const params = layout.types[type]?.params.length ?? 0
    if (bytes[at.position++] !== 0x00) return undefined // no locals
    for (let p = 0; p < params; p++) {
      if (bytes[at.position++] !== 0x20 || u32(bytes, at) !== p) return undefined // local.get p
    }
    if (bytes[at.position++] !== 0x41) return undefined // i32.const
    const slot = u32(bytes, at)
    // One more byte would make the constant negative: LEB128 of i32.const is signed.
    if (slot < 0 || slot >= (layout.tables[0] as { min: number }).min || ((bytes[at.position - 1] as number) & 0x40) !== 0) return undefined
    if (bytes[at.position++] !== 0x11 || u32(bytes, at) !== type || u32(bytes, at) !== 0) return undefined // call_indirect type, table 0
    if (bytes[at.position++] !== 0x0b || at.position !== layout.bodyEnds[f]) return undefined
    slots.push(slot)
  }
  const byName = new Map<string, number>()
  // Exports: functions by index order are not recorded in the header, so read the section itself.
  const section = layout.sections[7]
  if (section === undefined) return byName
  const reader = new CoreReader(bytes, section[0], section[1])
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.name()
    const kind = reader.byte()
    const index = reader.u32()
    if (kind === 0x00) {
      const slot = slots[index]
      if (slot === undefined) return undefined
      byName.set(name, slot)
    } else if (kind !== 0x01) return undefined
  }
  return byName
}

const funcref = 0x70

interface Fixup {
  /** Import number of the function in each table slot. */
  readonly elements: ReadonlyArray<number>
  /** Import number of the start function, if there is one. */
  readonly start: number | undefined
}

/** What a fix-up module does; undefined when it does anything else. `elements` is empty for one that only starts. */
function fixup({ bytes, module }: Loaded): Fixup | undefined {
  const { layout } = module
  if ([3, 4, 5, 6, 7, 10, 11, 13].some((id) => isSection(module, id)) || layout.memoriesImported > 0 || layout.globalsImported > 0) return undefined
  // Function index → position among the imports.
  const functions = module.imports.flatMap(({ type }, i) => (type.kind === "func" ? [i] : []))
  const elements: Array<number> = []
  const segment = layout.sections[9]
  if (segment !== undefined) {
    const at = { position: segment[0] }
    // one active segment of table 0 at offset 0: count 1, flags 0, i32.const 0, end
    if (u32(bytes, at) !== 1 || u32(bytes, at) !== 0) return undefined
    if (bytes[at.position++] !== 0x41 || bytes[at.position++] !== 0x00 || bytes[at.position++] !== 0x0b) return undefined
    for (let left = u32(bytes, at); left > 0; left--) {
      const position = functions[u32(bytes, at)]
      if (position === undefined) return undefined
      elements.push(position)
    }
    if (at.position !== segment[1]) return undefined
  }
  if (layout.tablesImported > 1 || (layout.tablesImported === 1) !== (segment !== undefined)) return undefined
  const start = layout.start === undefined ? undefined : functions[layout.start]
  if (layout.start !== undefined) {
    const type = start === undefined ? undefined : (module.imports[start] as CoreImport).type
    if (type?.kind !== "func" || type.type.params.length > 0 || type.type.results.length > 0) return undefined
  }
  return { elements, start }
}

const isExport = (ref: CoreRef | undefined, instance: number): ref is CoreRef & { readonly kind: "export" } =>
  ref?.kind === "export" && ref.instance === instance

/** One answer a module, however often it is instantiated. */
function remembered<A>(read: (loaded: Loaded) => A): (loaded: Loaded) => A {
  const known = new Map<Loaded, A>()
  return (loaded) => {
    if (!known.has(loaded)) known.set(loaded, read(loaded))
    return known.get(loaded) as A
  }
}

/** Would `call_indirect` accept it? Another type is a trap there, and values of the wrong type for the host here. */
const isSameFunction = (a: CoreExternType | undefined, b: CoreExternType | undefined): boolean =>
  a?.kind === "func" && b?.kind === "func" && isSameSignature(a.type, b.type)

/** Would the engine give `table` for an import of `wanted` and copy `count` elements into it? */
const takesElements = (table: CoreExternType | undefined, wanted: CoreExternType | undefined, count: number): boolean =>
  table?.kind === "table" &&
  wanted?.kind === "table" &&
  table.element === wanted.element &&
  table.min >= wanted.min &&
  (wanted.max === undefined || (table.max !== undefined && table.max <= wanted.max)) &&
  count <= table.min

/** The blueprint without its shims and fix-ups. */
export function foldShims(blueprint: Blueprint): Blueprint {
  // A shim, its fix-up and a main module that has the stubs.
  if (blueprint.coreModules.length < 2) return blueprint
  const steps: Array<CoreInstantiation> = [...blueprint.instantiations]
  const fixupOf = remembered(fixup)
  const slotsOf = remembered(shimSlots)
  const loadedAt = (step: CoreInstantiation & { readonly kind: "instantiate" }): Loaded => blueprint.coreModules[step.module] as Loaded
  /** Shim instance → what stands for each of its exports. */
  const replaced = new Map<number, ReadonlyMap<string, CoreRef>>()
  const swap = (ref: CoreRef): CoreRef => {
    // A stub may stand for another shim's stub. What stands for a stub is never that shim's own: the chain ends.
    for (let at = ref; ;) {
      const item = at.kind === "export" ? replaced.get(at.instance)?.get(at.name) : undefined
      if (item === undefined) return at
      at = item
    }
  }
  const everyRef = (visit: (ref: CoreRef) => void): void => {
    for (const { memory, realloc } of blueprint.contexts) for (const ref of [memory, realloc]) if (ref !== undefined) visit(ref)
    for (const { core, postReturn } of blueprint.lifts) for (const ref of [core, postReturn]) if (ref !== undefined) visit(ref)
    for (const { destructor } of blueprint.resources.values()) if (destructor !== undefined) visit(destructor)
  }

  for (let f = 0; f < steps.length; f++) {
    const step = steps[f] as CoreInstantiation
    if (step.kind !== "instantiate") continue
    const filler = fixupOf(loadedAt(step))
    if (filler === undefined) continue
    const starts = (): CoreInstantiation =>
      filler.start === undefined ? { kind: "nothing" } : { kind: "start", func: (step.imports[filler.start] as { item: CoreRef }).item }
    const wanted = loadedAt(step).module.imports
    const tableAt = wanted.findIndex(({ type }) => type.kind === "table")
    if (tableAt < 0) {
      steps[f] = starts()
      continue
    }
    const table = (step.imports[tableAt] as { item: CoreRef }).item
    if (table.kind !== "export") continue
    const shim = table.instance
    const shimStep = steps[shim]
    if (shimStep?.kind !== "instantiate") continue
    const { module: shimModule } = loadedAt(shimStep)
    if (!takesElements(shimModule.exports.get(table.name), wanted[tableAt]?.type, filler.elements.length)) continue
    const slots = slotsOf(loadedAt(shimStep))
    if (slots === undefined) continue
    const items = new Map<string, CoreRef>()
    let isWhole = true
    for (const [name, slot] of slots) {
      const position = filler.elements[slot]
      const item = position === undefined ? undefined : swap((step.imports[position] as { item: CoreRef }).item)
      // A stub that calls itself through the table recurses; it has nothing to stand for it.
      if (position === undefined || item === undefined || isExport(item, shim) || !isSameFunction(shimModule.exports.get(name), wanted[position]?.type))
        isWhole = false
      else items.set(name, item)
    }
    // Nobody else may see the table, or a stub before what replaces it exists.
    const holds = (ref: CoreRef, at: number): boolean => {
      if (!isExport(ref, shim)) return true
      const item = items.get(ref.name)
      return item !== undefined && (item.kind !== "export" || item.instance < at)
    }
    for (let at = 0; at < steps.length && isWhole; at++) {
      const other = steps[at] as CoreInstantiation
      if (at === f || other.kind === "nothing") continue
      // Code that runs before the table is filled traps on an empty entry: with what stands for it, it would not.
      const runs = other.kind === "start" || loadedAt(other).module.layout.start !== undefined
      if (runs && at > shim && at < f) isWhole = false
      else if (other.kind === "start") isWhole = holds(other.func, at)
      else isWhole = other.imports.every(({ item }) => holds(item, at))
    }
    if (isWhole) everyRef((ref) => (isWhole &&= holds(ref, steps.length)))
    if (!isWhole) continue
    replaced.set(shim, items)
    steps[shim] = { kind: "nothing" }
    steps[f] = starts()
  }

  const swapAny = (ref: CoreRef | undefined): CoreRef | undefined => (ref === undefined ? undefined : swap(ref))
  const modules: Array<Loaded> = []
  const moduleAt = new Map<number, number>()
  const instantiations = steps.map((step): CoreInstantiation => {
    if (step.kind === "nothing") return step
    if (step.kind === "start") return { kind: "start", func: swap(step.func) }
    let module = moduleAt.get(step.module)
    if (module === undefined) {
      module = modules.push(blueprint.coreModules[step.module] as Loaded) - 1
      moduleAt.set(step.module, module)
    }
    return { kind: "instantiate", module, imports: step.imports.map((entry) => ({ ...entry, item: swap(entry.item) })) }
  })
  return {
    ...blueprint,
    coreModules: modules,
    instantiations,
    contexts: blueprint.contexts.map((spec) => ({ ...spec, memory: swapAny(spec.memory), realloc: swapAny(spec.realloc) })),
    lifts: blueprint.lifts.map((spec) => ({ ...spec, core: swap(spec.core), postReturn: swapAny(spec.postReturn) })),
    resources: new Map(Array.from(blueprint.resources, ([resource, spec]) => [resource, { ...spec, destructor: swapAny(spec.destructor) }])),
  }
}
