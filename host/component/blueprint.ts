/**
 * What elaboration makes of a component: a straight list of steps that instantiates it, with every index resolved.
 * Nested components are gone (each instantiation is spelled out), so linking and instantiating never look at
 * component-level structure again. Immutable, shared by all instances of a plugin.
 */
import type { FunctionType, FutureType, ResourceType, StreamType, ValueType, World } from "../../schemas/wit/model.ts"
import type { StringEncoding } from "../abi/context.ts"
import type { ExportBinding } from "../abi/mod.ts"
import type { RawImport } from "../foreign/raw.ts"
import type { CoreFunctionType, CoreModule } from "../../schemas/wasm/core-module.ts"
import type { TypeRef } from "./decode.ts"

/** A core item that exists at run time. */
export type CoreRef =
  /** export `name` of core instance number `instance` */
  | { readonly kind: "export"; readonly instance: number; readonly name: string }
  /** the core function made for lowering number `lowering` */
  | { readonly kind: "lowering"; readonly lowering: number }
  /** the core function made for raw import number `raw` */
  | { readonly kind: "raw"; readonly raw: number }
  /** the core function of built-in number `builtin` of the asynchronous ABI */
  | { readonly kind: "builtin"; readonly builtin: number }
  /** `resource.new|drop|rep` as seen from component instance `owner` */
  | { readonly kind: "resource-new" | "resource-drop" | "resource-rep"; readonly resource: ResourceType; readonly owner: number }

/** Memory, allocator and handle table that a lift or lower works with. */
export interface ContextSpec {
  /** Component instance whose handle table and flags apply. */
  readonly owner: number
  readonly encoding: StringEncoding
  readonly memory: CoreRef | undefined
  readonly realloc: CoreRef | undefined
  /** `AbiContext.functions`: what a foreign ABI calls by itself. */
  readonly functions?: ReadonlyArray<CoreRef>
}

/** Where a component-level function comes from. */
export type FunctionSource =
  | { readonly kind: "import"; readonly interface: string | undefined; readonly name: string }
  | { readonly kind: "lift"; readonly lift: number }

/** `canon lift`: a core function of component instance `owner`, callable with component-level values. */
export interface LiftSpec {
  readonly type: FunctionType
  readonly core: CoreRef
  readonly context: number
  readonly postReturn: CoreRef | undefined
  /** Lifted by the asynchronous ABI; without `callback` on a stack of its own. */
  readonly isAsync?: boolean
  readonly callback?: CoreRef | undefined
  /** How a foreign ABI calls this function; absent: the canonical ABI. */
  readonly binding?: (name: string) => ExportBinding
}

/** A core function that the host serves without the canonical ABI, to a module of a foreign one. */
export interface RawSpec {
  readonly import: RawImport
  readonly context: number
}

/** `canon lower`: a component-level function made callable from core code. */
export interface LoweringSpec {
  readonly type: FunctionType
  readonly source: FunctionSource
  readonly context: number
  /** Lowered by the asynchronous ABI: a call of it never waits. */
  readonly isAsync?: boolean
}

/** What the definition of an asynchronous built-in is about. */
export interface BuiltinParts {
  /** As in the text format: `stream.read`. */
  readonly name: string
  readonly type?: StreamType | FutureType
  /** What `task.return` takes, as a function of one parameter or none. */
  readonly returns?: FunctionType
  readonly isAsync?: boolean
  readonly isCancellable?: boolean
  readonly slot?: number
}

/** How an elaboration resolves the types that a built-in names. */
export interface BuiltinTypes {
  readonly value: (ref: TypeRef) => ValueType
}

export interface BuiltinSpec extends BuiltinParts {
  /** Component instance it belongs to. */
  readonly owner: number
  readonly context: number
  readonly signature: CoreFunctionType
}

export interface ResourceSpec {
  readonly resource: ResourceType
  /** Component instance that defines it. */
  readonly owner: number
  readonly destructor: CoreRef | undefined
}

/** One step of instantiating; its position is its instance number, also when it makes no instance. */
export type CoreInstantiation =
  | {
      readonly kind: "instantiate"
      /** Index into `Blueprint.coreModules`. */
      readonly module: number
      /** Per import of the module: what to give it. */
      readonly imports: ReadonlyArray<{ readonly module: string; readonly name: string; readonly item: CoreRef }>
    }
  /** Calls a function without parameters: what is left of a module that only had a start function. */
  | { readonly kind: "start"; readonly func: CoreRef }
  /** Folded away. */
  | { readonly kind: "nothing" }

/** A function the component exports, under its full name `acme:greeter/api#greet` (or `greet` for a world's own). */
export interface ExportSpec {
  readonly name: string
  readonly type: FunctionType
  readonly source: FunctionSource
}

/** A function the component imports. `interface` is absent for a world's own function. */
export interface ImportSpec {
  readonly interface: string | undefined
  readonly name: string
  readonly type: FunctionType
}

/** A resource the component imports. */
export interface ResourceImportSpec {
  readonly interface: string | undefined
  readonly name: string
  readonly resource: ResourceType
}

export interface Blueprint {
  readonly world: World
  /** Original bytes and decoded headers of every core module that is instantiated. */
  readonly coreModules: ReadonlyArray<{ readonly bytes: Uint8Array; readonly module: CoreModule }>
  /** In order: instance number = position. */
  readonly instantiations: ReadonlyArray<CoreInstantiation>
  readonly contexts: ReadonlyArray<ContextSpec>
  readonly lifts: ReadonlyArray<LiftSpec>
  readonly lowerings: ReadonlyArray<LoweringSpec>
  readonly raws: ReadonlyArray<RawSpec>
  /** Present in a component that uses the asynchronous ABI or its types: `host/async` runs it. */
  readonly builtins?: ReadonlyArray<BuiltinSpec>
  readonly resources: ReadonlyMap<ResourceType, ResourceSpec>
  readonly imports: ReadonlyArray<ImportSpec>
  readonly resourceImports: ReadonlyArray<ResourceImportSpec>
  readonly exports: ReadonlyMap<string, ExportSpec>
  /** Component instances, the root included: each has its own handle table and flags. */
  readonly componentInstances: number
  /** Of a core module: the ABI it was read by. */
  readonly abi?: "preview1"
  /** After its first call an instance is of no use: a command has run. */
  readonly servesOneCall?: boolean
}

/** The signature `resource.new`, `resource.rep` (i32 → i32) and `resource.drop` (i32 → nothing) have. */
export const resourceSignatures: Readonly<Record<"resource-new" | "resource-drop" | "resource-rep", CoreFunctionType>> = {
  "resource-new": { params: ["i32"], results: ["i32"] },
  "resource-rep": { params: ["i32"], results: ["i32"] },
  "resource-drop": { params: ["i32"], results: [] },
}
