/**
 * Bindings of a world for C (docs/adr/0044-languages.md): a header with its types and functions, and the glue between these and the
 * core functions of the canonical ABI.
 *
 * Structures of C for wasm32 lie in memory as values of WIT do (CanonicalABI.md "Alignment", "Element Size"), so lists, results and whatever
 * goes through memory are passed as they are; only flat values are taken apart and put together.
 */
import { flattenExport, flattenImport, type FlatType, flatParamsMax, flatResultsMax, layoutOf, paramsLayout } from "../../wit/layout.ts"
import type { FunctionType, ResourceType, ValueType } from "../../wit/model.ts"
import type { Note, Notes } from "../../wit/parse/package.ts"
import { type GeneratedFile, Lines, madeFrom, snake } from "../file.ts"
import {
  anyPart,
  type CodeOptions,
  coreExport,
  coreImportModule,
  docLines,
  Names,
  partsOf,
  place,
  type Placed,
  type PlacedFunction,
  type PlacedType,
} from "../parts.ts"
import { discriminantType, flagsType, memberName, scalars } from "./names.ts"

const target = "C"
const flatTypes: Readonly<Record<FlatType, string>> = { i32: "int32_t", i64: "int64_t", f32: "float", f64: "double" }
/** Longest name that a type without one is given. */
const nameCharsMax = 60

/** A flat value of type `have` that stands in for one of type `want` (CanonicalABI.md `lift_flat_variant`). */
function unwiden(expr: string, have: FlatType, want: FlatType): string {
  if (have === want) return expr
  if (want === "i32") return `(int32_t)${expr}`
  if (want === "f32") return `stele_f32((uint32_t)${expr})`
  return `stele_f64((uint64_t)${expr})`
}
function widen(expr: string, have: FlatType, want: FlatType): string {
  if (have === want) return expr
  if (have === "f64") return `(int64_t)stele_f64_bits(${expr})`
  if (have === "f32") return `(${flatTypes[want]})stele_f32_bits(${expr})`
  return `(int64_t)(uint32_t)(${expr})`
}

const comment = (note: Note, lines: Lines): void => {
  const parts = docLines(note)
  if (parts.length > 0) lines.add(...parts.map((part) => `/// ${part}`.trimEnd()))
}

class Generator {
  readonly #placed: Placed
  readonly #notes: Notes | undefined
  readonly #names = new Names(target)
  /** Types without a name of their own, by what they are. */
  readonly #anonymous = new Map<string, string>()
  readonly #header = new Lines()
  readonly #declarations = new Lines()
  readonly #glue = new Lines()

  constructor({ world, notes }: CodeOptions) {
    this.#notes = notes
    this.#placed = place(target, world, notes, ["stele"])
    for (const name of ["size_t", ...[8, 16, 32, 64].flatMap((bits) => [`int${bits}_t`, `uint${bits}_t`])]) this.#names.take(name, "stele.h")
  }

  run(name: string): ReadonlyArray<GeneratedFile> {
    for (const type of this.#placed.types) this.#type(type)
    for (const { module, label, node, note } of this.#placed.aliases) {
      if (node.kind === "resource") continue
      const alias = this.#take(`${snake(module.file)}_${snake(label)}`, `${module.full ?? "the world"}, ${label}`)
      const type = this.#name(node)
      comment(note, this.#header)
      if (type !== alias) this.#header.add(`typedef ${type} ${alias};`)
    }
    const imported = this.#placed.functions.filter(({ module }) => !module.isExport)
    const exported = this.#placed.functions.filter(({ module }) => module.isExport)
    for (const func of imported) this.#imported(func)
    for (const type of this.#placed.types) if (type.node.kind === "resource") this.#resource(type, type.node)
    if (exported.length > 0) this.#declarations.add("", "// What the plugin defines.")
    for (const type of this.#placed.types)
      if (type.isExported)
        this.#declarations.add(`void ${this.#resourceName(type.node as ResourceType)}_destroy(${this.#resourceName(type.node as ResourceType)} *self);`)
    for (const func of exported) this.#exported(func)
    const head = madeFrom(name)
    return [
      { path: "plugin.c", text: `// ${head}\n#include "plugin.h"\n${String(this.#glue)}` },
      { path: "plugin.h", text: `// ${head}\n#pragma once\n#include "stele.h"\n\n${String(this.#header)}\n${String(this.#declarations)}` },
    ]
  }

  #take(name: string, whose: string): string {
    return this.#names.take(name, whose)
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  #placeName({ module, label }: PlacedType): string {
    return `${snake(module.file)}_${snake(label)}`
  }
  #resourceName(resource: ResourceType): string {
    return this.#placeName(this.#placed.placeOf(resource))
  }

  #type(type: PlacedType): void {
    const { node, note, isExported } = type
    const name = this.#take(this.#placeName(type), `${type.module.full ?? "the world"}, ${type.label}`)
    const lines = this.#header
    if (node.kind === "resource") {
      comment(note, lines)
      if (isExported) {
        const own = this.#take(`${name}_own`, `the handle of ${type.label}`)
        lines.add(`/// Implemented by the plugin: \`struct ${name}\` is its own.`, `typedef struct ${name} ${name};`)
        lines.add(`/// A handle of one.`, `typedef struct { int32_t handle; } ${own};`, "")
      } else lines.add("/// A handle: `drop` gives it back, and nobody does that by itself.", `typedef struct { int32_t handle; } ${name};`, "")
      return
    }
    for (const part of partsOf(node)) this.#name(part)
    const noteOf = (label: string): Note => this.#notes?.of(node, label) ?? {}
    comment(note, lines)
    const upper = name.toUpperCase()
    switch (node.kind) {
      case "record":
        lines.block(
          "typedef struct {",
          () => {
            const fields = new Names(target)
            for (const field of node.fields) {
              comment(noteOf(field.label), lines)
              lines.add(`${this.#name(field.type)} ${fields.take(memberName(field.label), `${name}, ${field.label}`)};`)
            }
          },
          `} ${name};`,
        )
        break
      case "variant":
        lines.block(
          "enum {",
          () => {
            for (const { label } of node.cases) {
              comment(noteOf(label), lines)
              lines.add(`${this.#take(`${upper}_${snake(label).toUpperCase()}`, `${name}, ${label}`)},`)
            }
          },
          "};",
        )
        this.#cases(
          name,
          "tag",
          discriminantType(node.cases.length),
          node.cases.map((one) => [memberName(one.label), one.type]),
        )
        break
      case "enum":
        lines.block(
          "enum {",
          () => {
            for (const label of node.labels) {
              comment(noteOf(label), lines)
              lines.add(`${this.#take(`${upper}_${snake(label).toUpperCase()}`, `${name}, ${label}`)},`)
            }
          },
          "};",
        )
        lines.add(`typedef ${discriminantType(node.labels.length)} ${name};`)
        break
      case "flags": {
        const holds = flagsType(node.labels.length)
        lines.add(holds === undefined ? `typedef struct { uint32_t bits[${Math.ceil(node.labels.length / 32)}]; } ${name};` : `typedef ${holds} ${name};`)
        for (const [i, label] of node.labels.entries()) {
          comment(noteOf(label), lines)
          const flag = this.#take(`${upper}_${snake(label).toUpperCase()}`, `${name}, ${label}`)
          // Of several words, a flag is its number: `stele_has`, `stele_set`.
          lines.add(`#define ${flag} ${holds === undefined ? String(i) : `((${name})1 << ${i})`}`)
        }
        break
      }
      default:
    }
    lines.add("")
  }

  /** A structure with a tag and one of several values. */
  #cases(name: string, tag: string, tagType: string, cases: ReadonlyArray<readonly [member: string, type: ValueType | undefined]>): void {
    const lines = this.#header
    const named = cases.flatMap(([member, type]) => (type === undefined ? [] : [`${this.#name(type)} ${member};`]))
    const members = new Names(target)
    for (const [member] of cases) members.take(member, `${name}, ${member}`)
    lines.block(
      "typedef struct {",
      () => {
        lines.add(`${tagType} ${tag};`)
        if (named.length > 0) lines.block("union {", () => lines.add(...named), "};")
      },
      `} ${name};`,
    )
  }

  /** What a type is, in a text that no other type has. */
  #identity(type: ValueType): string {
    switch (type.kind) {
      case "list":
        return `list<${this.#identity(type.element)}>`
      case "option":
        return `option<${this.#identity(type.type)}>`
      case "tuple":
        return `tuple<${type.types.map((part) => this.#identity(part)).join()}>`
      case "result":
        return `result<${[type.ok, type.err].map((part) => (part === undefined ? "_" : this.#identity(part))).join()}>`
      default:
        return this.#name(type)
    }
  }

  /** The type's name in C; one that has none gets a structure when it is first asked for. */
  #name(type: ValueType): string {
    const scalar = scalars[type.kind]
    if (scalar !== undefined) return scalar
    if (type.kind === "own" || type.kind === "borrow") {
      const { isExported } = this.#placed.placeOf(type.resource)
      const name = this.#resourceName(type.resource)
      return isExported ? (type.kind === "own" ? `${name}_own` : `${name} *`) : name
    }
    if (type.kind !== "list" && type.kind !== "option" && type.kind !== "tuple" && type.kind !== "result") return this.#placeName(this.#placed.placeOf(type))
    const identity = this.#identity(type)
    const known = this.#anonymous.get(identity)
    if (known !== undefined) return known
    for (const part of partsOf(type)) this.#name(part)
    const words = identity.replaceAll(/\b(?:stele_|u?int(\d+)_t\b)/g, (whole, bits: string | undefined) =>
      bits === undefined ? "" : whole.startsWith("u") ? `u${bits}` : `s${bits}`,
    )
    const readable = `stele_${words
      .replaceAll(/[^0-9A-Za-z_]+/g, "_")
      .replaceAll(/_+/g, "_")
      .replace(/_$/, "")}`
    const short = readable.length > nameCharsMax ? `stele_${type.kind}_type` : readable
    let name = short
    for (let i = 2; this.#names.has(name); i++) name = `${short}_${i}`
    this.#take(name, identity)
    this.#anonymous.set(identity, name)
    const lines = this.#header
    switch (type.kind) {
      case "list":
        lines.add(`typedef struct { ${this.#name(type.element)} *ptr; size_t len; } ${name};`)
        break
      case "option":
        lines.add(`typedef struct { bool is_some; ${this.#name(type.type)} value; } ${name};`)
        break
      case "tuple":
        lines.add(`typedef struct { ${type.types.map((part, i) => `${this.#name(part)} f${i};`).join(" ")} } ${name};`)
        break
      default:
        this.#cases(name, "is_err", "bool", [
          ["ok", type.ok],
          ["err", type.err],
        ])
    }
    return name
  }

  // ── Flat values ───────────────────────────────────────────────────────────

  #flat(type: ValueType): ReadonlyArray<FlatType> {
    return layoutOf(type).flat ?? []
  }

  #parts(type: ValueType): ReadonlyArray<readonly [member: string, type: ValueType]> | undefined {
    if (type.kind === "record") return type.fields.map((field) => [memberName(field.label), field.type])
    return type.kind === "tuple" ? type.types.map((part, i) => [`f${i}`, part]) : undefined
  }
  #alternatives(type: ValueType): { readonly tag: string; readonly cases: ReadonlyArray<readonly [member: string, type: ValueType | undefined]> } | undefined {
    if (type.kind === "variant") return { tag: "tag", cases: type.cases.map((one) => [memberName(one.label), one.type]) }
    if (type.kind === "option")
      return {
        tag: "is_some",
        cases: [
          ["none", undefined],
          ["value", type.type],
        ],
      }
    if (type.kind === "result")
      return {
        tag: "is_err",
        cases: [
          ["ok", type.ok],
          ["err", type.err],
        ],
      }
    return undefined
  }

  /** Does `each` for the case that `value` is. */
  #switch(value: string, tag: string, cases: ReadonlyArray<readonly [string, ValueType | undefined]>, each: (member: string, type: ValueType) => void): void {
    const lines = this.#glue
    if (!cases.some(([, type]) => type !== undefined)) return
    lines.block(`switch ((uint32_t)${value}.${tag}) {`, () => {
      for (const [i, [member, type]] of cases.entries()) {
        if (type === undefined) continue
        lines.block(`case ${i}: {`, () => {
          each(`${value}.${member}`, type)
          lines.add("break;")
        })
      }
    })
  }

  /** Statements that put flat values together to `value`. */
  #lift(type: ValueType, value: string, flats: ReadonlyArray<readonly [expr: string, type: FlatType]>): void {
    const lines = this.#glue
    const one = (i: number, want: FlatType): string => {
      const [expr, have] = flats[i] as readonly [string, FlatType]
      return unwiden(expr, have, want)
    }
    const parts = this.#parts(type)
    const alternatives = this.#alternatives(type)
    if (parts !== undefined) {
      let next = 0
      for (const [member, part] of parts) {
        const { length } = this.#flat(part)
        next += length
        this.#lift(part, `${value}.${member}`, flats.slice(next - length, next))
      }
    } else if (alternatives !== undefined) {
      const { tag, cases } = alternatives
      lines.add(`${value}.${tag} = ${one(0, "i32")};`)
      this.#switch(value, tag, cases, (member, part) => this.#lift(part, member, flats.slice(1, 1 + this.#flat(part).length)))
    } else if (type.kind === "string") lines.add(`${value}.ptr = (const char *)${one(0, "i32")};`, `${value}.len = (size_t)${one(1, "i32")};`)
    else if (type.kind === "list") lines.add(`${value}.ptr = (void *)${one(0, "i32")};`, `${value}.len = (size_t)${one(1, "i32")};`)
    else if (type.kind === "flags" && type.labels.length > 32) flats.forEach((_, i) => lines.add(`${value}.bits[${i}] = (uint32_t)${one(i, "i32")};`))
    else if (this.#isHandle(type)) lines.add(`${value}.handle = ${one(0, "i32")};`)
    else lines.add(`${value} = (${this.#name(type)})${one(0, this.#flat(type)[0] as FlatType)};`)
  }

  /** A handle in a structure of its own; a borrowed one of the plugin's own is a pointer. */
  #isHandle(type: ValueType): boolean {
    return type.kind === "own" || (type.kind === "borrow" && !this.#placed.placeOf(type.resource).isExported)
  }

  /** Statements that take `value` apart into variables of these types. */
  #lower(type: ValueType, value: string, slots: ReadonlyArray<readonly [name: string, type: FlatType]>): void {
    const lines = this.#glue
    const put = (i: number, expr: string, have: FlatType): void => {
      const [name, want] = slots[i] as readonly [string, FlatType]
      lines.add(`${name} = ${widen(expr, have, want)};`)
    }
    const parts = this.#parts(type)
    const alternatives = this.#alternatives(type)
    if (parts !== undefined) {
      let next = 0
      for (const [member, part] of parts) {
        const { length } = this.#flat(part)
        next += length
        this.#lower(part, `${value}.${member}`, slots.slice(next - length, next))
      }
    } else if (alternatives !== undefined) {
      const { tag, cases } = alternatives
      put(0, `(int32_t)${value}.${tag}`, "i32")
      this.#switch(value, tag, cases, (member, part) => this.#lower(part, member, slots.slice(1, 1 + this.#flat(part).length)))
    } else if (type.kind === "string" || type.kind === "list") {
      put(0, `(int32_t)${value}.ptr`, "i32")
      put(1, `(int32_t)${value}.len`, "i32")
    } else if (type.kind === "flags" && type.labels.length > 32) slots.forEach((_, i) => put(i, `(int32_t)${value}.bits[${i}]`, "i32"))
    else if (this.#isHandle(type)) put(0, `${value}.handle`, "i32")
    else {
      const have = this.#flat(type)[0] as FlatType
      put(0, `(${flatTypes[have]})${value}`, have)
    }
  }

  // ── Functions ─────────────────────────────────────────────────────────────

  /** `store_bucket_get`, `api_counter_create`. */
  #functionName({ module, role, resource, label }: PlacedFunction): string {
    const own = role === "constructor" ? "create" : snake(label)
    return resource === undefined ? `${snake(module.file)}_${own}` : `${this.#resourceName(resource)}_${own}`
  }
  #prototype(name: string, { params, result }: FunctionType): string {
    const names = new Names(target)
    const list = params.map(({ label, type }) => this.#declare(type, names.take(memberName(label), `${name}, ${label}`))).join(", ")
    return `${result === undefined ? "void" : this.#name(result)} ${name}(${list === "" ? "void" : list})`.replace("* ", "*")
  }
  #declare(type: ValueType, name: string): string {
    return `${this.#name(type)} ${name}`.replace("* ", "*")
  }
  #coreTypes(types: ReadonlyArray<FlatType>, names?: string): string {
    return types.length === 0 ? "void" : types.map((type, i) => `${flatTypes[type]}${names === undefined ? "" : ` ${names}${i}`}`).join(", ")
  }
  #isInMemory({ result }: FunctionType): boolean {
    return result !== undefined && (layoutOf(result).flat?.length ?? flatParamsMax) > flatResultsMax
  }
  #external(module: string, name: string, declared: string, params: ReadonlyArray<FlatType>, results: ReadonlyArray<FlatType>): void {
    this.#glue.add("", `__attribute__((import_module(${JSON.stringify(module)}), import_name(${JSON.stringify(name)})))`)
    this.#glue.add(`extern ${results[0] === undefined ? "void" : flatTypes[results[0]]} ${declared}(${this.#coreTypes(params)});`)
  }

  #imported(func: PlacedFunction): void {
    const { module, name: coreName, note, type } = func
    const name = this.#take(this.#functionName(func), `${module.full ?? "the world"}, ${coreName}`)
    const lines = this.#glue
    const { params, results } = flattenImport(type)
    const prototype = this.#prototype(name, type)
    comment(note, this.#declarations)
    this.#declarations.add(`${prototype};`)
    this.#external(coreImportModule(module), coreName, `stele_import_${name}`, params, results)
    lines.block(`${prototype} {`, () => {
      const args: Array<string> = []
      if (paramsLayout(type).flat === undefined) {
        lines.block("struct {", () => type.params.forEach((param, i) => lines.add(`${this.#declare(param.type, `a${i}`)};`)), "} stele_area;")
        type.params.forEach(({ label }, i) => lines.add(`stele_area.a${i} = ${memberName(label)};`))
        args.push("(int32_t)&stele_area")
      } else {
        for (const { label, type: part } of type.params) {
          const slots = this.#flat(part).map((flat, i) => [`stele_s${args.length + i}`, flat] as const)
          for (const [slot, flat] of slots) lines.add(`${flatTypes[flat]} ${slot} = 0;`)
          this.#lower(part, memberName(label), slots)
          args.push(...slots.map(([slot]) => slot))
        }
      }
      const { result } = type
      if (result === undefined) return void lines.add(`stele_import_${name}(${args.join(", ")});`)
      lines.add(`${this.#declare(result, "stele_result")};`)
      if (this.#isInMemory(type)) lines.add(`stele_import_${name}(${[...args, "(int32_t)&stele_result"].join(", ")});`)
      else {
        const flat = this.#flat(result)[0] as FlatType
        lines.add(`${flatTypes[flat]} stele_flat = stele_import_${name}(${args.join(", ")});`)
        this.#lift(result, "stele_result", [["stele_flat", flat]])
      }
      return lines.add("return stele_result;")
    })
  }

  #resource({ module, label, isExported }: PlacedType, resource: ResourceType): void {
    const name = this.#resourceName(resource)
    const lines = this.#glue
    const from = isExported ? `[export]${module.full}` : coreImportModule(module)
    const handle = isExported ? `${name}_own` : name
    this.#external(from, `[resource-drop]${label}`, `stele_drop_${name}`, ["i32"], [])
    const drop = `void ${this.#take(`${handle}_drop`, `the drop of ${label}`)}(${handle} self)`
    this.#declarations.add(`${drop};`)
    lines.block(`${drop} {`, () => lines.add(`stele_drop_${name}(self.handle);`))
    if (!isExported) return
    this.#external(from, `[resource-new]${label}`, `stele_new_${name}`, ["i32"], ["i32"])
    this.#external(from, `[resource-rep]${label}`, `stele_rep_${name}`, ["i32"], ["i32"])
    const make = `${handle} ${this.#take(`${handle}_new`, `the handle of ${label}`)}(${name} *self)`
    const rep = `${name} *${this.#take(`${handle}_rep`, `the value of ${label}`)}(${handle} self)`
    this.#declarations.add(`${make};`, `${rep};`)
    lines.block(`${make} {`, () => lines.add(`return (${handle}){stele_new_${name}((int32_t)self)};`))
    lines.block(`${rep} {`, () => lines.add(`return (${name} *)stele_rep_${name}(self.handle);`))
    this.#take(`${name}_destroy`, `the destructor of ${label}`)
    lines.add("", `__attribute__((export_name(${JSON.stringify(`${module.full}#[dtor]${label}`)})))`)
    lines.block(`void stele_destroy_${name}(int32_t self) {`, () => lines.add(`${name}_destroy((${name} *)self);`))
  }

  #exported(func: PlacedFunction): void {
    const { module, name: label, note, type } = func
    const name = this.#take(this.#functionName(func), `${module.full ?? "the world"}, ${label}`)
    const lines = this.#glue
    const { params, results } = flattenExport(type)
    comment(note, this.#declarations)
    this.#declarations.add(`${this.#prototype(name, type)};`)
    const core = coreExport(func)
    const { result } = type
    const returns = results[0] === undefined ? "void" : flatTypes[results[0]]
    lines.add("", `__attribute__((export_name(${JSON.stringify(core)})))`)
    lines.block(`${returns} stele_export_${name}(${this.#coreTypes(params, "p")}) {`, () => {
      const args = type.params.map((_, i) => `a${i}`)
      if (paramsLayout(type).flat === undefined) {
        lines.block("struct stele_area {", () => type.params.forEach((param, i) => lines.add(`${this.#declare(param.type, `a${i}`)};`)), "};")
        args.forEach((arg, i) => lines.add(`${this.#declare((type.params[i] as { type: ValueType }).type, arg)} = ((struct stele_area *)p0)->${arg};`))
      } else {
        let next = 0
        for (const [i, { type: part }] of type.params.entries()) {
          const flats = this.#flat(part).map((flat) => [`p${next++}`, flat] as const)
          lines.add(`${this.#declare(part, `a${i}`)};`)
          this.#lift(part, `a${i}`, flats)
        }
      }
      const call = `${name}(${args.join(", ")})`
      const end = (): void => type.params.forEach(({ type: part }, i) => this.#dropBorrowed(part, `a${i}`, 0))
      if (result === undefined) {
        lines.add(`${call};`)
        return end()
      }
      if (this.#isInMemory(type)) {
        lines.add(`static ${this.#declare(result, "stele_result")};`, `stele_result = ${call};`)
        end()
        return void lines.add("return (int32_t)&stele_result;")
      }
      lines.add(`${this.#declare(result, "stele_result")} = ${call};`)
      end()
      const flat = this.#flat(result)[0] as FlatType
      lines.add(`${flatTypes[flat]} stele_flat = 0;`)
      this.#lower(result, "stele_result", [["stele_flat", flat]])
      return void lines.add("return stele_flat;")
    })
    lines.add("", `__attribute__((export_name(${JSON.stringify(`cabi_post_${core}`)})))`)
    lines.block(`void stele_post_${name}(${this.#coreTypes(results, "p")}) {`, () => lines.add("stele_end_call();"))
  }

  /** Borrowed handles end with the call that they were lent for. */
  #dropBorrowed(type: ValueType, value: string, depth: number): void {
    const lines = this.#glue
    if (!anyPart(type, (part) => part.kind === "borrow" && this.#isHandle(part))) return
    const parts = this.#parts(type)
    const alternatives = this.#alternatives(type)
    if (parts !== undefined) for (const [member, part] of parts) this.#dropBorrowed(part, `${value}.${member}`, depth)
    else if (alternatives !== undefined) this.#switch(value, alternatives.tag, alternatives.cases, (member, part) => this.#dropBorrowed(part, member, depth))
    else if (type.kind === "list")
      lines.block(`for (size_t i${depth} = 0; i${depth} < ${value}.len; i${depth}++) {`, () =>
        this.#dropBorrowed(type.element, `${value}.ptr[i${depth}]`, depth + 1),
      )
    else if (type.kind === "borrow") lines.add(`${this.#resourceName(type.resource)}_drop(${value});`)
  }
}

/**
 * `plugin.h` and `plugin.c` of a world.
 * @throws GenerateError `Unsupported` for streams, futures, maps and async functions; `Collision` for two things of one name
 */
export const cBindings = (options: CodeOptions): ReadonlyArray<GeneratedFile> => new Generator(options).run(options.name)
