/**
 * Bindings of a world for Rust (docs/adr/0044-languages.md): one module without `std`, for rustc 1.63 and later, over traits
 * that say how each type crosses.
 */
import {
  flattenExport,
  flattenImport,
  type FlatType,
  flatParamsMax,
  flatResultsMax,
  layoutOf,
  paramsLayout,
  recordLayout,
  variantLayout,
} from "../../wit/layout.ts"
import { GenerateError } from "../../error/generate.ts"
import type { FunctionType, ResourceType, ValueType } from "../../wit/model.ts"
import type { Note, Notes } from "../../wit/parse/package.ts"
import { type GeneratedFile, Lines, madeFrom, snake } from "../file.ts"
import {
  anyPart,
  type CodeOptions,
  coreExport,
  coreImportModule,
  docLines,
  flagBytes,
  type Module,
  Names,
  type Node,
  place,
  type Placed,
  type PlacedFunction,
  type PlacedType,
} from "../parts.ts"
import { abiText } from "./abi.ts"
import { constName, typeName, valueName } from "./names.ts"

const target = "Rust"
/** Longest tuple that `abi.rs` knows. */
const tupleMax = 12

const scalars: { readonly [K in ValueType["kind"]]?: string } = {
  bool: "bool",
  s8: "i8",
  u8: "u8",
  s16: "i16",
  u16: "u16",
  s32: "i32",
  u32: "u32",
  s64: "i64",
  u64: "u64",
  f32: "f32",
  f64: "f64",
  char: "char",
  string: "String",
}

/** Flat values, without the limit at which they go through memory. */
function flatCount(type: ValueType): number {
  const sum = (types: ReadonlyArray<ValueType>): number => types.reduce((all, part) => all + flatCount(part), 0)
  const most = (types: ReadonlyArray<ValueType | undefined>): number => 1 + Math.max(0, ...types.map((part) => (part === undefined ? 0 : flatCount(part))))
  switch (type.kind) {
    case "record":
      return sum(type.fields.map((field) => field.type))
    case "tuple":
      return sum(type.types)
    case "variant":
      return most(type.cases.map((one) => one.type))
    case "option":
      return most([type.type])
    case "result":
      return most([type.ok, type.err])
    default:
      return layoutOf(type).flat?.length ?? flatParamsMax
  }
}

const hasHandle = (type: ValueType): boolean => anyPart(type, (part) => part.kind === "own" || part.kind === "borrow")

class Generator {
  readonly #placed: Placed
  readonly #notes: Notes | undefined
  readonly #bodies = new Map<string, Lines>()
  readonly #scopes = new Map<string, Names>()
  readonly #exports = new Lines("    ")
  /** What the plugin defines, by what it is: with the interface's name where two are alike. */
  readonly #plugin = new Map<PlacedFunction | ResourceType, string>()

  constructor({ world, notes }: CodeOptions) {
    this.#notes = notes
    this.#placed = place(target, world, notes, ["exports", "abi"])
  }

  run(name: string): ReadonlyArray<GeneratedFile> {
    this.#placePlugin()
    for (const type of this.#placed.types) this.#type(type)
    for (const alias of this.#placed.aliases) this.#alias(alias)
    for (const func of this.#placed.functions) {
      if (func.module.isExport) this.#exported(func)
      else if (func.resource === undefined) this.#imported(func, this.#body(func.module))
    }
    const out = new Lines("    ")
    const head = madeFrom(name)
    out.add(`//! ${head}`, "#![allow(dead_code, unused_imports, unused_variables, non_camel_case_types, clippy::all)]", "#[macro_use]", "mod abi;")
    const parts = [...this.#bodies, ...(this.#exports.isEmpty ? [] : [["exports", this.#exports] as const])]
    for (const [file, body] of parts) {
      out.block(`${file === "exports" ? "" : "pub "}mod ${valueName(file)} {`, () => {
        out.add("extern crate alloc;", "use alloc::{string::String, vec::Vec};", "use super::abi::*;")
        for (const line of String(body).split("\n").slice(0, -1)) out.add(line)
      })
    }
    return [
      { path: "abi.rs", text: abiText(head) },
      { path: "mod.rs", text: String(out) },
    ]
  }

  #body({ file }: Module): Lines {
    const found = this.#bodies.get(file) ?? new Lines("    ")
    this.#bodies.set(file, found)
    return found
  }
  #scope({ file }: Module): Names {
    const found = this.#scopes.get(file) ?? new Names(target)
    this.#scopes.set(file, found)
    return found
  }

  #placePlugin(): void {
    const wanted: Array<{ readonly key: PlacedFunction | ResourceType; readonly short: string; readonly long: string; readonly whose: string }> = []
    for (const func of this.#placed.functions) {
      const { label, module, role } = func
      if (module.isExport && role === "function")
        wanted.push({
          key: func,
          short: valueName(label),
          long: valueName(module.full === undefined ? label : `${module.file}-${label}`),
          whose: coreExport(func),
        })
    }
    for (const { isExported, label, module, node } of this.#placed.types)
      if (isExported)
        wanted.push({ key: node as ResourceType, short: typeName(label), long: typeName(`${module.file}-${label}`), whose: `${module.full}, ${label}` })
    const scope = new Names(target)
    for (const { key, short, long, whose } of wanted)
      this.#plugin.set(key, `crate::${scope.take(wanted.filter((other) => other.short === short).length === 1 ? short : long, whose)}`)
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  #path({ module, label }: PlacedType, from: string): string {
    return module.file === from ? typeName(label) : `super::${valueName(module.file)}::${typeName(label)}`
  }
  /** The name by which code in `from` calls a named type; of a resource, what owns a handle of it. */
  #named(node: Node, from: string): string {
    const placed = this.#placed.placeOf(node)
    const path = this.#path(placed, from)
    return placed.isExported ? `${path}Handle` : path
  }
  #name(type: ValueType, from: string): string {
    const scalar = scalars[type.kind]
    if (scalar !== undefined) return scalar
    const optional = (part: ValueType | undefined): string => (part === undefined ? "()" : this.#name(part, from))
    switch (type.kind) {
      case "list":
        return `Vec<${this.#name(type.element, from)}>`
      case "option":
        return `Option<${this.#name(type.type, from)}>`
      case "result":
        return `Result<${optional(type.ok)}, ${optional(type.err)}>`
      case "tuple":
        if (type.types.length > tupleMax)
          throw new GenerateError("Unsupported", {
            target,
            type: `a tuple of ${type.types.length}`,
            where: from,
            advice: `use a record, or at most ${tupleMax} parts`,
          })
        return `(${type.types.map((part) => `${this.#name(part, from)},`).join(" ")})`
      case "own":
        return this.#named(type.resource, from)
      case "borrow":
        return this.#placed.placeOf(type.resource).isExported
          ? `&'static ${this.#plugin.get(this.#placed.real(type.resource) as ResourceType)}`
          : `Lent<${this.#named(type.resource, from)}>`
      default:
        return this.#named(type, from)
    }
  }

  #docs(note: Note, lines: Lines): void {
    for (const line of docLines(note)) lines.add(`/// ${line}`.trimEnd())
  }

  #alias({ module, label, node, note }: Placed["aliases"][number]): void {
    const body = this.#body(module)
    const own = this.#scope(module).take(typeName(label), `${module.full ?? "the world"}, ${label}`)
    if (node.kind === "resource" || this.#isNamed(node)) {
      const placed = this.#placed.placeOf(node)
      const [path, name] = placed.isExported ? [`${this.#path(placed, "")}Handle`, `${own}Handle`] : [this.#path(placed, ""), own]
      if (placed.module.file === module.file && typeName(placed.label) === own) return
      body.add(`pub use ${path}${path.endsWith(`::${name}`) ? "" : ` as ${name}`};`)
    } else {
      this.#docs(note, body)
      body.add(`pub type ${own} = ${this.#name(node, module.file)};`)
    }
  }
  #isNamed(node: Node): boolean {
    return ["record", "variant", "enum", "flags", "resource"].includes(node.kind)
  }

  #type(type: PlacedType): void {
    const { module, node, note, label } = type
    const body = this.#body(module)
    const name = this.#scope(module).take(typeName(label), `${module.full ?? "the world"}, ${label}`)
    const noteOf = (part: string): Note => this.#notes?.of(node, part) ?? {}
    if (node.kind === "resource") return type.isExported ? this.#exportedResource(type, node) : this.#importedResource(type, node)
    this.#docs(note, body)
    const derived = hasHandle(node) ? "#[derive(Debug)]" : "#[derive(Clone, Debug, PartialEq)]"
    const { align, size } = layoutOf(node)
    const flats = flatCount(node)
    const lines: { load: Array<string>; lift: Array<string>; store: Array<string>; lower: Array<string> } = { load: [], lift: [], store: [], lower: [] }
    switch (node.kind) {
      case "record": {
        const fields = new Names(target)
        const names = node.fields.map((field) => fields.take(valueName(field.label), `${name}, ${field.label}`))
        const { offsets } = recordLayout(node.fields.map((field) => field.type))
        body.add(derived)
        body.block(`pub struct ${name} {`, () => {
          for (const [i, field] of node.fields.entries()) {
            this.#docs(noteOf(field.label), body)
            body.add(`pub ${names[i]}: ${this.#name(field.type, module.file)},`)
          }
        })
        lines.load.push(`${name} { ${names.map((field, i) => `${field}: Lift::load(at.add(${offsets[i]}))`).join(", ")} }`)
        lines.lift.push(`${name} { ${names.map((field) => `${field}: Lift::lift(flats)`).join(", ")} }`)
        lines.store.push(...names.map((field, i) => `self.${field}.store(at.add(${offsets[i]}), blocks);`))
        lines.lower.push(...names.map((field) => `self.${field}.lower(flats, blocks);`))
        break
      }
      case "variant": {
        const cases = new Names(target)
        const names = node.cases.map((one) => cases.take(typeName(one.label), `${name}, ${one.label}`))
        const { discriminant, payloadOffset } = variantLayout(node.cases.map((one) => one.type))
        const bits = `u${8 * discriminant}`
        body.add(derived)
        body.block(`pub enum ${name} {`, () => {
          for (const [i, one] of node.cases.entries()) {
            this.#docs(noteOf(one.label), body)
            body.add(`${names[i]}${one.type === undefined ? "" : `(${this.#name(one.type, module.file)})`},`)
          }
        })
        const each = (payload: string): ReadonlyArray<string> =>
          node.cases.map((one, i) => `    ${i} => ${name}::${names[i]}${one.type === undefined ? "" : `(${payload})`},`)
        lines.load.push(`match *(at as *const ${bits}) {`, ...each(`Lift::load(at.add(${payloadOffset}))`), "    _ => impossible(),", "}")
        lines.lift.push(
          `let end = flats.end(${flats});`,
          "let made = match flats.next() as u32 {",
          ...each("Lift::lift(flats)"),
          "    _ => impossible(),",
          "};",
          "flats.go(end);",
          "made",
        )
        const arms = (write: (i: number) => string, payload: string): ReadonlyArray<string> =>
          node.cases.map(
            (one, i) => `    ${name}::${names[i]}${one.type === undefined ? "" : "(payload)"} => { ${write(i)}${one.type === undefined ? "" : ` ${payload}`} }`,
          )
        lines.store.push("match self {", ...arms((i) => `*(at as *mut ${bits}) = ${i};`, `payload.store(at.add(${payloadOffset}), blocks);`), "}")
        lines.lower.push(
          `let end = flats.end(${flats});`,
          "match self {",
          ...arms((i) => `flats.push(${i});`, "payload.lower(flats, blocks);"),
          "}",
          "flats.go(end);",
        )
        break
      }
      case "enum": {
        const cases = new Names(target)
        const names = node.labels.map((part) => cases.take(typeName(part), `${name}, ${part}`))
        const bits = `u${8 * size}`
        body.add("#[derive(Clone, Copy, Debug, PartialEq, Eq)]")
        body.block(`pub enum ${name} {`, () => {
          for (const [i, part] of node.labels.entries()) {
            this.#docs(noteOf(part), body)
            body.add(`${names[i]},`)
          }
        })
        body.block(`impl ${name} {`, () =>
          body.block("fn of(index: u32) -> Self {", () =>
            body.block("match index {", () => body.add(...names.map((one, i) => `${i} => ${name}::${one},`), "_ => impossible(),")),
          ),
        )
        lines.load.push(`Self::of(*(at as *const ${bits}) as u32)`)
        lines.lift.push("Self::of(flats.next() as u32)")
        lines.store.push(`*(at as *mut ${bits}) = *self as ${bits};`)
        lines.lower.push("flats.push(*self as u64);")
        break
      }
      case "flags":
        this.#flags(name, node.labels, noteOf, body, lines)
        break
      default:
    }
    body.block(`impl Lower for ${name} {`, () => {
      body.add(`const SIZE: usize = ${size};`, `const ALIGN: usize = ${align};`, `const FLATS: usize = ${flats};`)
      body.block("unsafe fn store(&self, at: *mut u8, blocks: &mut Blocks) {", () => body.add(...lines.store))
      body.block("fn lower(&self, flats: &mut Flats, blocks: &mut Blocks) {", () => body.add(...lines.lower))
    })
    body.block(`impl Lift for ${name} {`, () => {
      body.block("unsafe fn load(at: *const u8) -> Self {", () => body.add(...lines.load))
      body.block("unsafe fn lift(flats: &mut Flats) -> Self {", () => body.add(...lines.lift))
    })
  }

  #flags(
    name: string,
    labels: ReadonlyArray<string>,
    noteOf: (label: string) => Note,
    body: Lines,
    lines: { load: Array<string>; lift: Array<string>; store: Array<string>; lower: Array<string> },
  ): void {
    const words = Math.ceil(labels.length / 32)
    const bits = labels.length > 32 ? `[u32; ${words}]` : `u${8 * flagBytes(labels.length)}`
    body.add("#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]", `pub struct ${name}(pub ${bits});`)
    const members = new Names(target)
    const eachWord = (write: (i: number) => string): string => (labels.length > 32 ? `[${Array.from({ length: words }, (_, i) => write(i)).join(", ")}]` : "")
    body.block(`impl ${name} {`, () => {
      for (const [i, label] of labels.entries()) {
        this.#docs(noteOf(label), body)
        const value = labels.length > 32 ? eachWord((word) => (word === i >> 5 ? `1 << ${i & 31}` : "0")) : `1 << ${i}`
        body.add(`pub const ${members.take(constName(label), `${name}, ${label}`)}: ${name} = ${name}(${value});`)
      }
      body.add("/// Has it every flag of the other?")
      body.block(`pub fn has(self, other: ${name}) -> bool {`, () => body.add("self | other == self"))
    })
    body.block(`impl core::ops::BitOr for ${name} {`, () => {
      body.add(`type Output = ${name};`)
      body.block(`fn bitor(self, other: ${name}) -> ${name} {`, () =>
        body.add(labels.length > 32 ? `${name}(${eachWord((i) => `self.0[${i}] | other.0[${i}]`)})` : `${name}(self.0 | other.0)`),
      )
    })
    lines.load.push(`${name}(*(at as *const ${bits}))`)
    lines.store.push(`*(at as *mut ${bits}) = self.0;`)
    if (labels.length > 32) {
      lines.lift.push(`${name}(${eachWord(() => "flats.next() as u32")})`)
      lines.lower.push("for word in self.0 { flats.push(word as u64); }")
    } else {
      lines.lift.push(`${name}(flats.next() as ${bits})`)
      lines.lower.push("flats.push(self.0 as u64);")
    }
  }

  // ── Functions ─────────────────────────────────────────────────────────────

  #external(module: string, name: string, params: ReadonlyArray<FlatType>, results: ReadonlyArray<FlatType>, body: Lines, declared = "import"): void {
    body.add(`#[link(wasm_import_module = ${JSON.stringify(module)})]`)
    body.block('extern "C" {', () => {
      body.add(`#[link_name = ${JSON.stringify(name)}]`)
      body.add(`fn ${declared}(${params.map((flat, i) => `p${i}: ${flat}`).join(", ")})${results[0] === undefined ? "" : ` -> ${results[0]}`};`)
    })
  }

  /** How an import takes an argument: by reference what it only reads. */
  #argument(type: ValueType, from: string): string {
    switch (type.kind) {
      case "string":
        return "&str"
      case "list":
        return `&[${this.#name(type.element, from)}]`
      case "borrow":
        return this.#placed.placeOf(type.resource).isExported ? this.#name(type, from) : `&${this.#named(type.resource, from)}`
      case "record":
      case "variant":
      case "tuple":
      case "option":
      case "result":
        return `&${this.#name(type, from)}`
      default:
        return this.#name(type, from)
    }
  }

  #isInMemory({ result }: FunctionType): boolean {
    return result !== undefined && (layoutOf(result).flat?.length ?? flatParamsMax) > flatResultsMax
  }

  #imported(func: PlacedFunction, body: Lines, scope = this.#scope(func.module), self?: ResourceType): void {
    const { label, module, name: coreName, note, role, type } = func
    const from = module.file
    const name = scope.take(role === "constructor" ? "new" : valueName(label), `${module.full ?? "the world"}, ${coreName}`)
    const isMethod = role === "method"
    const names = new Names(target)
    const params = type.params.map((param) => names.take(valueName(param.label), `${name}, ${param.label}`))
    const shown = type.params.map((param, i) => (isMethod && i === 0 ? "&self" : `${params[i]}: ${this.#argument(param.type, from)}`))
    const result = role === "constructor" && self !== undefined ? "Self" : type.result === undefined ? undefined : this.#name(type.result, from)
    this.#docs(note, body)
    body.block(`pub fn ${name}(${shown.join(", ")})${result === undefined ? "" : ` -> ${result}`} {`, () => {
      const signature = flattenImport(type)
      this.#external(coreImportModule(module), coreName, signature.params, signature.results, body)
      body.add("let blocks = &mut Blocks::new();")
      const layout = paramsLayout(type)
      const values = params.map((param, i) => this.#reading(type.params[i]?.type as ValueType, isMethod && i === 0 ? "self" : param))
      const args: Array<string> = []
      if (layout.flat === undefined) {
        body.add(`let area = blocks.alloc(${layout.size}, ${layout.align});`)
        for (const [i, value] of values.entries()) body.add(`unsafe { Lower::store(${value}, area.add(${layout.offsets[i]}), blocks) };`)
        args.push("area as i32")
      } else if (layout.flat.length > 0) {
        body.add("let flats = &mut Flats::new();")
        for (const value of values) body.add(`Lower::lower(${value}, flats, blocks);`)
        args.push(...layout.flat.map((flat, i) => `flats.${flat}(${i})`))
      }
      if (type.result === undefined) body.add(`unsafe { import(${args.join(", ")}) }`)
      else if (this.#isInMemory(type)) {
        const { align, size } = layoutOf(type.result)
        body.add(`let result = blocks.alloc(${size}, ${align});`)
        body.add(`unsafe { import(${[...args, "result as i32"].join(", ")}) };`, "unsafe { Lift::load(result) }")
      } else body.add(`let result = unsafe { import(${args.join(", ")}) };`, "unsafe { Lift::lift(&mut Flats::of(&[Flat::bits(result)])) }")
    })
  }
  /** A reference to what `Lower` takes. */
  #reading(type: ValueType, value: string): string {
    if (type.kind === "borrow" && !this.#placed.placeOf(type.resource).isExported) return `&Lent::of(${value})`
    return this.#argument(type, "").startsWith("&") ? value : `&${value}`
  }

  #exported(func: PlacedFunction): void {
    const { label, resource, role, type } = func
    const body = this.#exports
    const core = coreExport(func)
    const { params, results } = flattenExport(type)
    const own = resource === undefined ? undefined : this.#plugin.get(this.#placed.real(resource) as ResourceType)
    const handle = resource === undefined ? undefined : this.#named(resource, "exports")
    const names = func.module.full === undefined ? func.name : `${func.module.file}-${func.name}`
    const symbol = snake(names.replaceAll(/[^0-9A-Za-z]+/g, "-"))
    body.add(`#[export_name = ${JSON.stringify(core)}]`)
    body.block(
      `unsafe extern "C" fn export_${symbol}(${params.map((flat, i) => `p${i}: ${flat}`).join(", ")})${results[0] === undefined ? "" : ` -> ${results[0]}`} {`,
      () => {
        const layout = paramsLayout(type)
        if (layout.flat === undefined) {
          for (const [i, param] of type.params.entries())
            body.add(`let a${i}: ${this.#name(param.type, "exports")} = Lift::load((p0 as *const u8).add(${layout.offsets[i]}));`)
          body.add(`free(p0 as *mut u8, ${layout.size}, ${layout.align});`)
        } else if (layout.flat.length > 0) {
          body.add(`let flats = &mut Flats::of(&[${params.map((_, i) => `Flat::bits(p${i})`).join(", ")}]);`)
          for (const [i, param] of type.params.entries()) body.add(`let a${i}: ${this.#name(param.type, "exports")} = Lift::lift(flats);`)
        }
        const args = type.params.map((param, i) => (param.type.kind === "borrow" && !this.#placed.placeOf(param.type.resource).isExported ? `&a${i}` : `a${i}`))
        const plain = valueName(label)
        const call =
          role === "function"
            ? `${this.#plugin.get(func)}(${args.join(", ")})`
            : role === "constructor"
              ? `${handle}::new(${own}::new(${args.join(", ")}))`
              : role === "static"
                ? `${own}::${plain}(${args.join(", ")})`
                : `a0.${plain}(${args.slice(1).join(", ")})`
        if (type.result === undefined) return void body.add(`${call};`)
        body.add(`let result: ${this.#name(type.result, "exports")} = ${call};`)
        if (this.#isInMemory(type)) return void body.add("hold(result)")
        return void body.add(
          "let (flats, blocks) = (&mut Flats::new(), &mut Blocks::new());",
          "Lower::lower(&result, flats, blocks);",
          `flats.${results[0]}(0)`,
        )
      },
    )
    if (!this.#isInMemory(type)) return
    body.add(`#[export_name = ${JSON.stringify(`cabi_post_${core}`)}]`)
    body.block(`unsafe extern "C" fn post_${symbol}(_: i32) {`, () => body.add("release()"))
  }

  #importedResource({ label, module, note }: PlacedType, resource: ResourceType): void {
    const body = this.#body(module)
    const name = typeName(label)
    this.#docs(note, body)
    body.add("/// Owns a handle, and gives it back when it is dropped.", "#[derive(Debug)]", `pub struct ${name}(core::cell::Cell<i32>);`)
    this.#handle(name, coreImportModule(module), label, body)
    const members = this.#placed.functions.filter(
      (func) => !func.module.isExport && func.resource !== undefined && this.#placed.real(func.resource) === resource,
    )
    if (members.length === 0) return
    const scope = new Names(target)
    body.block(`impl ${name} {`, () => {
      for (const func of members) this.#imported(func, body, scope, resource)
    })
  }

  #handle(name: string, module: string, label: string, body: Lines): void {
    body.block(`impl Handle for ${name} {`, () => {
      body.block("fn own(handle: i32) -> Self {", () => body.add(`${name}(core::cell::Cell::new(handle))`))
      body.block("fn cell(&self) -> &core::cell::Cell<i32> {", () => body.add("&self.0"))
      body.block("fn give_back(handle: i32) {", () => {
        this.#external(module, `[resource-drop]${label}`, ["i32"], [], body)
        body.add("unsafe { import(handle) }")
      })
    })
    body.block(`impl Drop for ${name} {`, () => body.block("fn drop(&mut self) {", () => body.add("if self.0.get() != 0 { Self::give_back(self.0.get()) }")))
    body.add(`handle!(${name});`)
  }

  #exportedResource({ label, module }: PlacedType, resource: ResourceType): void {
    const body = this.#body(module)
    const own = this.#plugin.get(resource) as string
    const name = this.#scope(module).take(`${typeName(label)}Handle`, `the handle of ${label}`)
    const from = `[export]${module.full}`
    body.add(
      `/// Owns a handle of a \`${own.slice("crate::".length)}\`, which the plugin implements: \`*handle\` is the value.`,
      "#[derive(Debug)]",
      `pub struct ${name}(core::cell::Cell<i32>);`,
    )
    this.#handle(name, from, label, body)
    body.block(`impl ${name} {`, () =>
      body.block(`pub fn new(value: ${own}) -> Self {`, () => {
        this.#external(from, `[resource-new]${label}`, ["i32"], ["i32"], body)
        body.add("extern crate alloc;", "Self::own(unsafe { import(alloc::boxed::Box::into_raw(alloc::boxed::Box::new(value)) as i32) })")
      }),
    )
    body.block(`impl core::ops::Deref for ${name} {`, () => {
      body.add(`type Target = ${own};`)
      body.block(`fn deref(&self) -> &${own} {`, () => {
        this.#external(from, `[resource-rep]${label}`, ["i32"], ["i32"], body)
        body.add(`unsafe { &*(import(self.0.get()) as *const ${own}) }`)
      })
    })
    body.add("/// A borrowed one is the value itself (CanonicalABI.md `lift_borrow`).")
    body.block(`impl Lower for &'static ${own} {`, () => {
      body.add("const SIZE: usize = 4;", "const ALIGN: usize = 4;", "const FLATS: usize = 1;")
      body.block("unsafe fn store(&self, at: *mut u8, _: &mut Blocks) {", () => body.add(`*(at as *mut i32) = *self as *const ${own} as i32;`))
      body.block("fn lower(&self, flats: &mut Flats, _: &mut Blocks) {", () => body.add(`flats.push(*self as *const ${own} as u64);`))
    })
    body.block(`impl Lift for &'static ${own} {`, () => {
      body.block("unsafe fn load(at: *const u8) -> Self {", () => body.add(`&*(*(at as *const u32) as *const ${own})`))
      body.block("unsafe fn lift(flats: &mut Flats) -> Self {", () => body.add(`&*(flats.next() as u32 as *const ${own})`))
    })
    const symbol = snake(`${module.file}-${label}`)
    this.#exports.add(`#[export_name = ${JSON.stringify(`${module.full}#[dtor]${label}`)}]`)
    this.#exports.block(`unsafe extern "C" fn destroy_${symbol}(value: i32) {`, () =>
      this.#exports.add(`drop(alloc::boxed::Box::from_raw(value as *mut ${own}))`),
    )
  }
}

/**
 * `mod.rs` and `abi.rs` of a world.
 * @throws GenerateError `Unsupported` for streams, futures, maps, async functions and long tuples; `Collision` for two things of one name
 */
export const rustBindings = (options: CodeOptions): ReadonlyArray<GeneratedFile> => new Generator(options).run(options.name)
