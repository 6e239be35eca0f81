/**
 * What WIT text resolves to: packages of interfaces and worlds, in the type model that the component decoder fills too.
 *
 * The model says what a component can tell. What only text has (documentation, gates, places, aliases) stands beside it
 * in `Notes`, so that a world that was parsed and one that was decoded are the same nodes to a generator.
 */
import type { InterfaceType, TypeName, World } from "../model.ts"

/** One file of WIT. `file` is any name, for messages and places. */
export interface WitSource {
  readonly file: string
  readonly text: string
}

/** Where something stands; `line` and `column` count from 1, the column in characters. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** What WIT text says beyond the model. */
export interface Note {
  readonly place?: Place
  /** Text of the comments with three slashes (or two stars) before it, without their marks. */
  readonly docs?: string
  /** `@since(version = …)` */
  readonly since?: string
  /** `@unstable(feature = …)`: it is there because the feature was asked for. */
  readonly unstable?: string
  /** `@deprecated(version = …)` */
  readonly deprecated?: string
  /** `@external-id("…")` */
  readonly externalId?: string
  /** Of a type: it is another name of the one with this name beside it, `type name = alias;`. */
  readonly alias?: string
  /** Of a type: brought in by `use`, from this interface and under this name there. */
  readonly use?: TypeName & { readonly interface: string }
  /** Of an import or export with a name of its own: the interface it has, `import name: interface;`. */
  readonly implements?: string
}

/**
 * Notes by what they are of:
 *
 * * `of(pkg)`, `of(interface)`, `of(world)`: a `WitPackage`, `WitInterface` and `WitWorld`;
 * * `of(interface.type.exports, name)`: a type, resource or function (`[method]r.f`) of an interface;
 * * `of(world.world.imports, name)`, `of(world.world.exports, name)`: an import or export, by its key;
 * * `of(type, label)`: a field of a record, a case of a variant, a label of an enum or flags.
 */
export interface Notes {
  of(owner: object, name?: string): Note
}

export interface WitInterface {
  /** `poll` */
  readonly name: string
  /** `wasi:io/poll@0.2.12` */
  readonly full: string
  /** Types first, each after those it is made of, then functions in the order of the text. */
  readonly type: InterfaceType
  /** Interfaces whose types it uses, by full name, in order of first use. */
  readonly uses: ReadonlyArray<string>
}

export interface WitWorld {
  /** `command` */
  readonly name: string
  /** `wasi:cli/command@0.2.12` */
  readonly full: string
  /**
   * With everything that `include` and `use` bring: interfaces, each after those it uses, then types, then functions.
   * An imported interface is that of its package, node for node. An exported one is a copy where it must be: its
   * resources are other types than those of the import.
   */
  readonly world: World
}

export interface WitPackage {
  /** `wasi:io@0.2.12` */
  readonly name: string
  readonly interfaces: ReadonlyMap<string, WitInterface>
  readonly worlds: ReadonlyMap<string, WitWorld>
}

/** All packages of one parse, resolved. */
export interface Resolve {
  /** By name with version; dependencies before dependents. */
  readonly packages: ReadonlyMap<string, WitPackage>
  /** The package of the files that were given, and not of their dependencies. */
  readonly main: WitPackage
  readonly notes: Notes
}
