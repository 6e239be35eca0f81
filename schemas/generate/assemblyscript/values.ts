/** How values cross between AssemblyScript and the canonical ABI: the expressions and functions that load, store, lift and lower them. */
import { GenerateError } from "../../error/generate.ts"
import { casesOf, type FlatType, layoutOf, recordLayout, variantLayout } from "../../wit/layout.ts"
import type { ResourceType, ValueType } from "../../wit/model.ts"
import { anywhere } from "../../wit/tree.ts"
import { camel, Lines, pascal } from "../file.ts"
import { caseName, type Node, valueName } from "./names.ts"

/** A generated file while it is written. */
export class Source {
  readonly name: string
  /** Other generated files that it uses, by name. */
  readonly uses = new Set<string>()
  readonly runtime = new Set<string>()
  readonly body = new Lines()
  usesPlugin = false
  constructor(name: string) {
    this.name = name
  }
  /** `name` of another file as this one writes it. */
  of(file: string, name: string): string {
    if (file === this.name) return name
    this.uses.add(file)
    return `$${camel(file)}.${name}`
  }
  /** A type or function of `runtime.ts`. Types have names that no other has; functions could be called like one of the WIT. */
  rt(name: string): string {
    if (/^[a-z]/.test(name)) return this.of("runtime", name)
    this.runtime.add(name)
    return name
  }
}

/** Where the class of a named type is. */
export interface Home {
  readonly file: string
  readonly name: string
  /** Of resources: implemented by the plugin. */
  readonly isExported: boolean
}

/** Names of what a generated function has of its own begin with `_`, as no parameter does. */
export class Fresh {
  #next = 0
  name(prefix: string): string {
    return `_${prefix}${this.#next++}`
  }
}

const scalars: Readonly<Record<string, string>> = {
  bool: "bool",
  u8: "u8",
  s8: "i8",
  u16: "u16",
  s16: "i16",
  u32: "u32",
  s32: "i32",
  u64: "u64",
  s64: "i64",
  f32: "f32",
  f64: "f64",
  char: "u32",
}
const isScalar = (type: ValueType): boolean => Object.hasOwn(scalars, type.kind)

/** Lifting or storing it leaves or takes blocks beyond the value itself. */
export const hasPointers = anywhere((type) => type.kind === "string" || type.kind === "list")
const hasLists = anywhere((type) => type.kind === "list" && !isScalar(type.element))
/** Lowering it allocates blocks. */
export const needsBlocks = (type: ValueType): boolean => hasLists(type)

const narrow: Readonly<Record<string, string>> = { i32: "<i32>", i64: "<i64>", f32: "", f64: "" }

/** A flat value of type `have` in the wider slot of a variant (CanonicalABI.md `lower_flat_variant`). */
function widen(expr: string, have: FlatType, want: FlatType): string {
  if (have === want) return expr
  if (have === "i32") return `<i64><u32>(${expr})`
  if (have === "f64") return `reinterpret<i64>(${expr})`
  return want === "i32" ? `reinterpret<i32>(${expr})` : `<i64><u32>reinterpret<i32>(${expr})`
}
/** The reverse (CanonicalABI.md `lift_flat_variant`). */
function unwiden(expr: string, have: FlatType, want: FlatType): string {
  if (have === want) return expr
  if (want === "i32") return `<i32>(${expr})`
  if (want === "f64") return `reinterpret<f64>(${expr})`
  return have === "i32" ? `reinterpret<f32>(${expr})` : `reinterpret<f32>(<i32>(${expr}))`
}

export interface Flat {
  readonly expr: string
  readonly type: FlatType
}

const at = (ptr: string, offset: number): string => (offset === 0 ? ptr : `${ptr} + ${offset}`)

export class Values {
  readonly #homes: ReadonlyMap<Node, Home>
  readonly #alias: ReadonlyMap<Node, Node>
  /** `abi.ts`: the functions of types that have some. */
  readonly abi = new Source("abi")
  readonly tuples = new Set<number>()
  readonly #made = new Map<string, string>()
  readonly #names = new Set<string>()
  readonly #pending: Array<() => void> = []
  /** Resources of which borrowed handles are lifted: each is dropped when the call ends. */
  readonly borrowed = new Map<ResourceType, string>()

  constructor(homes: ReadonlyMap<Node, Home>, alias: ReadonlyMap<Node, Node>) {
    this.#homes = homes
    this.#alias = alias
  }

  /** What an alias, or a copy that `use` made, stands for. */
  real<N extends Node>(node: N): N {
    let found: Node = node
    for (let next = this.#alias.get(found); next !== undefined; next = this.#alias.get(found)) found = next
    return found as N
  }
  home(node: Node): Home {
    const home = this.#homes.get(this.real(node))
    if (home === undefined) throw new Error(`no class for ${node.kind}`)
    return home
  }
  classOf(node: Node, source: Source): string {
    const { file, name } = this.home(node)
    return source.of(file, name)
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  /** Is it an object, which an option can be null for? */
  isObject(type: ValueType): boolean {
    return !isScalar(type) && type.kind !== "enum"
  }
  #isNullable(type: ValueType): boolean {
    return type.kind === "option" && this.isObject(type.type) && !this.#isNullable(type.type)
  }

  /** The type as `source` writes it. */
  type(type: ValueType, source: Source): string {
    const inner = (part: ValueType): string => this.type(part, source)
    switch (type.kind) {
      case "string":
        return "string"
      case "list":
        return `${isScalar(type.element) ? "StaticArray" : "Array"}<${inner(type.element)}>`
      case "record":
      case "variant":
      case "enum":
      case "flags":
        return this.classOf(type, source)
      case "tuple":
        this.tuples.add(type.types.length)
        return `${source.rt(`Tuple${type.types.length}`)}<${type.types.map(inner).join(", ")}>`
      case "option":
        return this.#isNullable(type) ? `${inner(type.type)} | null` : `${source.rt("Option")}<${inner(type.type)}>`
      case "result":
        return `${source.rt("Result")}<${this.#payload(type.ok, source)}, ${this.#payload(type.err, source)}>`
      case "own": {
        const home = this.home(type.resource)
        return home.isExported ? source.of(home.file, `${home.name}Handle`) : this.classOf(type.resource, source)
      }
      case "borrow":
        return this.home(type.resource).isExported ? this.plugin(type.resource, source) : this.classOf(type.resource, source)
      default: {
        const scalar = scalars[type.kind]
        if (scalar !== undefined) return scalar
        throw new GenerateError("Unsupported", {
          target: "AssemblyScript",
          type: type.kind,
          where: source.name,
          advice: "use a list, or a resource with methods",
        })
      }
    }
  }
  #payload(type: ValueType | undefined, source: Source): string {
    return type === undefined ? source.rt("Unit") : this.type(type, source)
  }
  /** The plugin's own class of a resource that it implements. */
  plugin(resource: ResourceType, source: Source): string {
    source.usesPlugin = true
    return `$plugin.${this.home(resource).name}`
  }

  /** Two types of one key are lifted and lowered by the same code. Dots keep `a` of `b-c` from being `a-b` of `c`. */
  #key(type: ValueType): string {
    switch (type.kind) {
      case "record":
      case "variant":
      case "enum":
      case "flags": {
        const { file, name } = this.home(type)
        return `${pascal(file)}.${name}`
      }
      case "list":
        return `ListOf.${this.#key(type.element)}`
      case "option":
        return `OptionOf.${this.#key(type.type)}`
      case "tuple":
        return `TupleOf.${type.types.map((part) => this.#key(part)).join(".And.")}.End`
      case "result":
        return `ResultOf.${type.ok === undefined ? "Unit" : this.#key(type.ok)}.Or.${type.err === undefined ? "Unit" : this.#key(type.err)}.End`
      case "own":
      case "borrow": {
        const { file, name } = this.home(type.resource)
        return `${pascal(type.kind)}.${pascal(file)}.${name}`
      }
      default:
        return pascal(type.kind)
    }
  }

  /** The name of a function of `abi.ts`, which is written when it is first asked for. */
  #helper(verb: "load" | "store" | "lift" | "lower", type: ValueType, source: Source, write: (name: string) => void): string {
    const key = `${verb}${this.#key(type)}`
    let name = this.#made.get(key)
    if (name === undefined) {
      const plain = key.replaceAll(".", "")
      name = this.fresh(plain.length <= 60 ? plain : `${plain.slice(0, 50)}${this.#made.size}`)
      this.#made.set(key, name)
      const made = name
      this.#pending.push(() => write(made))
    }
    return source.of("abi", name)
  }
  /** A name that nothing else in `abi.ts` has. */
  fresh(wanted: string): string {
    let name = wanted
    while (this.#names.has(name)) name += "_"
    this.#names.add(name)
    return name
  }
  /** Writes what was asked for, and what that asks for. */
  finish(): void {
    for (let write = this.#pending.shift(); write !== undefined; write = this.#pending.shift()) write()
  }

  // ── Memory ────────────────────────────────────────────────────────────────

  /** An expression for the value at `ptr`. */
  load(type: ValueType, ptr: string, source: Source): string {
    switch (type.kind) {
      case "bool":
        return `load<u8>(${ptr}) != 0`
      case "string":
        return `${source.rt("liftString")}(load<u32>(${ptr}), load<u32>(${ptr}, 4))`
      case "enum":
        return `<${this.classOf(type, source)}>(<i32>load<u${8 * layoutOf(type).size}>(${ptr}))`
      case "flags":
        return `new ${this.classOf(type, source)}(${this.#words(type.labels.length, (bits, offset) => `load<${bits}>(${at(ptr, offset)})`).join(", ")})`
      case "own":
      case "borrow":
        return this.#handle(type, `load<i32>(${ptr})`, source)
      case "list":
        return `${this.#lifter(type, source)}(load<u32>(${ptr}), load<u32>(${ptr}, 4))`
      case "record":
      case "tuple":
      case "variant":
      case "option":
      case "result":
        return `${this.#helper("load", type, source, (name) => this.#writeLoad(name, type))}(${ptr})`
      default:
        return `load<${this.type(type, source)}>(${ptr})`
    }
  }

  /** A statement that writes `value`, an expression without effects, at `ptr`. */
  store(type: ValueType, ptr: string, value: string, source: Source): string {
    switch (type.kind) {
      case "bool":
        return `store<u8>(${ptr}, <u8>${value})`
      case "string":
        return `${this.#helper("store", type, source, (name) => this.#writeStore(name, type))}(${ptr}, ${value})`
      case "enum":
        return `store<u${8 * layoutOf(type).size}>(${ptr}, <u${8 * layoutOf(type).size}>${value})`
      case "own":
      case "borrow":
        return `store<i32>(${ptr}, ${this.#giveHandle(type, value)})`
      case "flags":
      case "list":
      case "record":
      case "tuple":
      case "variant":
      case "option":
      case "result":
        return `${this.#helper("store", type, source, (name) => this.#writeStore(name, type))}(${ptr}, ${value})`
      default:
        return `store<${this.type(type, source)}>(${ptr}, ${value})`
    }
  }

  #words(labels: number, word: (bits: string, offset: number, index: number) => string): ReadonlyArray<string> {
    if (labels === 0) return []
    if (labels <= 8) return [word("u8", 0, 0)]
    if (labels <= 16) return [word("u16", 0, 0)]
    return Array.from({ length: Math.ceil(labels / 32) }, (_, i) => word("u32", 4 * i, i))
  }

  #handle(type: Extract<ValueType, { kind: "own" | "borrow" }>, handle: string, source: Source): string {
    const home = this.home(type.resource)
    if (type.kind === "own") return `${source.of(home.file, home.isExported ? `${home.name}Handle` : home.name)}.from(${handle})`
    // A borrow of what the plugin implements is the address that it gave.
    if (home.isExported) return `changetype<${this.plugin(type.resource, source)}>(<usize>${handle})`
    const resource = this.real(type.resource)
    const name = this.borrowed.get(resource) ?? this.fresh(`borrow${pascal(home.file)}${home.name}`)
    this.borrowed.set(resource, name)
    return `${source.of("abi", name)}(${handle})`
  }
  #giveHandle(type: Extract<ValueType, { kind: "own" | "borrow" }>, value: string): string {
    return type.kind === "own" ? `${value}.take()` : `${value}.handle`
  }

  #lifter(type: Extract<ValueType, { kind: "list" }>, source: Source): string {
    if (isScalar(type.element)) return `${source.rt("liftNumbers")}<${scalars[type.element.kind]}>`
    return this.#helper("lift", type, source, (name) => {
      const { abi } = this
      const element = this.type(type.element, abi)
      const { size } = layoutOf(type.element)
      abi.body.block(`export function ${name}(ptr: usize, length: u32): Array<${element}> {`, () => {
        abi.body.add(`const out = new Array<${element}>(length)`)
        abi.body.add(`for (let i: u32 = 0; i < length; i++) unchecked((out[i] = ${this.load(type.element, `ptr + <usize>i * ${size}`, abi)}))`)
        abi.body.add(`if (length != 0) heap.free(ptr)`, "return out")
      })
    })
  }
  /** The address of a list's elements, as a function of the list. */
  #lowerer(type: Extract<ValueType, { kind: "list" }>, source: Source): string {
    return this.#helper("lower", type, source, (name) => {
      const { abi } = this
      const { size } = layoutOf(type.element)
      abi.body.block(`export function ${name}(list: ${this.type(type, abi)}): usize {`, () => {
        abi.body.add("const length = list.length", `const block = ${abi.rt("allocate")}(<usize>length * ${size})`)
        abi.body.block("for (let i = 0; i < length; i++) {", () => {
          abi.body.add("const element = unchecked(list[i])", this.store(type.element, `block + <usize>i * ${size}`, "element", abi))
        })
        abi.body.add("return block")
      })
    })
  }

  #writeLoad(name: string, type: ValueType): void {
    const { abi } = this
    const { body } = abi
    const whole = this.type(type, abi)
    body.block(`export function ${name}(at: usize): ${whole} {`, () => {
      switch (type.kind) {
        case "record":
        case "tuple": {
          const parts = type.kind === "record" ? type.fields.map((field) => field.type) : type.types
          const { offsets } = recordLayout(parts)
          const args = parts.map((part, i) => this.load(part, at("at", offsets[i] as number), abi))
          return void body.add(`return new ${whole}(${args.join(", ")})`)
        }
        case "variant":
        case "option":
        case "result": {
          const cases = casesOf(type)
          const { discriminant, payloadOffset } = variantLayout(cases.map((one) => one.type))
          body.add(`const tag = load<u${8 * discriminant}>(at)`)
          for (const [i, one] of cases.entries()) {
            const payload = one.type === undefined ? undefined : this.load(one.type, at("at", payloadOffset), abi)
            const made = this.#makeCase(type, i, payload, abi)
            body.add(i === cases.length - 1 ? `return ${made}` : `if (tag == ${i}) return ${made}`)
          }
          return
        }
        default:
      }
    })
  }

  /** The value of a case with a payload that was read. */
  #makeCase(type: Extract<ValueType, { kind: "variant" | "option" | "result" }>, index: number, payload: string | undefined, source: Source): string {
    if (type.kind === "variant") return `${this.classOf(type, source)}.${caseName((type.cases[index] as { label: string }).label)}(${payload ?? ""})`
    if (type.kind === "option") {
      if (this.#isNullable(type)) return payload ?? "null"
      const inner = this.type(type.type, source)
      return index === 0 ? `${source.rt("none")}<${inner}>()` : `${source.rt("some")}<${inner}>(${payload})`
    }
    const [ok, err] = [this.#payload(type.ok, source), this.#payload(type.err, source)]
    return `${source.rt(index === 0 ? "ok" : "err")}<${ok}, ${err}>(${payload ?? "true"})`
  }

  /** How it is told that `value` is case `index`, and its payload. */
  #isCase(
    type: Extract<ValueType, { kind: "variant" | "option" | "result" }>,
    value: string,
    index: number,
  ): { readonly test: string; readonly payload: string } {
    if (type.kind === "variant") {
      const name = pascal((type.cases[index] as { label: string }).label)
      return { test: `${value}.tag == ${index}`, payload: `${value}.as${name}` }
    }
    if (type.kind === "option") {
      if (this.#isNullable(type)) return { test: index === 0 ? `${value} == null` : `${value} != null`, payload: value }
      return { test: index === 0 ? `!${value}.isSome` : `${value}.isSome`, payload: `${value}.value` }
    }
    return { test: index === 0 ? `${value}.isOk` : `!${value}.isOk`, payload: index === 0 ? `${value}.value` : `${value}.error` }
  }

  #writeStore(name: string, type: ValueType): void {
    const { abi } = this
    const { body } = abi
    body.block(`export function ${name}(at: usize, value: ${this.type(type, abi)}): void {`, () => {
      switch (type.kind) {
        case "string":
          // The string itself: it stays where it is until the host has read it, as part of what is kept or passed.
          return void body.add("store<u32>(at, <u32>changetype<usize>(value))", "store<u32>(at, value.length, 4)")
        case "list": {
          const ptr = isScalar(type.element) ? "changetype<usize>(value)" : `${this.#lowerer(type, abi)}(value)`
          return void body.add(`store<u32>(at, <u32>${ptr})`, "store<u32>(at, value.length, 4)")
        }
        case "flags":
          return void body.add(...this.#words(type.labels.length, (bits, offset, i) => `store<${bits}>(${at("at", offset)}, <${bits}>value.bits${i})`))
        case "record":
        case "tuple": {
          const parts =
            type.kind === "record"
              ? type.fields.map((field) => [memberField(field.label), field.type] as const)
              : type.types.map((part, i) => [`item${i}`, part] as const)
          const { offsets } = recordLayout(parts.map(([, part]) => part))
          for (const [i, [label, part]] of parts.entries()) {
            body.add(`const f${i} = value.${label}`, this.store(part, at("at", offsets[i] as number), `f${i}`, abi))
          }
          return
        }
        case "variant":
        case "option":
        case "result": {
          const cases = casesOf(type)
          const { discriminant, payloadOffset } = variantLayout(cases.map((one) => one.type))
          for (const [i, one] of cases.entries()) {
            const { test, payload } = this.#isCase(type, "value", i)
            body.block(`if (${test}) {`, () => {
              body.add(`store<u${8 * discriminant}>(at, ${i})`)
              if (one.type !== undefined) body.add(`const payload = ${payload}`, this.store(one.type, at("at", payloadOffset), "payload", abi))
              body.add("return")
            })
          }
          return
        }
        default:
      }
    })
  }

  // ── Flat values ───────────────────────────────────────────────────────────

  /** An expression for the value that flat values stand for; statements that it needs go to `source`. */
  liftFlat(type: ValueType, flats: ReadonlyArray<Flat>, source: Source, fresh: Fresh): string {
    const one = (i: number, want: FlatType): string => {
      const flat = flats[i] as Flat
      return unwiden(flat.expr, flat.type, want)
    }
    switch (type.kind) {
      case "bool":
        return `${one(0, "i32")} != 0`
      case "u64":
      case "s64":
        return type.kind === "u64" ? `<u64>${one(0, "i64")}` : one(0, "i64")
      case "f32":
      case "f64":
        return one(0, type.kind)
      case "string":
        return `${source.rt("liftString")}(${one(0, "i32")}, ${one(1, "i32")})`
      case "list":
        return `${this.#lifter(type, source)}(${one(0, "i32")}, ${one(1, "i32")})`
      case "enum":
        return `<${this.classOf(type, source)}>${one(0, "i32")}`
      case "flags":
        return `new ${this.classOf(type, source)}(${flats.map((_, i) => `<u32>${one(i, "i32")}`).join(", ")})`
      case "own":
      case "borrow":
        return this.#handle(type, one(0, "i32"), source)
      case "record":
      case "tuple": {
        const parts = type.kind === "record" ? type.fields.map((field) => field.type) : type.types
        let next = 0
        const args = parts.map((part) => {
          const { length } = layoutOf(part).flat as ReadonlyArray<FlatType>
          next += length
          return this.liftFlat(part, flats.slice(next - length, next), source, fresh)
        })
        return `new ${this.type(type, source)}(${args.join(", ")})`
      }
      case "variant":
      case "option":
      case "result": {
        const cases = casesOf(type)
        const out = fresh.name("v")
        const whole = this.type(type, source)
        source.body.add(`let ${out}: ${whole}`)
        for (const [i, { type: part }] of cases.entries()) {
          const last = i === cases.length - 1
          const head = last ? "else {" : `${i === 0 ? "" : "else "}if (${one(0, "i32")} == ${i}) {`
          const write = (): void => {
            const payload =
              part === undefined ? undefined : this.liftFlat(part, flats.slice(1, 1 + (layoutOf(part).flat as ReadonlyArray<FlatType>).length), source, fresh)
            source.body.add(`${out} = ${this.#makeCase(type, i, payload, source)}`)
          }
          if (cases.length === 1) write()
          else source.body.block(head, write)
        }
        return out
      }
      default: {
        const flat = one(0, "i32")
        return type.kind === "s32" ? flat : `<${this.type(type, source)}>${flat}`
      }
    }
  }

  /** The flat values of `value`, an expression without effects; `want` are the types of the slots that they go to. */
  lowerFlat(type: ValueType, value: string, want: ReadonlyArray<FlatType>, source: Source, fresh: Fresh): ReadonlyArray<string> {
    const slot = (expr: string, have: FlatType, i = 0): string => widen(expr, have, want[i] as FlatType)
    switch (type.kind) {
      case "u64":
      case "s64":
        return [slot(`${narrow.i64}${value}`, "i64")]
      case "f32":
      case "f64":
        return [slot(value, type.kind)]
      case "string":
        return [slot(`<i32>changetype<usize>(${value})`, "i32"), slot(`${value}.length`, "i32", 1)]
      case "list": {
        const ptr = isScalar(type.element) ? `changetype<usize>(${value})` : `${this.#lowerer(type, source)}(${value})`
        return [slot(`<i32>${ptr}`, "i32"), slot(`${value}.length`, "i32", 1)]
      }
      case "flags":
        return want.map((_, i) => slot(`<i32>${value}.bits${i}`, "i32", i))
      case "own":
      case "borrow":
        return [slot(this.#giveHandle(type, value), "i32")]
      case "record":
      case "tuple": {
        const parts =
          type.kind === "record"
            ? type.fields.map((field) => [memberField(field.label), field.type] as const)
            : type.types.map((part, i) => [`item${i}`, part] as const)
        let next = 0
        return parts.flatMap(([label, part]) => {
          const { length } = layoutOf(part).flat as ReadonlyArray<FlatType>
          next += length
          return this.lowerFlat(part, this.#named(`${value}.${label}`, source, fresh), want.slice(next - length, next), source, fresh)
        })
      }
      case "variant":
      case "option":
      case "result": {
        const cases = casesOf(type)
        const slots = want.map(() => fresh.name("s"))
        source.body.add(...slots.map((name, i) => `let ${name}: ${want[i]} = 0`))
        for (const [i, { type: part }] of cases.entries()) {
          const { test, payload } = this.#isCase(type, value, i)
          source.body.block(`if (${test}) {`, () => {
            source.body.add(`${slots[0]} = ${widen(String(i), "i32", want[0] as FlatType)}`)
            if (part === undefined) return
            const { length } = layoutOf(part).flat as ReadonlyArray<FlatType>
            const flats = this.lowerFlat(part, this.#named(payload, source, fresh), want.slice(1, 1 + length), source, fresh)
            source.body.add(...flats.map((expr, j) => `${slots[1 + j]} = ${expr}`))
          })
        }
        return slots
      }
      default:
        return [slot(`<i32>${value}`, "i32")]
    }
  }

  /** A name for an expression that is used more than once. */
  #named(expr: string, source: Source, fresh: Fresh): string {
    const name = fresh.name("t")
    source.body.add(`const ${name} = ${expr}`)
    return name
  }
}

/** A field's name: also that of a constructor's parameter. */
export const memberField = (label: string): string => valueName(camel(label))
