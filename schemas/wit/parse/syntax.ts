/** What the parser makes of one file, before names mean anything. `at` is an offset into the file's text. */
import type { PrimitiveKind } from "../model.ts"
import type { Version } from "./version.ts"

/** A file while it is worked on. */
export interface SourceFile {
  readonly name: string
  readonly text: string
}

export interface Name {
  readonly text: string
  readonly at: number
}

/** Documentation and gates before an item. */
export interface Head {
  readonly docs?: string
  readonly since?: { readonly version: Version; readonly at: number }
  readonly unstable?: string
  readonly deprecated?: { readonly version: Version; readonly at: number }
  readonly externalId?: string
}

export type TypeSyntax =
  | { readonly kind: "primitive"; readonly primitive: PrimitiveKind | "error-context"; readonly at: number }
  | { readonly kind: "name"; readonly name: Name; readonly at: number }
  | { readonly kind: "borrow" | "own"; readonly name: Name; readonly at: number }
  | { readonly kind: "list" | "option"; readonly type: TypeSyntax; readonly at: number }
  | { readonly kind: "fixed-list"; readonly type: TypeSyntax; readonly length: number; readonly at: number }
  | { readonly kind: "stream" | "future"; readonly type?: TypeSyntax; readonly at: number }
  | { readonly kind: "map"; readonly key: TypeSyntax; readonly value: TypeSyntax; readonly at: number }
  | { readonly kind: "tuple"; readonly types: ReadonlyArray<TypeSyntax>; readonly at: number }
  | { readonly kind: "result"; readonly ok?: TypeSyntax; readonly err?: TypeSyntax; readonly at: number }

export interface Parameter {
  readonly name: Name
  readonly type: TypeSyntax
}

export interface FunctionSyntax {
  readonly isAsync: boolean
  readonly params: ReadonlyArray<Parameter>
  readonly result?: TypeSyntax
}

/** A field, a case, or a label of an enum or flags. */
export interface Member {
  readonly name: Name
  readonly docs?: string
  readonly type?: TypeSyntax
}

export interface Method {
  readonly head: Head
  readonly role: "constructor" | "method" | "static"
  /** Of a constructor: its keyword's place and the resource's name. */
  readonly name: Name
  readonly type: FunctionSyntax
}

export type Definition =
  | { readonly kind: "alias"; readonly type: TypeSyntax }
  | { readonly kind: "record" | "variant" | "enum" | "flags"; readonly members: ReadonlyArray<Member> }
  | { readonly kind: "resource"; readonly methods: ReadonlyArray<Method> }

/** `id`, or `namespace:package/id@version`. */
export interface UsePath {
  readonly package?: PackageName
  readonly name: Name
}

export interface PackageName {
  /** `wasi:io`, without the version. */
  readonly name: string
  readonly version?: Version
  readonly at: number
}

export interface UseItem {
  readonly kind: "use"
  readonly head: Head
  readonly path: UsePath
  readonly names: ReadonlyArray<{ readonly name: Name; readonly as: Name }>
  readonly at: number
}
export interface TypeItem {
  readonly kind: "type"
  readonly head: Head
  readonly name: Name
  readonly definition: Definition
}
export interface FunctionItem {
  readonly kind: "function"
  readonly head: Head
  readonly name: Name
  readonly type: FunctionSyntax
}
export type InterfaceItem = UseItem | TypeItem | FunctionItem

/** `import` or `export`: what the plain name `name` is, or the interface of `path`. */
export interface PortItem {
  readonly kind: "import" | "export"
  readonly head: Head
  readonly at: number
  readonly name?: Name
  readonly function?: FunctionSyntax
  readonly interface?: ReadonlyArray<InterfaceItem>
  readonly path?: UsePath
}
export interface IncludeItem {
  readonly kind: "include"
  readonly head: Head
  readonly at: number
  readonly path: UsePath
  readonly names: ReadonlyArray<{ readonly name: Name; readonly as: Name }>
}
export type WorldItem = UseItem | TypeItem | PortItem | IncludeItem

export interface InterfaceSyntax {
  readonly kind: "interface"
  readonly head: Head
  readonly name: Name
  readonly items: ReadonlyArray<InterfaceItem>
}
export interface WorldSyntax {
  readonly kind: "world"
  readonly head: Head
  readonly name: Name
  readonly items: ReadonlyArray<WorldItem>
}
export interface TopUse {
  readonly path: UsePath
  readonly as: Name
}

/** Items that see each other's top-level `use`: those of a file, or of a `package … { }` in it. */
export interface Block {
  readonly file: SourceFile
  readonly uses: ReadonlyArray<TopUse>
  readonly interfaces: ReadonlyArray<InterfaceSyntax>
  readonly worlds: ReadonlyArray<WorldSyntax>
}

export interface FileSyntax extends Block {
  readonly package?: PackageName & { readonly docs?: string }
  readonly nested: ReadonlyArray<{ readonly package: PackageName & { readonly docs?: string }; readonly block: Block }>
}
