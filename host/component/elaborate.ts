/**
 * Component syntax → blueprint: runs the definitions once, symbolically, in order. Imports of the root become named
 * host imports; nested components are instantiated in place with the actual arguments, so every type check compares
 * concrete types and resources compare by identity (their generativity is that of this one run). A component that is
 * never instantiated is only parsed.
 *
 * Bounds: instances ≤ `instancesMax` (which also ends recursive instantiation), every type ≤ `typeSizeMax` leaves and
 * ≤ `typeDepthMax` levels by memoised counting, definitions executed ≤ `definitionsMax`.
 *
 * Source: component-model `design/mvp/Explainer.md` and `Binary.md`, validation clauses.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { VerifyError } from "../../schemas/error/verify.ts"
import { differenceText, functionDifference, type TypeDifference, typeDifference } from "../../schemas/wit/equal.ts"
import { flatResultsMax, flattenExport, flattenImport, layoutOf, paramsLayout } from "../../schemas/wit/layout.ts"
import {
  type Case,
  errorContext,
  type ExternType,
  type FunctionType,
  future,
  type InterfaceType,
  primitive,
  renamed,
  type ResourceType,
  stream,
  type TypeName,
  type ValueType,
  type World,
} from "../../schemas/wit/model.ts"
import { anywhere, children } from "../../schemas/wit/tree.ts"
import { type CoreExternType, type CoreFunctionType, type CoreModule, decodeCoreModule, isSameSignature } from "../../schemas/wasm/core-module.ts"
import {
  type Blueprint,
  type BuiltinSpec,
  type ContextSpec,
  type CoreInstantiation,
  type CoreRef,
  type ExportSpec,
  type FunctionSource,
  type ImportSpec,
  type LiftSpec,
  type LoweringSpec,
  type ResourceImportSpec,
  type ResourceSpec,
  resourceSignatures,
} from "./blueprint.ts"
import type { AsyncForms, CanonicalOptions, ComponentSyntax, CoreSort, Definition, ExternSyntax, Sort, SortIndex, TypeRef, ValueSyntax } from "./decode.ts"
import { foldShims } from "./fold.ts"
import { printable, resourceFunction } from "../../schemas/wit/name.ts"

export interface ElaborateLimits {
  readonly instancesMax: number
  readonly typeSizeMax: number
  readonly typeDepthMax: number
  readonly functionBodyBytesMax: number
  readonly memoryBytesMax: number
  readonly tableElementsMax: number
}

/**
 * Definitions executed for one component, re-evaluated interface types included, each counted with the parts it makes or
 * compares: a record of 9,000 fields that 20,000 imports declare is 400 KB to read and gigabytes to hold. wasi:cli's
 * world takes about 10,000.
 */
const definitionsMax = 500_000

/** Pairs of memory and allocator, per component instance and string encoding. Each instance makes views for each; toolchains make one to three. */
const contextsMax = 1_024

// ── Entities ────────────────────────────────────────────────────────────────

interface Func {
  readonly sort: "func"
  readonly type: FunctionType
  readonly source: FunctionSource
}
interface Instance {
  readonly sort: "instance"
  readonly exports: ReadonlyMap<string, Entity>
}
interface Component {
  readonly sort: "component"
  readonly syntax: ComponentSyntax
  readonly scope: Captured
}
interface Module {
  readonly sort: "core-module"
  readonly bytes: Uint8Array
  readonly offset: number
}
type TypeEntity = { readonly sort: "type" } & (
  | { readonly kind: "value"; readonly type: ValueType }
  | { readonly kind: "function"; readonly type: FunctionType }
  | { readonly kind: "resource"; readonly resource: ResourceType }
  | { readonly kind: "instance" | "component"; readonly declarations: ReadonlyArray<Definition>; readonly scope: Captured }
)
type Entity = Func | Instance | Component | Module | TypeEntity
interface CoreItem {
  readonly ref: CoreRef
  readonly type: CoreExternType
}
/** Exports by name; a module's are made when asked for, since 60 instances of 100,000 exports each would not fit the heap. */
type CoreInstance = Pick<ReadonlyMap<string, CoreItem>, "get">

/** Index spaces of one component, component instance or type under construction. */
interface Scope {
  readonly parent: Captured | undefined
  /** Component instance number, or −1 inside a type. */
  readonly owner: number
  readonly func: Array<Func>
  readonly type: Array<TypeEntity>
  readonly instance: Array<Instance>
  readonly component: Array<Component>
  readonly "core-module": Array<Module>
  readonly "core-instance": Array<CoreInstance>
  readonly core: { readonly [K in "core-func" | "core-table" | "core-memory" | "core-global" | "core-tag"]: Array<CoreItem> }
}

/** A scope as an inner definition sees it: what was defined before it, nothing later. */
interface Captured {
  readonly scope: Scope
  readonly type: number
  readonly component: number
  readonly "core-module": number
}

const newScope = (parent: Captured | undefined, owner: number): Scope => ({
  parent,
  owner,
  func: [],
  type: [],
  instance: [],
  component: [],
  "core-module": [],
  "core-instance": [],
  core: { "core-func": [], "core-table": [], "core-memory": [], "core-global": [], "core-tag": [] },
})

const capture = (scope: Scope): Captured => ({ scope, type: scope.type.length, component: scope.component.length, "core-module": scope["core-module"].length })

const coreKinds = { "core-func": "func", "core-table": "table", "core-memory": "memory", "core-global": "global", "core-tag": "tag" } as const

/** How a declaration is met: by the host (root imports), or by something that exists. */
type Meet = { readonly by: "host"; readonly interface: string | undefined } | { readonly by: "actual" }

/** Elaborates the root component. Throws `VerifyError` or `LimitError` only. */
export function elaborate(root: ComponentSyntax, limits: ElaborateLimits, forms?: AsyncForms): Blueprint {
  return foldShims(new Elaboration(limits, forms).root(root))
}

class Elaboration {
  readonly limits: ElaborateLimits
  readonly coreModules: Array<{ bytes: Uint8Array; module: CoreModule }> = []
  readonly moduleIndex = new Map<Uint8Array, number>()
  readonly instantiations: Array<CoreInstantiation> = []
  readonly contexts: Array<ContextSpec> = []
  readonly contextIndex = new Map<string, number>()
  readonly lifts: Array<LiftSpec> = []
  readonly lowerings: Array<LoweringSpec> = []
  readonly builtins: Array<BuiltinSpec> = []
  readonly forms: AsyncForms | undefined
  readonly resources = new Map<ResourceType, ResourceSpec>()
  readonly imports: Array<ImportSpec> = []
  readonly resourceImports: Array<ResourceImportSpec> = []
  readonly measures = new Map<ValueType, { readonly leaves: number; readonly depth: number }>()
  componentInstances = 0
  definitions = 0
  offset = 0

  constructor(limits: ElaborateLimits, forms: AsyncForms | undefined) {
    this.limits = limits
    this.forms = forms
  }

  malformed(detail: string): VerifyError {
    return new VerifyError("Malformed", { offset: this.offset, detail })
  }

  root(syntax: ComponentSyntax): Blueprint {
    const imports = new Map<string, ExternType>()
    const exported = this.component(syntax, undefined, undefined, imports)
    const exports = new Map<string, ExportSpec>()
    const worldExports = new Map<string, ExternType>()
    for (const [name, entity] of exported) {
      worldExports.set(name, this.externOf(entity, 0))
      if (entity.sort === "func") exports.set(name, { name, type: entity.type, source: entity.source })
      if (entity.sort !== "instance") continue
      for (const [inner, item] of entity.exports) {
        if (item.sort === "func") exports.set(`${name}#${inner}`, { name: `${name}#${inner}`, type: item.type, source: item.source })
      }
    }
    const world: World = { imports, exports: worldExports }
    return {
      world,
      coreModules: this.coreModules,
      instantiations: this.instantiations,
      contexts: this.contexts,
      lifts: this.lifts,
      lowerings: this.lowerings,
      raws: [],
      ...(this.forms === undefined ? {} : { builtins: this.builtins }),
      resources: this.resources,
      imports: this.imports,
      resourceImports: this.resourceImports,
      exports,
      componentInstances: this.componentInstances,
    }
  }

  externOf(entity: Entity, depth: number): ExternType {
    switch (entity.sort) {
      case "func":
        return entity.type
      case "instance": {
        if (depth > 8) throw this.malformed("instances are nested deeper than 8")
        const exports = new Map<string, ExternType>()
        for (const [name, item] of entity.exports) {
          // Instances are shared, the world is written out: 8 levels of 200 exports would be 200^8 names.
          this.countDefinition()
          exports.set(name, this.externOf(item, depth + 1))
        }
        return { kind: "interface", exports } satisfies InterfaceType
      }
      case "type":
        if (entity.kind === "value") return { kind: "type", type: entity.type }
        if (entity.kind === "resource") return { kind: "resource-type", resource: entity.resource }
        throw this.malformed("the world names an interface or component type")
      default:
        throw new VerifyError("Unsupported", { offset: this.offset, feature: "components and core modules as imports and exports of a world" })
    }
  }

  /** Instantiates one component; `args` is undefined for the root, whose imports the host meets. */
  component(
    syntax: ComponentSyntax,
    parent: Captured | undefined,
    args: ReadonlyMap<string, Entity> | undefined,
    worldImports: Map<string, ExternType> | undefined,
  ): ReadonlyMap<string, Entity> {
    const owner = this.componentInstances++
    this.countInstances()
    const scope = newScope(parent, owner)
    const exports = new Map<string, Entity>()
    const imported = new Set<string>()
    const exportedNames = new Set<string>()
    for (const definition of syntax.definitions) {
      this.step(definition)
      if (definition.op === "import") {
        const { name, extern } = definition
        this.takeName(imported, name, "imports")
        let entity: Entity
        if (args === undefined) {
          entity = this.hostImport(name, extern, scope)
          worldImports?.set(name, this.externOf(entity, 0))
        } else {
          const actual = args.get(name)
          if (actual === undefined) throw this.malformed(`the import "${printable(name)}" of a nested component is not given`)
          entity = this.conform(extern, scope, actual, name, undefined)
        }
        this.push(scope, entity)
      } else if (definition.op === "export") {
        const { name, item, extern } = definition
        this.takeName(exportedNames, name, "exports")
        let entity = this.item(scope, item)
        if (extern !== undefined) entity = this.conform(extern, scope, entity, name, { name })
        else entity = this.named(entity, { name })
        exports.set(name, entity)
        this.push(scope, entity)
      } else {
        this.define(scope, definition)
      }
    }
    return exports
  }

  step(definition: Definition): void {
    this.offset = definition.offset
    this.countDefinition(1 + partsOf(definition))
  }

  countDefinition(parts = 1): void {
    this.definitions += parts
    if (this.definitions > definitionsMax) throw this.malformed(`the component's definitions expand to more than ${definitionsMax}`)
  }

  /** Counts a comparison of the whole type; none is made of a type with itself. */
  countComparison(declared: ValueType | FunctionType, actual: ValueType | FunctionType): void {
    if (declared === actual) return
    if (declared.kind !== "function") return this.countDefinition(this.measure(declared).leaves)
    for (const { type } of declared.params) this.countDefinition(this.measure(type).leaves)
    if (declared.result !== undefined) this.countDefinition(this.measure(declared.result).leaves)
  }

  countInstances(): void {
    const actual = this.componentInstances + this.instantiations.length
    if (actual > this.limits.instancesMax) throw new LimitError("instancesMax", { limit: this.limits.instancesMax, actual })
  }

  /** Names of one scope are unique ignoring case, as property names and file systems need them. */
  takeName(taken: Set<string>, name: string, what: string): void {
    const folded = name.toLowerCase()
    if (taken.has(folded)) throw this.malformed(`two ${what} are named "${printable(name)}"`)
    taken.add(folded)
  }

  // ── Definitions ───────────────────────────────────────────────────────────

  define(scope: Scope, definition: Definition): void {
    switch (definition.op) {
      case "core-module":
        scope["core-module"].push({ sort: "core-module", bytes: definition.bytes, offset: definition.offset })
        return
      case "core-instantiate":
        scope["core-instance"].push(this.instantiateCore(scope, definition.module, definition.args))
        return
      case "core-exports": {
        const exports = new Map<string, CoreItem>()
        for (const [name, { sort, index }] of definition.exports) {
          if (exports.has(name)) throw this.malformed(`two core exports are named "${printable(name)}"`)
          exports.set(name, this.coreItem(scope, sort as CoreSort, index))
        }
        scope["core-instance"].push(exports)
        return
      }
      case "component":
        scope.component.push({ sort: "component", syntax: definition.component, scope: capture(scope) })
        return
      case "instantiate": {
        const component = this.at(scope.component, definition.component, "component")
        const args = new Map<string, Entity>()
        for (const [name, item] of definition.args) {
          if (args.has(name)) throw this.malformed(`two arguments are named "${printable(name)}"`)
          args.set(name, this.item(scope, item))
        }
        const { offset } = this
        const exports = this.component(component.syntax, component.scope, args, undefined)
        this.offset = offset
        scope.instance.push({ sort: "instance", exports })
        return
      }
      case "exports": {
        const exports = new Map<string, Entity>()
        const taken = new Set<string>()
        for (const [name, item] of definition.exports) {
          this.takeName(taken, name, "exports")
          exports.set(name, this.named(this.item(scope, item), { name }))
        }
        scope.instance.push({ sort: "instance", exports })
        return
      }
      case "alias-export": {
        const entity = this.at(scope.instance, definition.instance, "instance").exports.get(definition.name)
        if (entity === undefined) throw this.malformed(`the instance has no export "${printable(definition.name)}"`)
        if (entity.sort !== definition.sort) throw this.malformed(`the export "${printable(definition.name)}" is a ${entity.sort}, not a ${definition.sort}`)
        this.push(scope, entity)
        return
      }
      case "alias-core-export": {
        const item = this.at(scope["core-instance"], definition.instance, "core instance").get(definition.name)
        if (item === undefined) throw this.malformed(`the core instance has no export "${printable(definition.name)}"`)
        const sort = definition.sort
        if (sort === "core-module" || sort === "core-instance" || item.type.kind !== coreKinds[sort]) {
          throw this.malformed(`the core export "${printable(definition.name)}" is not a ${sort}`)
        }
        scope.core[sort].push(item)
        return
      }
      case "alias-outer":
        this.push(scope, this.outer(scope, definition.sort, definition.depth, definition.index))
        return
      case "type":
        scope.type.push(this.type(scope, definition))
        return
      case "lift":
        scope.func.push(this.lift(scope, definition.func, definition.options, definition.type))
        return
      case "lower": {
        const func = this.at(scope.func, definition.func, "function")
        this.countDefinition(func.type.params.length)
        const { isAsync, callback } = definition.options
        if (callback !== undefined) throw this.malformed("canon lower has a callback")
        if (isAsync && definition.options.memory === undefined) throw this.malformed("an asynchronous canon lower has no memory")
        this.needOptions(func.type, definition.options, "lower")
        const lowering = this.lowerings.length
        this.lowerings.push({ type: func.type, source: func.source, context: this.context(scope, definition.options), ...(isAsync ? { isAsync } : {}) })
        const signature = isAsync ? (this.forms as AsyncForms).lowerSignature(func.type) : flattenImport(func.type)
        scope.core["core-func"].push({ ref: { kind: "lowering", lowering }, type: { kind: "func", type: signature } })
        return
      }
      case "builtin": {
        const { forms } = this
        if (forms === undefined) throw this.malformed("an asynchronous canonical function stands in a component without any")
        const made = forms.builtin(definition.builtin, { value: (ref) => this.ref(scope, ref) })
        if (typeof made === "string") throw this.malformed(made)
        const context = this.context(scope, definition.builtin.options ?? noOptions)
        scope.core["core-func"].push({ ref: { kind: "builtin", builtin: this.builtins.length }, type: { kind: "func", type: made.signature } })
        this.builtins.push({ ...made.spec, owner: scope.owner, context, signature: made.signature })
        return
      }
      case "resource-new":
      case "resource-drop":
      case "resource-rep": {
        const entity = this.at(scope.type, definition.resource, "type")
        if (entity.kind !== "resource") throw this.malformed("a resource operation names a type that is no resource")
        if (definition.op !== "resource-drop" && this.resources.get(entity.resource)?.owner !== scope.owner) {
          throw this.malformed(`${definition.op} names a resource that this component does not define`)
        }
        const ref: CoreRef = { kind: definition.op, resource: entity.resource, owner: scope.owner }
        scope.core["core-func"].push({ ref, type: { kind: "func", type: resourceSignatures[definition.op] } })
        return
      }
      default:
        throw this.malformed("a declaration stands outside a type")
    }
  }

  at<A>(space: ReadonlyArray<A>, index: number, what: string): A {
    const found = space[index]
    if (found === undefined) throw this.malformed(`${what} index ${index} is out of range (${space.length} defined)`)
    return found
  }

  push(scope: Scope, entity: Entity): void {
    if (entity.sort === "func") scope.func.push(entity)
    else if (entity.sort === "type") scope.type.push(entity)
    else if (entity.sort === "instance") scope.instance.push(entity)
    else if (entity.sort === "component") scope.component.push(entity)
    else scope["core-module"].push(entity)
  }

  item(scope: Scope, { sort, index }: SortIndex): Entity {
    switch (sort) {
      case "func":
      case "type":
      case "instance":
      case "component":
      case "core-module":
        return this.at<Entity>(scope[sort], index, sort)
      default:
        throw this.malformed(`a ${sort} stands where a component-level item is needed`)
    }
  }

  coreItem(scope: Scope, sort: CoreSort, index: number): CoreItem {
    if (sort === "core-module" || sort === "core-instance") throw this.malformed(`a core instance exports a ${sort}`)
    return this.at(scope.core[sort], index, sort)
  }

  outer(scope: Scope, sort: Sort, depth: number, index: number): Entity {
    if (sort !== "type" && sort !== "component" && sort !== "core-module") throw this.malformed(`an outer alias cannot name a ${sort}`)
    let space: ReadonlyArray<Entity> = scope[sort]
    let defined = space.length
    let at: Scope = scope
    for (let i = 0; i < depth; i++) {
      const parent = at.parent
      if (parent === undefined) throw this.malformed(`an outer alias goes ${depth} levels up: only ${i} exist`)
      at = parent.scope
      space = at[sort]
      defined = parent[sort]
    }
    if (index >= defined) throw this.malformed(`${sort} index ${index} is out of range (${defined} defined)`)
    return this.at(space, index, sort)
  }

  instantiateCore(scope: Scope, moduleIndex: number, args: ReadonlyArray<readonly [string, number]>): CoreInstance {
    const { bytes, offset } = this.at(scope["core-module"], moduleIndex, "core module")
    let index = this.moduleIndex.get(bytes)
    if (index === undefined) {
      index = this.coreModules.length
      this.coreModules.push({ bytes, module: this.decodeCore(bytes, offset) })
      this.moduleIndex.set(bytes, index)
    }
    const module = (this.coreModules[index] as { module: CoreModule }).module
    const given = new Map<string, CoreInstance>()
    for (const [name, instance] of args) {
      if (given.has(name)) throw this.malformed(`two core arguments are named "${printable(name)}"`)
      given.set(name, this.at(scope["core-instance"], instance, "core instance"))
    }
    this.countDefinition(module.imports.length)
    const imports = module.imports.map((wanted) => {
      const item = given.get(wanted.module)?.get(wanted.name)
      if (item === undefined) throw this.malformed(`the core import "${printable(wanted.module)}" "${printable(wanted.name)}" is not given`)
      const difference = coreMismatch(wanted.type, item.type)
      if (difference !== undefined) throw this.malformed(`the core import "${printable(wanted.module)}" "${printable(wanted.name)}" ${difference}`)
      return { module: wanted.module, name: wanted.name, item: item.ref }
    })
    const instance = this.instantiations.length
    this.instantiations.push({ kind: "instantiate", module: index, imports })
    this.countInstances()
    return {
      get(name) {
        const type = module.exports.get(name)
        return type === undefined ? undefined : { ref: { kind: "export", instance, name }, type }
      },
    }
  }

  /** Offsets in errors of the core decoder count from the core module; shift them to the component's. */
  decodeCore(bytes: Uint8Array, offset: number): CoreModule {
    try {
      return decodeCoreModule(bytes, this.limits)
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error
      const { reason } = error
      if (reason._tag === "Malformed") throw new VerifyError("Malformed", { offset: offset + reason.offset, detail: `in a core module: ${reason.detail}` })
      if ("offset" in reason)
        throw new VerifyError(...([reason._tag, { ...reason, offset: offset + reason.offset }] as unknown as ConstructorParameters<typeof VerifyError>))
      throw this.malformed("a core module section holds something that is not a core module")
    }
  }

  // ── Canonical functions ───────────────────────────────────────────────────

  context(scope: Scope, options: CanonicalOptions): number {
    const memory = options.memory === undefined ? undefined : this.at(scope.core["core-memory"], options.memory, "core memory").ref
    let realloc: CoreRef | undefined
    if (options.realloc !== undefined) {
      const item = this.at(scope.core["core-func"], options.realloc, "core function")
      if (!sameSignature(item.type, reallocSignature)) throw this.malformed("realloc is not a function (i32, i32, i32, i32) -> i32")
      realloc = item.ref
    }
    const last = this.contexts.at(-1)
    // The functions of one interface follow each other and share their options.
    if (last?.owner === scope.owner && last.encoding === options.encoding && sameRef(last.memory, memory) && sameRef(last.realloc, realloc))
      return this.contexts.length - 1
    const key = `${scope.owner} ${options.encoding} ${refKey(memory)} ${refKey(realloc)}`
    let index = this.contextIndex.get(key)
    if (index === undefined) {
      index = this.contexts.length
      if (index >= contextsMax) throw this.malformed(`more than ${contextsMax} pairs of memory and allocator`)
      this.contexts.push({ owner: scope.owner, encoding: options.encoding, memory, realloc })
      this.contextIndex.set(key, index)
    }
    return index
  }

  /** A lift or lower that moves values through memory must name the memory and, to hand values in, the allocator (CanonicalABI.md, canonopt validation). */
  needOptions(type: FunctionType, options: CanonicalOptions, direction: "lift" | "lower"): void {
    const paramsPoint = type.params.some((param) => holdsPointer(param.type))
    const resultPoints = type.result !== undefined && holdsPointer(type.result)
    if ((paramsPoint || resultPoints) && options.memory === undefined) throw this.malformed(`canon ${direction} moves lists or strings without a memory`)
    if ((direction === "lift" ? paramsPoint : resultPoints) && options.realloc === undefined) {
      throw this.malformed(`canon ${direction} moves lists or strings without a realloc`)
    }
    // What does not fit the flat form travels through memory too.
    const paramsSpill = paramsLayout(type).flat === undefined
    const resultSpills = type.result !== undefined && (layoutOf(type.result).flat?.length ?? Infinity) > flatResultsMax
    if ((paramsSpill || resultSpills) && options.memory === undefined) throw this.malformed(`canon ${direction} spills values without a memory`)
    if (direction === "lift" && paramsSpill && options.realloc === undefined) throw this.malformed("canon lift spills parameters without a realloc")
  }

  lift(scope: Scope, func: number, options: CanonicalOptions, type: number): Func {
    const declared = this.at(scope.type, type, "type")
    if (declared.kind !== "function") throw this.malformed("canon lift names a type that is no function type")
    const core = this.at(scope.core["core-func"], func, "core function")
    this.countDefinition(declared.type.params.length)
    const { isAsync, callback: callbackIndex } = options
    if (callbackIndex !== undefined && !isAsync) throw this.malformed("canon lift has a callback and is not asynchronous")
    if (isAsync && options.postReturn !== undefined) throw this.malformed("an asynchronous canon lift has a post-return")
    const signature = isAsync ? (this.forms as AsyncForms).liftSignature(declared.type, callbackIndex !== undefined) : flattenExport(declared.type)
    if (!sameSignature(core.type, signature)) {
      throw this.malformed(`canon lift: the core function is not ${printSignature(signature)}`)
    }
    this.needOptions(declared.type, options, "lift")
    let postReturn: CoreRef | undefined
    if (options.postReturn !== undefined) {
      const item = this.at(scope.core["core-func"], options.postReturn, "core function")
      const wanted = { params: signature.results, results: [] }
      if (!sameSignature(item.type, wanted)) throw this.malformed(`canon lift: post-return is not ${printSignature(wanted)}`)
      postReturn = item.ref
    }
    let callback: CoreRef | undefined
    if (callbackIndex !== undefined) {
      const item = this.at(scope.core["core-func"], callbackIndex, "core function")
      if (!sameSignature(item.type, callbackSignature)) throw this.malformed("canon lift: the callback is not a function (i32, i32, i32) -> i32")
      callback = item.ref
    }
    const lift = this.lifts.length
    this.lifts.push({ type: declared.type, core: core.ref, context: this.context(scope, options), postReturn, ...(isAsync ? { isAsync, callback } : {}) })
    return { sort: "func", type: declared.type, source: { kind: "lift", lift } }
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  type(scope: Scope, definition: Definition & { op: "type" }): TypeEntity {
    const { type } = definition
    switch (type.kind) {
      case "value":
        return { sort: "type", kind: "value", type: this.value(scope, type.value) }
      case "function": {
        const params = type.params.map(([label, ref]) => ({ label, type: this.ref(scope, ref) }))
        const func: FunctionType = {
          kind: "function",
          params,
          ...(type.result === undefined ? {} : { result: this.ref(scope, type.result) }),
          ...(type.isAsync ? { isAsync: true } : {}),
        }
        let leaves = func.result === undefined ? 0 : this.measure(func.result).leaves
        for (const param of params) leaves += this.measure(param.type).leaves
        this.checkSize(leaves, 0)
        if (func.result !== undefined && holdsBorrow(func.result)) throw this.malformed("a function returns a borrowed handle")
        return { sort: "type", kind: "function", type: func }
      }
      case "instance":
      case "component":
        return { sort: "type", kind: type.kind, declarations: type.declarations, scope: capture(scope) }
      case "resource": {
        if (scope.owner < 0) throw this.malformed("a resource is defined inside a type")
        const resource: ResourceType = { kind: "resource" }
        let destructor: CoreRef | undefined
        if (type.destructor !== undefined) {
          const item = this.at(scope.core["core-func"], type.destructor, "core function")
          if (!sameSignature(item.type, { params: ["i32"], results: [] })) throw this.malformed("a destructor is not a function (i32) -> ()")
          destructor = item.ref
        }
        this.resources.set(resource, { resource, owner: scope.owner, destructor })
        return { sort: "type", kind: "resource", resource }
      }
    }
  }

  ref(scope: Scope, ref: TypeRef): ValueType {
    if (typeof ref === "string") return ref === "error-context" ? errorContext : primitive[ref]
    const entity = this.at(scope.type, ref, "type")
    if (entity.kind !== "value") throw this.malformed(`type ${ref} is not a value type`)
    return entity.type
  }

  value(scope: Scope, value: ValueSyntax): ValueType {
    const type = this.build(scope, value)
    this.measure(type)
    return type
  }

  build(scope: Scope, value: ValueSyntax): ValueType {
    switch (value.kind) {
      case "primitive":
        return primitive[value.primitive]
      case "record":
        return { kind: "record", fields: value.fields.map(([label, ref]) => ({ label, type: this.ref(scope, ref) })) }
      case "variant":
        return {
          kind: "variant",
          cases: value.cases.map(([label, ref]): Case => (ref === undefined ? { label } : { label, type: this.ref(scope, ref) })),
        }
      case "stream":
      case "future": {
        const element = value.element === undefined ? undefined : this.ref(scope, value.element)
        if (element !== undefined && holdsBorrow(element)) throw this.malformed(`a ${value.kind} carries borrowed handles`)
        return value.kind === "stream" ? stream(element) : future(element)
      }
      case "error-context":
        return errorContext
      case "list":
        return { kind: "list", element: this.ref(scope, value.element) }
      case "option":
        return { kind: "option", type: this.ref(scope, value.element) }
      case "tuple":
        return { kind: "tuple", types: value.types.map((ref) => this.ref(scope, ref)) }
      case "flags":
      case "enum":
        return { kind: value.kind, labels: value.labels }
      case "result":
        return {
          kind: "result",
          ...(value.ok === undefined ? {} : { ok: this.ref(scope, value.ok) }),
          ...(value.err === undefined ? {} : { err: this.ref(scope, value.err) }),
        }
      case "own":
      case "borrow": {
        const entity = this.at(scope.type, value.resource, "type")
        if (entity.kind !== "resource") throw this.malformed(`${value.kind} names a type that is no resource`)
        return { kind: value.kind, resource: entity.resource }
      }
    }
  }

  /** Leaves and depth of a type, memoised: a type built of shared parts is counted as if written out, in linear time. */
  measure(type: ValueType): { readonly leaves: number; readonly depth: number } {
    const known = this.measures.get(type)
    if (known !== undefined) return known
    let leaves = 0
    let depth = 0
    for (const child of children(type)) {
      const measured = this.measure(child)
      leaves += measured.leaves
      depth = Math.max(depth, measured.depth)
    }
    if (type.kind === "flags" || type.kind === "enum") leaves = type.labels.length
    if (type.kind === "variant") leaves += type.cases.length
    const measured = { leaves: leaves + 1, depth: depth + 1 }
    this.checkSize(measured.leaves, measured.depth)
    this.measures.set(type, measured)
    return measured
  }

  checkSize(leaves: number, depth: number): void {
    if (leaves > this.limits.typeSizeMax) throw new LimitError("typeSizeMax", { limit: this.limits.typeSizeMax, actual: leaves })
    if (depth > this.limits.typeDepthMax) throw new LimitError("typeDepthMax", { limit: this.limits.typeDepthMax, actual: depth })
  }

  /** The same type under the name it is exported by; resources keep their identity and take their first name. */
  named(entity: Entity, name: TypeName): Entity {
    if (entity.sort !== "type") return entity
    if (entity.kind === "resource") {
      const resource = entity.resource as { name?: TypeName }
      resource.name ??= name
      return entity
    }
    if (entity.kind !== "value" || entity.type.name?.name === name.name) return entity
    const type = renamed(entity.type, name)
    this.measures.set(type, this.measure(entity.type))
    return { sort: "type", kind: "value", type }
  }

  // ── Imports and ascription ────────────────────────────────────────────────

  hostImport(name: string, extern: ExternSyntax, scope: Scope): Entity {
    return this.meet(extern, scope, undefined, name, { by: "host", interface: undefined }, { name })
  }

  /** Checks that `actual` is what `extern` declares, and returns it as seen through that declaration. */
  conform(extern: ExternSyntax, scope: Scope, actual: Entity, name: string, rename: TypeName | undefined): Entity {
    return this.meet(extern, scope, actual, name, { by: "actual" }, rename)
  }

  meet(extern: ExternSyntax, scope: Scope, actual: Entity | undefined, name: string, how: Meet, rename: TypeName | undefined): Entity {
    const fail = (what: string): VerifyError => this.malformed(`"${printable(name)}" is not ${what}`)
    switch (extern.kind) {
      case "func": {
        const declared = this.at(scope.type, extern.type, "type")
        if (declared.kind !== "function") throw this.malformed(`"${printable(name)}" is declared with a type that is no function type`)
        if (how.by === "host") {
          this.imports.push({ interface: how.interface, name, type: declared.type })
          return { sort: "func", type: declared.type, source: { kind: "import", interface: how.interface, name } }
        }
        if (actual?.sort !== "func") throw fail("a function")
        this.countComparison(declared.type, actual.type)
        const difference = functionDifference(actual.type, declared.type)
        if (difference !== undefined) throw fail(`of the declared type: ${differenceText(difference)}`)
        return { sort: "func", type: declared.type, source: actual.source }
      }
      case "type": {
        const declared = this.at(scope.type, extern.eq, "type")
        if (how.by === "actual") {
          if (actual?.sort !== "type") throw fail("a type")
          const difference = this.differenceOfEntities(declared, actual)
          if (difference !== undefined) throw fail(`the declared type: ${difference}`)
          // An equal type that has a name keeps it: so an exported interface has the very types it uses of another.
          if (actual.kind === "value") return rename === undefined ? actual : this.named(actual, rename)
        }
        return rename === undefined ? declared : this.named(declared, rename)
      }
      case "resource": {
        if (how.by === "host") {
          const typeName: TypeName = how.interface === undefined ? { name } : { interface: how.interface, name }
          const resource: ResourceType = { kind: "resource", name: typeName }
          this.resourceImports.push({ interface: how.interface, name, resource })
          return { sort: "type", kind: "resource", resource }
        }
        if (actual?.sort !== "type" || actual.kind !== "resource") throw fail("a resource")
        return rename === undefined ? actual : this.named(actual, rename)
      }
      case "instance": {
        const declared = this.at(scope.type, extern.type, "type")
        if (declared.kind !== "instance") throw this.malformed(`"${printable(name)}" is declared with a type that is no interface`)
        if (how.by === "host") {
          if (how.interface !== undefined) throw new VerifyError("Unsupported", { offset: this.offset, feature: "interfaces inside imported interfaces" })
          return { sort: "instance", exports: this.declarations(declared, undefined, { by: "host", interface: name }) }
        }
        if (actual?.sort !== "instance") throw fail("an instance")
        return { sort: "instance", exports: this.declarations(declared, actual, how) }
      }
      case "component":
        if (how.by === "host") throw new VerifyError("Unsupported", { offset: this.offset, feature: "imports of components" })
        // What it makes is checked where it is instantiated, with its actual arguments.
        if (actual?.sort !== "component") throw fail("a component")
        return actual
    }
  }

  declarations(type: TypeEntity & { readonly kind: "instance" | "component" }, actual: Instance | undefined, how: Meet): ReadonlyMap<string, Entity> {
    const scope = newScope(type.scope, -1)
    const exports = new Map<string, Entity>()
    const taken = new Set<string>()
    const { offset } = this
    for (const definition of type.declarations) {
      this.step(definition)
      if (definition.op === "declare-export") {
        const { name, extern } = definition
        this.takeName(taken, name, "exports")
        const item = actual?.exports.get(name)
        if (how.by === "actual" && item === undefined) throw this.malformed(`the export "${printable(name)}" is missing`)
        const owner = how.by === "host" ? how.interface : undefined
        const entity = this.meet(extern, scope, item, name, how, owner === undefined ? { name } : { interface: owner, name })
        if (entity.sort === "func" && how.by === "host") this.checkMethod(name, entity.type, exports)
        exports.set(name, entity)
        this.push(scope, entity)
      } else if (definition.op === "type" || definition.op === "alias-outer" || definition.op === "alias-export") {
        this.define(scope, definition)
      } else {
        throw this.malformed("a definition stands inside a type")
      }
    }
    this.offset = offset
    return exports
  }

  /** `[method]r.f` takes `self: borrow<r>` first; `[constructor]r` returns own<r> (Explainer.md, plainname validation). */
  checkMethod(name: string, type: FunctionType, exports: ReadonlyMap<string, Entity>): void {
    const annotated = resourceFunction(name)
    if (annotated === undefined) return
    const entity = exports.get(annotated.resource)
    if (entity?.sort !== "type" || entity.kind !== "resource") throw this.malformed(`"${name}" names no resource of its interface`)
    const self = type.params[0]?.type
    if (annotated.kind === "method" && !(self?.kind === "borrow" && self.resource === entity.resource)) {
      throw this.malformed(`"${name}" does not take its resource as first parameter`)
    }
  }

  differenceOfEntities(declared: TypeEntity, actual: TypeEntity): string | undefined {
    if (declared.kind === "resource" && actual.kind === "resource") return declared.resource === actual.resource ? undefined : "another resource"
    if ((declared.kind === "value" && actual.kind === "value") || (declared.kind === "function" && actual.kind === "function"))
      this.countComparison(declared.type, actual.type)
    if (declared.kind === "value" && actual.kind === "value") return text(typeDifference(actual.type, declared.type))
    if (declared.kind === "function" && actual.kind === "function") return text(functionDifference(actual.type, declared.type))
    return declared.kind === actual.kind ? undefined : `a ${actual.kind} type for a ${declared.kind} type`
  }
}

// ── Pure parts ──────────────────────────────────────────────────────────────

/** What executing a definition makes, looks at or has bindings walk beyond one entry. */
function partsOf(definition: Definition): number {
  switch (definition.op) {
    case "core-instantiate":
    case "instantiate":
      return definition.args.length
    case "core-exports":
    case "exports":
      return definition.exports.length
    case "type": {
      const { type } = definition
      if (type.kind === "function") return type.params.length
      if (type.kind !== "value") return 0
      const { value } = type
      switch (value.kind) {
        case "record":
          return value.fields.length
        case "variant":
          return value.cases.length
        case "tuple":
          return value.types.length
        case "flags":
        case "enum":
          return value.labels.length
        default:
          return 0
      }
    }
    default:
      return 0
  }
}

const callbackSignature: CoreFunctionType = { params: ["i32", "i32", "i32"], results: ["i32"] }
const noOptions: CanonicalOptions = { encoding: "utf8", memory: undefined, realloc: undefined, postReturn: undefined, isAsync: false, callback: undefined }
const reallocSignature: CoreFunctionType = { params: ["i32", "i32", "i32", "i32"], results: ["i32"] }

const sameSignature = (type: CoreExternType, wanted: CoreFunctionType): boolean => type.kind === "func" && isSameSignature(type.type, wanted)

const printSignature = (type: CoreFunctionType): string => `(${type.params.join(", ")}) -> (${type.results.join(", ")})`

const sameRef = (a: CoreRef | undefined, b: CoreRef | undefined): boolean =>
  a === b || (a?.kind === "export" && b?.kind === "export" && a.instance === b.instance && a.name === b.name)

const refKey = (ref: CoreRef | undefined): string =>
  ref === undefined ? "-" : ref.kind === "export" ? `${ref.instance}:${JSON.stringify(ref.name)}` : ref.kind === "lowering" ? `l${ref.lowering}` : ref.kind

/** Why a given core item cannot meet a core import; the engine checks limits of tables and memories again at instantiation. */
export function coreMismatch(wanted: CoreExternType, given: CoreExternType): string | undefined {
  if (wanted.kind !== given.kind) return `wants a ${wanted.kind} and is given a ${given.kind}`
  if (wanted.kind === "func" && !sameSignature(given, wanted.type)) return `wants a function ${printSignature(wanted.type)}`
  if (wanted.kind === "global" && given.kind === "global" && (wanted.type !== given.type || wanted.mutable !== given.mutable))
    return "wants a global of another type"
  return undefined
}

const text = (difference: TypeDifference | undefined): string | undefined => (difference === undefined ? undefined : differenceText(difference))

/** What a stream or future carries is moved when it is read, by other options. */
const carried = (type: ValueType): ReadonlyArray<ValueType> => (type.kind === "stream" || type.kind === "future" ? [] : children(type))
const holdsPointer = anywhere((type) => type.kind === "string" || type.kind === "list", carried)
const holdsBorrow = anywhere((type) => type.kind === "borrow")
