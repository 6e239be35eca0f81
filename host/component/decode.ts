/**
 * Component binary → syntax. Total on any bytes: every malformed input ends in a `VerifyError` with its byte offset
 * or a `LimitError`; work and memory are linear in the size of the input. Indexes are not resolved here: that is
 * `elaborate.ts`, which runs the definitions in order.
 *
 * Source: component-model `design/mvp/Binary.md` at the commit pinned in `schemas/wit/README.md`. Opcodes stand
 * beside the production they decode.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { VerifyError } from "../../schemas/error/verify.ts"
import type { FunctionType, PrimitiveKind } from "../../schemas/wit/model.ts"
import type { StringEncoding } from "../abi/context.ts"
import type { CoreSignature } from "../../schemas/wit/layout.ts"
import type { BuiltinParts, BuiltinTypes } from "./blueprint.ts"
import { checkLabel, externName } from "./name.ts"
import { ComponentReader } from "./reader.ts"

/** What a sort index points into. */
export type CoreSort = "core-func" | "core-table" | "core-memory" | "core-global" | "core-tag" | "core-module" | "core-instance"
export type Sort = CoreSort | "func" | "type" | "component" | "instance"
export interface SortIndex {
  readonly sort: Sort
  readonly index: number
}

/** A primitive, `error-context`, or an index into the type space. */
export type TypeRef = PrimitiveKind | "error-context" | number

export type ValueSyntax =
  | { readonly kind: "primitive"; readonly primitive: PrimitiveKind }
  | { readonly kind: "record"; readonly fields: ReadonlyArray<readonly [label: string, type: TypeRef]> }
  | { readonly kind: "variant"; readonly cases: ReadonlyArray<readonly [label: string, type: TypeRef | undefined]> }
  | { readonly kind: "list" | "option"; readonly element: TypeRef }
  | { readonly kind: "tuple"; readonly types: ReadonlyArray<TypeRef> }
  | { readonly kind: "flags" | "enum"; readonly labels: ReadonlyArray<string> }
  | { readonly kind: "result"; readonly ok: TypeRef | undefined; readonly err: TypeRef | undefined }
  | { readonly kind: "own" | "borrow"; readonly resource: number }
  | { readonly kind: "stream" | "future"; readonly element: TypeRef | undefined }
  | { readonly kind: "error-context" }

export type TypeSyntax =
  | { readonly kind: "value"; readonly value: ValueSyntax }
  | {
      readonly kind: "function"
      readonly params: ReadonlyArray<readonly [label: string, type: TypeRef]>
      readonly result: TypeRef | undefined
      readonly isAsync: boolean
    }
  | { readonly kind: "instance" | "component"; readonly declarations: ReadonlyArray<Definition> }
  | { readonly kind: "resource"; readonly destructor: number | undefined }

/** What an import or export declares. */
export type ExternSyntax =
  | { readonly kind: "func" | "component" | "instance"; readonly type: number }
  | { readonly kind: "type"; readonly eq: number }
  | { readonly kind: "resource" }

export interface CanonicalOptions {
  readonly encoding: StringEncoding
  readonly memory: number | undefined
  readonly realloc: number | undefined
  readonly postReturn: number | undefined
  readonly isAsync: boolean
  readonly callback: number | undefined
}

/** A canonical function of the asynchronous ABI: its name in the text format, and what its definition says. */
export interface BuiltinSyntax {
  readonly name: string
  /** The stream or future type. */
  readonly type?: number
  /** What `task.return` takes. */
  readonly result?: TypeRef | undefined
  readonly options?: CanonicalOptions
  readonly isAsync?: boolean
  readonly isCancellable?: boolean
  /** The slot of `context.get` and `context.set`. */
  readonly slot?: number
}

/** Reads and elaborates what only asynchronous components have: `host/async/forms.ts`, loaded for the first of them. */
export interface AsyncForms {
  readonly canon: (reader: ComponentReader, opcode: number, offset: number) => BuiltinSyntax
  /** The core signatures of asynchronous lifts and lowers, and of built-ins. */
  readonly liftSignature: (type: FunctionType, hasCallback: boolean) => CoreSignature
  readonly lowerSignature: (type: FunctionType) => CoreSignature
  readonly builtin: (syntax: BuiltinSyntax, types: BuiltinTypes) => { readonly signature: CoreSignature; readonly spec: BuiltinParts } | string
}

/** One definition, in the order of the binary; each adds one index to one space (exports too). */
export type Definition = { readonly offset: number } & (
  | { readonly op: "core-module"; readonly bytes: Uint8Array }
  | { readonly op: "core-instantiate"; readonly module: number; readonly args: ReadonlyArray<readonly [name: string, instance: number]> }
  | { readonly op: "core-exports"; readonly exports: ReadonlyArray<readonly [name: string, item: SortIndex]> }
  | { readonly op: "component"; readonly component: ComponentSyntax }
  | { readonly op: "instantiate"; readonly component: number; readonly args: ReadonlyArray<readonly [name: string, item: SortIndex]> }
  | { readonly op: "exports"; readonly exports: ReadonlyArray<readonly [name: string, item: SortIndex]> }
  | { readonly op: "alias-export"; readonly sort: Sort; readonly instance: number; readonly name: string }
  | { readonly op: "alias-core-export"; readonly sort: CoreSort; readonly instance: number; readonly name: string }
  | { readonly op: "alias-outer"; readonly sort: Sort; readonly depth: number; readonly index: number }
  | { readonly op: "type"; readonly type: TypeSyntax }
  | { readonly op: "lift"; readonly func: number; readonly options: CanonicalOptions; readonly type: number }
  | { readonly op: "lower"; readonly func: number; readonly options: CanonicalOptions }
  | { readonly op: "builtin"; readonly builtin: BuiltinSyntax }
  | { readonly op: "resource-new" | "resource-drop" | "resource-rep"; readonly resource: number }
  | { readonly op: "import"; readonly name: string; readonly extern: ExternSyntax }
  | { readonly op: "export"; readonly name: string; readonly item: SortIndex; readonly extern: ExternSyntax | undefined }
  | { readonly op: "declare-export"; readonly name: string; readonly extern: ExternSyntax }
)

export interface ComponentSyntax {
  readonly definitions: ReadonlyArray<Definition>
}

export interface DecodeLimits {
  readonly componentBytesMax: number
  readonly coreModulesMax: number
  readonly typeDepthMax: number
}

/** Nesting of components and of instance and component types. */
const nestingMax = 32

interface Decoding {
  readonly limits: DecodeLimits
  coreModules: number
}

/** Do the bytes start as a core module does: magic, version 1? */
export const isCoreModule = (bytes: Uint8Array): boolean => [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00].every((byte, i) => bytes[i] === byte)

/**
 * Decodes a whole component. Throws `VerifyError` or `LimitError`, never anything else; `AsyncForm`, one of the former, for
 * an asynchronous component where no `forms` are given.
 */
export function decodeComponent(bytes: Uint8Array, limits: DecodeLimits, forms?: AsyncForms): ComponentSyntax {
  if (bytes.length > limits.componentBytesMax) {
    throw new LimitError("componentBytesMax", { limit: limits.componentBytesMax, actual: bytes.length })
  }
  const head = bytes.subarray(0, 8)
  if (!(head[0] === 0x00 && head[1] === 0x61 && head[2] === 0x73 && head[3] === 0x6d)) {
    const hex = Array.from(head, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
    throw new VerifyError("NotWasm", { found: head.length === 0 ? "nothing (0 bytes)" : `bytes ${hex}` })
  }
  if (isCoreModule(bytes)) throw new VerifyError("CoreModule", {})
  return component(new ComponentReader(bytes, 0, bytes.length, forms), { limits, coreModules: 0 }, 0)
}

/** Magic, version 0x000d, layer 0x0001. */
const preamble = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]

function component(reader: ComponentReader, decoding: Decoding, depth: number): ComponentSyntax {
  if (depth > nestingMax) throw reader.malformed(`components are nested deeper than ${nestingMax}`)
  for (const expected of preamble) {
    if (reader.byte() !== expected) throw reader.malformed("the preamble is not that of a component of version 0x0d, layer 1", reader.at - 1)
  }
  const definitions: Array<Definition> = []
  while (!reader.isAtEnd) {
    const offset = reader.at
    const id = reader.byte()
    const section = reader.slice(reader.u32())
    if (id === 0) {
      section.name()
      continue
    }
    if (id === 1) {
      if (++decoding.coreModules > decoding.limits.coreModulesMax) {
        throw new LimitError("coreModulesMax", { limit: decoding.limits.coreModulesMax, actual: decoding.coreModules })
      }
      // Offsets in a core module's errors count from its first byte.
      definitions.push({ op: "core-module", offset: section.at, bytes: section.bytes.subarray(section.at, section.end) })
      continue
    }
    if (id === 4) {
      definitions.push({ op: "component", offset, component: component(section, decoding, depth + 1) })
      continue
    }
    const decode = sections[id]
    if (decode === undefined) {
      throw id === 3 || id === 9 || id === 12
        ? reader.unsupported(unsupportedSections[id] as string, offset)
        : reader.malformed(`section id ${id} is unknown`, offset)
    }
    const count = section.count()
    for (let i = 0; i < count; i++) definitions.push(decode(section, section.at, depth))
    if (!section.isAtEnd) throw section.malformed("a section is longer than its contents")
  }
  return { definitions }
}

const unsupportedSections: Readonly<Record<number, string>> = { 3: "core type definitions", 9: "a component start function", 12: "component values" }

const sections: Readonly<Record<number, (r: ComponentReader, offset: number, depth: number) => Definition>> = {
  2: coreInstance,
  5: instance,
  6: alias,
  7: (r, offset, depth) => ({ op: "type", offset, type: type(r, depth) }),
  8: canon,
  10: (r, offset) => ({ op: "import", offset, name: importOrExportName(r), extern: extern(r) }),
  11: (r, offset) => {
    const name = importOrExportName(r)
    const item = sortIndex(r)
    return { op: "export", offset, name, item, extern: flag(r) ? extern(r) : undefined }
  },
}

/** `<T>?`: 0x00 absent, 0x01 present. */
function flag(r: ComponentReader): boolean {
  const byte = r.byte()
  if (byte > 1) throw r.malformed(`0x${byte.toString(16)} is not an optional's flag`, r.at - 1)
  return byte === 1
}

function importOrExportName(r: ComponentReader): string {
  const offset = r.at
  const form = r.byte()
  // 0x00 and 0x01 carry a name alone; 0x02 adds a version suffix that no released toolchain writes.
  if (form === 2) throw r.unsupported("version suffixes of names", offset)
  if (form > 2) throw r.malformed(`0x${form.toString(16)} does not introduce a name`, offset)
  return externName(r.name(), r, offset)
}

function coreSort(r: ComponentReader): CoreSort {
  const offset = r.at
  const byte = r.byte()
  const sort = coreSorts[byte]
  if (sort !== undefined) return sort
  throw byte === 0x10 ? r.unsupported("core type indexes", offset) : r.malformed(`0x${byte.toString(16)} is not a core sort`, offset)
}

const coreSorts: Readonly<Record<number, CoreSort>> = {
  0x00: "core-func",
  0x01: "core-table",
  0x02: "core-memory",
  0x03: "core-global",
  0x04: "core-tag",
  0x11: "core-module",
  0x12: "core-instance",
}

function sort(r: ComponentReader): Sort {
  const offset = r.at
  switch (r.byte()) {
    case 0x00:
      return coreSort(r)
    case 0x01:
      return "func"
    case 0x02:
      throw r.unsupported("component values", offset)
    case 0x03:
      return "type"
    case 0x04:
      return "component"
    case 0x05:
      return "instance"
    default:
      throw r.malformed("a sort is unknown", offset)
  }
}

const sortIndex = (r: ComponentReader): SortIndex => ({ sort: sort(r), index: r.u32() })

function vector<A>(r: ComponentReader, bytesMin: number, element: (r: ComponentReader) => A): ReadonlyArray<A> {
  const count = r.count(bytesMin)
  const out: Array<A> = []
  for (let i = 0; i < count; i++) out.push(element(r))
  return out
}

function coreInstance(r: ComponentReader, offset: number): Definition {
  switch (r.byte()) {
    case 0x00: {
      const module = r.u32()
      const args = vector(r, 3, (r) => {
        const name = r.name()
        if (r.byte() !== 0x12) throw r.malformed("a core module is instantiated with something that is not an instance", r.at - 1)
        return [name, r.u32()] as const
      })
      return { op: "core-instantiate", offset, module, args }
    }
    case 0x01:
      return { op: "core-exports", offset, exports: vector(r, 3, (r) => [r.name(), { sort: coreSort(r), index: r.u32() }] as const) }
    default:
      throw r.malformed("a core instance expression is unknown", offset)
  }
}

function instance(r: ComponentReader, offset: number): Definition {
  switch (r.byte()) {
    case 0x00:
      return { op: "instantiate", offset, component: r.u32(), args: vector(r, 3, (r) => [r.name(), sortIndex(r)] as const) }
    case 0x01:
      return { op: "exports", offset, exports: vector(r, 4, (r) => [importOrExportName(r), sortIndex(r)] as const) }
    default:
      throw r.malformed("an instance expression is unknown", offset)
  }
}

function alias(r: ComponentReader, offset: number): Definition {
  const of = sort(r)
  switch (r.byte()) {
    case 0x00:
      return { op: "alias-export", offset, sort: of, instance: r.u32(), name: r.name() }
    case 0x01:
      if (!of.startsWith("core-")) throw r.malformed("a core export is aliased as something that is not core", offset)
      return { op: "alias-core-export", offset, sort: of as CoreSort, instance: r.u32(), name: r.name() }
    case 0x02: {
      if (of !== "type" && of !== "component" && of !== "core-module") throw r.malformed(`an outer alias cannot name a ${of}`, offset)
      return { op: "alias-outer", offset, sort: of, depth: r.u32(), index: r.u32() }
    }
    default:
      throw r.malformed("an alias target is unknown", offset)
  }
}

const primitives: Readonly<Record<number, PrimitiveKind>> = {
  0x7f: "bool",
  0x7e: "s8",
  0x7d: "u8",
  0x7c: "s16",
  0x7b: "u16",
  0x7a: "s32",
  0x79: "u32",
  0x78: "s64",
  0x77: "u64",
  0x76: "f32",
  0x75: "f64",
  0x74: "char",
  0x73: "string",
}

export function typeRef(r: ComponentReader): TypeRef {
  const offset = r.at
  const value = r.s33()
  if (value >= 0) return value
  const known = primitives[value + 0x80]
  if (known !== undefined) return known
  if (value + 0x80 !== 0x64) throw r.malformed("a value type is unknown", offset)
  r.async("error-context", offset)
  return "error-context"
}

const optionalTypeRef = (r: ComponentReader): TypeRef | undefined => (flag(r) ? typeRef(r) : undefined)

/** A label that is what it folds to: most are, and folding costs more than all else that is done with a label. */
const plainLabel = /^[a-z0-9]*$/

/** Labels of one record, variant, flags, enum or parameter list: kebab-case, and unique ignoring case and dashes. */
function unique<A>(r: ComponentReader, offset: number, what: string, entries: ReadonlyArray<A>, labelOf: (entry: A) => string): ReadonlyArray<A> {
  if (entries.length < 2) return entries
  const seen = new Set<string>()
  for (const entry of entries) {
    const own = labelOf(entry)
    const folded = plainLabel.test(own) ? own : own.replaceAll("-", "").toLowerCase()
    if (seen.has(folded)) throw r.malformed(`${what} has two labels that are equal to "${labelOf(entry)}" but for case and dashes`, offset)
    seen.add(folded)
  }
  return entries
}

const label = (r: ComponentReader): string => {
  const offset = r.at
  return checkLabel(r.name(), r, offset)
}
const labelled = (r: ComponentReader) => [label(r), typeRef(r)] as const

function nonEmpty<A>(r: ComponentReader, offset: number, what: string, entries: ReadonlyArray<A>): ReadonlyArray<A> {
  if (entries.length === 0) throw r.malformed(`${what} is empty`, offset)
  return entries
}

function type(r: ComponentReader, depth: number): TypeSyntax {
  const offset = r.at
  const opcode = r.byte()
  const primitive = primitives[opcode]
  if (primitive !== undefined) return { kind: "value", value: { kind: "primitive", primitive } }
  switch (opcode) {
    case 0x72: {
      const fields = unique(r, offset, "a record", vector(r, 2, labelled), (f) => f[0])
      return { kind: "value", value: { kind: "record", fields: nonEmpty(r, offset, "a record", fields) } }
    }
    case 0x71: {
      const cases = vector(r, 3, (r) => {
        const entry = [label(r), optionalTypeRef(r)] as const
        if (r.byte() !== 0x00) throw r.malformed("a variant case refines another", r.at - 1)
        return entry
      })
      return {
        kind: "value",
        value: {
          kind: "variant",
          cases: nonEmpty(
            r,
            offset,
            "a variant",
            unique(r, offset, "a variant", cases, (c) => c[0]),
          ),
        },
      }
    }
    case 0x70:
      return { kind: "value", value: { kind: "list", element: typeRef(r) } }
    case 0x6f:
      return { kind: "value", value: { kind: "tuple", types: nonEmpty(r, offset, "a tuple", vector(r, 1, typeRef)) } }
    case 0x6e:
    case 0x6d: {
      const kind = opcode === 0x6e ? "flags" : "enum"
      const labels = unique(r, offset, kind, vector(r, 2, label), (l) => l)
      return { kind: "value", value: { kind, labels: nonEmpty(r, offset, kind, labels) } }
    }
    case 0x6b:
      return { kind: "value", value: { kind: "option", element: typeRef(r) } }
    case 0x6a:
      return { kind: "value", value: { kind: "result", ok: optionalTypeRef(r), err: optionalTypeRef(r) } }
    case 0x69:
      return { kind: "value", value: { kind: "own", resource: r.u32() } }
    case 0x68:
      return { kind: "value", value: { kind: "borrow", resource: r.u32() } }
    case 0x67:
      throw r.unsupported("fixed-length lists", offset)
    case 0x66:
      r.async("streams", offset)
      return { kind: "value", value: { kind: "stream", element: optionalTypeRef(r) } }
    case 0x65:
      r.async("futures", offset)
      return { kind: "value", value: { kind: "future", element: optionalTypeRef(r) } }
    case 0x64:
      r.async("error-context", offset)
      return { kind: "value", value: { kind: "error-context" } }
    case 0x63:
      throw r.unsupported("maps", offset)
    case 0x40:
    case 0x43: {
      const isAsync = opcode === 0x43
      if (isAsync) r.async("async functions", offset)
      const params = unique(r, offset, "a function", vector(r, 2, labelled), (p) => p[0])
      const form = r.byte()
      if (form === 0x00) return { kind: "function", params, result: typeRef(r), isAsync }
      if (form !== 0x01 || r.byte() !== 0x00) throw r.malformed("a function has named results", r.at - 1)
      return { kind: "function", params, result: undefined, isAsync }
    }
    case 0x41:
    case 0x42: {
      if (depth + 1 > nestingMax) throw r.malformed(`types are nested deeper than ${nestingMax}`, offset)
      const kind = opcode === 0x41 ? "component" : "instance"
      return { kind, declarations: vector(r, 2, (r) => declaration(r, kind, depth + 1)) }
    }
    case 0x3f: {
      if (r.byte() !== 0x7f) throw r.unsupported("resources whose representation is not i32", r.at - 1)
      return { kind: "resource", destructor: flag(r) ? r.u32() : undefined }
    }
    case 0x3e:
      throw r.unsupported("async destructors", offset)
    default:
      throw r.malformed(`0x${opcode.toString(16)} is not a type`, offset)
  }
}

function declaration(r: ComponentReader, kind: "component" | "instance", depth: number): Definition {
  const offset = r.at
  switch (r.byte()) {
    case 0x00:
      throw r.unsupported("core type definitions", offset)
    case 0x01:
      return { op: "type", offset, type: type(r, depth) }
    case 0x02: {
      const definition = alias(r, offset)
      if (definition.op === "alias-core-export") throw r.malformed("a type declares an alias of a core export", offset)
      return definition
    }
    case 0x03:
      if (kind === "instance") throw r.malformed("an instance type declares an import", offset)
      return { op: "import", offset, name: importOrExportName(r), extern: extern(r) }
    case 0x04:
      return { op: "declare-export", offset, name: importOrExportName(r), extern: extern(r) }
    default:
      throw r.malformed("a declaration is unknown", offset)
  }
}

function extern(r: ComponentReader): ExternSyntax {
  const offset = r.at
  switch (r.byte()) {
    case 0x00:
      throw r.unsupported("core modules as imports and exports", offset)
    case 0x01:
      return { kind: "func", type: r.u32() }
    case 0x02:
      throw r.unsupported("component values", offset)
    case 0x03:
      switch (r.byte()) {
        case 0x00:
          return { kind: "type", eq: r.u32() }
        case 0x01:
          return { kind: "resource" }
        default:
          throw r.malformed("a type bound is unknown", offset)
      }
    case 0x04:
      return { kind: "component", type: r.u32() }
    case 0x05:
      return { kind: "instance", type: r.u32() }
    default:
      throw r.malformed("an import or export description is unknown", offset)
  }
}

function canon(r: ComponentReader, offset: number): Definition {
  const opcode = r.byte()
  switch (opcode) {
    case 0x00:
      if (r.byte() !== 0x00) throw r.malformed("a canonical function is unknown", offset)
      return { op: "lift", offset, func: r.u32(), options: canonicalOptions(r), type: r.u32() }
    case 0x01:
      if (r.byte() !== 0x00) throw r.malformed("a canonical function is unknown", offset)
      return { op: "lower", offset, func: r.u32(), options: canonicalOptions(r) }
    case 0x02:
      return { op: "resource-new", offset, resource: r.u32() }
    case 0x03:
      return { op: "resource-drop", offset, resource: r.u32() }
    case 0x04:
      return { op: "resource-rep", offset, resource: r.u32() }
    default:
      // 0x05…0x3f: tasks, waitables, streams, futures, error contexts and threads of the async proposal.
      if (opcode >= 0x60) throw r.malformed("a canonical function is unknown", offset)
      return { op: "builtin", offset, builtin: r.async("asynchronous canonical functions", offset).canon(r, opcode, offset) }
  }
}

export function canonicalOptions(r: ComponentReader): CanonicalOptions {
  let encoding: StringEncoding | undefined
  let memory: number | undefined
  let realloc: number | undefined
  let postReturn: number | undefined
  let isAsync: true | undefined
  let callback: number | undefined
  const once = (seen: unknown, at: number): void => {
    if (seen !== undefined) throw r.malformed("a canonical option is given twice", at)
  }
  const count = r.count()
  for (let i = 0; i < count; i++) {
    const at = r.at
    switch (r.byte()) {
      case 0x00:
        once(encoding, at)
        encoding = "utf8"
        break
      case 0x01:
        once(encoding, at)
        encoding = "utf16"
        break
      case 0x02:
        once(encoding, at)
        encoding = "latin1+utf16"
        break
      case 0x03:
        once(memory, at)
        memory = r.u32()
        break
      case 0x04:
        once(realloc, at)
        realloc = r.u32()
        break
      case 0x05:
        once(postReturn, at)
        postReturn = r.u32()
        break
      case 0x06:
        r.async("asynchronous lifts and lowers", at)
        once(isAsync, at)
        isAsync = true
        break
      case 0x07:
        r.async("asynchronous lifts and lowers", at)
        once(callback, at)
        callback = r.u32()
        break
      case 0x08:
      case 0x09:
        throw r.unsupported("canonical options for GC types", at)
      default:
        throw r.malformed("a canonical option is unknown", at)
    }
  }
  return { encoding: encoding ?? "utf8", memory, realloc, postReturn, isAsync: isAsync === true, callback }
}
