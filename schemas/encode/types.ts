/**
 * Types of the model → entries of one type index space: Binary.md "Type Definitions" at the commit pinned in
 * `schemas/wit/README.md`. A named type stands where its scope says, everything else is written once: by identity of the
 * node, then by its bytes, so that two nodes of one shape share an entry.
 */
import { EncodeError } from "../error/encode.ts"
import type { Case, FunctionType, Labelled, PrimitiveKind, ResourceType, ValueType } from "../wit/model.ts"
import { isLabel, printable } from "../wit/name.ts"
import { shapeText } from "../wit/print.ts"
import { Writer } from "../wasm/writer.ts"

const primitives: Readonly<Record<PrimitiveKind, number>> = {
  bool: 0x7f,
  s8: 0x7e,
  u8: 0x7d,
  s16: 0x7c,
  u16: 0x7b,
  s32: 0x7a,
  u32: 0x79,
  s64: 0x78,
  u64: 0x77,
  f32: 0x76,
  f64: 0x75,
  char: 0x74,
  string: 0x73,
}

const isPrimitive = (type: ValueType): type is ValueType & { readonly kind: PrimitiveKind } => Object.hasOwn(primitives, type.kind)

/** Types that WIT gives a name, and that a component may use in imports and exports by that name only. */
export const isNominal = (type: ValueType): boolean => type.kind === "record" || type.kind === "variant" || type.kind === "enum" || type.kind === "flags"

/** Where types are written: `define` adds an entry and answers its index. */
export interface TypeSpace {
  readonly defineType: (entry: Uint8Array) => number
}

/** What a scope answers for a type that has a place of its own: its index. */
export interface Named {
  readonly type: (type: ValueType) => number | undefined
  readonly resource: (resource: ResourceType) => number
}

/** A character a byte: bytes as keys of a map. */
const oneByteText = new TextDecoder("latin1")

export class TypeScope {
  readonly #space: TypeSpace
  readonly #named: Named
  readonly #nodes = new Map<ValueType, number>()
  /** Entries by their bytes; of one space, so that two scopes in it share them. */
  readonly #entries: Map<string, number>
  /** Where a mistake is, for messages. */
  at = ""

  constructor(space: TypeSpace, named: Named, entries = new Map<string, number>()) {
    this.#space = space
    this.#named = named
    this.#entries = entries
  }

  /** An index, or a primitive's code, which is negative (Binary.md `valtype`: both share a signed space). */
  #ref(type: ValueType): number {
    let index = this.#nodes.get(type)
    if (index !== undefined) return index
    index = this.#named.type(type)
    if (index === undefined) {
      if (isPrimitive(type)) return primitives[type.kind] - 0x80
      if (isNominal(type)) throw new EncodeError("Unnamed", { at: this.at, type: shapeText(type) })
      index = this.define(type)
    }
    this.#nodes.set(type, index)
    return index
  }

  /** The index of a type that has one whatever it is: a primitive gets an entry. */
  index(type: ValueType): number {
    const ref = this.#ref(type)
    return ref >= 0 ? ref : this.define(type)
  }

  /** Writes the shape of `type`, whether it has a name or not. */
  define(type: ValueType): number {
    return this.#entry(this.#shape(type))
  }

  function(type: FunctionType): number {
    const out = new Writer().byte(0x40)
    this.#labelled(out, type.params, "the parameters", (param) => out.s32(this.#ref(param.type)))
    if (type.result === undefined) out.byte(0x01).byte(0x00)
    else out.byte(0x00).s32(this.#ref(type.result))
    return this.#entry(out)
  }

  #entry(entry: Writer): number {
    const bytes = entry.bytes()
    const key = oneByteText.decode(bytes)
    let index = this.#entries.get(key)
    if (index === undefined) {
      index = this.#space.defineType(bytes)
      this.#entries.set(key, index)
    }
    return index
  }

  #shape(type: ValueType): Writer {
    const out = new Writer()
    const optional = (inner: ValueType | undefined): void => {
      if (inner === undefined) out.byte(0x00)
      else out.byte(0x01).s32(this.#ref(inner))
    }
    switch (type.kind) {
      case "record":
        out.byte(0x72)
        this.#labelled(out, type.fields, "a record", (field) => out.s32(this.#ref(field.type)))
        return this.#some(type.fields, "a record", out)
      case "variant":
        out.byte(0x71)
        this.#labelled(out, type.cases, "a variant", (one) => {
          optional(one.type)
          out.byte(0x00)
        })
        return this.#some(type.cases, "a variant", out)
      case "list":
        return out.byte(0x70).s32(this.#ref(type.element))
      case "tuple":
        out.byte(0x6f).vector(type.types, (inner) => out.s32(this.#ref(inner)))
        return this.#some(type.types, "a tuple", out)
      case "flags":
      case "enum":
        out.byte(type.kind === "flags" ? 0x6e : 0x6d)
        this.#labelled(
          out,
          type.labels.map((label) => ({ label })),
          type.kind,
          () => undefined,
        )
        return this.#some(type.labels, type.kind, out)
      case "option":
        return out.byte(0x6b).s32(this.#ref(type.type))
      case "result":
        out.byte(0x6a)
        optional(type.ok)
        optional(type.err)
        return out
      case "own":
      case "borrow":
        return out.byte(type.kind === "own" ? 0x69 : 0x68).u32(this.#named.resource(type.resource))
      default:
        if (isPrimitive(type)) return out.byte(primitives[type.kind])
        throw new EncodeError("Unsupported", { at: this.at, feature: `the type ${shapeText(type)}` })
    }
  }

  #some(parts: ReadonlyArray<unknown>, what: string, out: Writer): Writer {
    if (parts.length === 0) throw new EncodeError("World", { at: this.at, detail: `${what} is empty` })
    return out
  }

  /** Labels are unique ignoring case and dashes, as the decoder has it: they become property names. */
  #labelled<A extends Labelled | Case | { readonly label: string }>(out: Writer, parts: ReadonlyArray<A>, what: string, write: (part: A) => void): void {
    const seen = new Set<string>()
    out.vector(parts, (part) => {
      const { label } = part
      if (!isLabel(label)) throw new EncodeError("Name", { name: printable(label), what: `a label of ${what} at ${this.at}`, expected: "kebab-case words" })
      const folded = label.replaceAll("-", "").toLowerCase()
      if (seen.has(folded))
        throw new EncodeError("World", { at: this.at, detail: `${what} has two labels that are equal to "${label}" but for case and dashes` })
      seen.add(folded)
      out.text(label)
      write(part)
    })
  }
}
