/**
 * Plugins in AssemblyScript for any world, written by a program: what they are given they tell as text, and what they
 * answer and pass to imports are values that the test chose. So what crosses is seen in each of the four directions, also
 * where a signature does not give back what it takes.
 */
import { type Chooser, randomValue } from "../../../runtime/author/random-value.ts"
import { isTaggedOption } from "../../../schemas/value/form.ts"
import { camel, Lines, pascal } from "../../../schemas/generate/file.ts"
import { memberNameOf, memberOf, type Module, type PluginSurface } from "../../../schemas/generate/assemblyscript/mod.ts"
import { caseName, flagName, valueName } from "../../../schemas/generate/assemblyscript/names.ts"
import { memberField, Source } from "../../../schemas/generate/assemblyscript/values.ts"
import type { FunctionType, ResourceType, ValueType } from "../../../schemas/wit/model.ts"
import { propertyName } from "../../../schemas/wit/model.ts"
import { anywhere } from "../../../schemas/wit/tree.ts"

/** Stands for a handle in a value; the host gives an object for it. */
export class Handle {
  readonly resource: ResourceType
  constructor(resource: ResourceType) {
    this.resource = resource
  }
}

/** Thrown where no value of a type can be made. */
export class Unmakeable extends Error {}

const hasHandles = anywhere((type) => type.kind === "own" || type.kind === "borrow")

/** A value of any type; `handle` makes those of handles or throws `Unmakeable`. */
export function valueOf(type: ValueType, choose: Chooser, handle: (type: Extract<ValueType, { kind: "own" | "borrow" }>) => unknown): unknown {
  if (!hasHandles(type)) return randomValue(type, choose, 0)
  const inner = (part: ValueType): unknown => valueOf(part, choose, handle)
  const attempt = (part: ValueType | undefined): { readonly val: unknown } | undefined => {
    try {
      return part === undefined ? undefined : { val: inner(part) }
    } catch (error) {
      if (error instanceof Unmakeable) return undefined
      throw error
    }
  }
  switch (type.kind) {
    case "own":
    case "borrow":
      return handle(type)
    case "list":
      return Array.from({ length: choose.below(3) }, () => attempt(type.element)).flatMap((one) => (one === undefined ? [] : [one.val]))
    case "record":
      return Object.fromEntries(type.fields.map(({ label, type: part }) => [propertyName(label), inner(part)]))
    case "tuple":
      return type.types.map(inner)
    case "option": {
      const some = choose.once(4) ? undefined : attempt(type.type)
      if (isTaggedOption(type.type)) return some === undefined ? { tag: "none" } : { tag: "some", val: some.val }
      return some?.val
    }
    case "variant":
    case "result": {
      const cases =
        type.kind === "variant"
          ? type.cases
          : [
              { label: "ok", type: type.ok },
              { label: "err", type: type.err },
            ] // prettier
      const first = choose.below(cases.length)
      for (let i = 0; i < cases.length; i++) {
        const one = cases[(first + i) % cases.length] as { readonly label: string; readonly type?: ValueType }
        if (one.type === undefined) return { tag: one.label }
        const payload = attempt(one.type)
        if (payload !== undefined) return { tag: one.label, val: payload.val }
      }
      throw new Unmakeable(type.kind)
    }
    default:
      throw new Unmakeable(type.kind)
  }
}

const bits = (value: number, isDouble: boolean): string => {
  const view = new DataView(new ArrayBuffer(8))
  if (isDouble) view.setFloat64(0, value)
  else view.setFloat32(0, value)
  return (isDouble ? view.getBigUint64(0) : view.getUint32(0)).toString()
}

/** What a plugin tells of a value that it was given. Handles are `#`. */
export function told(type: ValueType, value: unknown): string {
  const payload = (part: ValueType | undefined, val: unknown): string => (part === undefined ? "" : told(part, val))
  switch (type.kind) {
    case "bool":
      return value === true ? "1" : "0"
    case "f32":
    case "f64":
      return Number.isNaN(value) ? "nan" : bits(value as number, type.kind === "f64")
    case "char":
      return String((value as string).codePointAt(0))
    case "string":
      return `'${(value as string).length}:${value as string}`
    case "list":
      return `[${Array.from(value as ArrayLike<unknown>, (one) => `${told(type.element, one)},`).join("")}]`
    case "record":
      return `{${type.fields.map(({ label, type: part }) => `${told(part, (value as Record<string, unknown>)[propertyName(label)])},`).join("")}}`
    case "tuple":
      return `(${type.types.map((part, i) => `${told(part, (value as ReadonlyArray<unknown>)[i])},`).join("")})`
    case "flags":
      return type.labels.map((label) => ((value as Record<string, boolean>)[propertyName(label)] === true ? "1" : "0")).join("")
    case "enum":
      return String(type.labels.indexOf(value as string))
    case "variant": {
      const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
      const index = type.cases.findIndex(({ label }) => label === tag)
      return `${index}<${payload(type.cases[index]?.type, val)}>`
    }
    case "option": {
      const isTagged = isTaggedOption(type.type)
      const isNone = isTagged ? (value as { readonly tag: string }).tag === "none" : value === undefined
      return isNone ? "-" : `+${told(type.type, isTagged ? (value as { readonly val: unknown }).val : value)}`
    }
    case "result": {
      const { tag, val } = value as { readonly tag: "ok" | "err"; readonly val?: unknown }
      return `${tag}<${payload(type[tag], val)}>`
    }
    case "own":
    case "borrow":
      return "#"
    default:
      return String(value)
  }
}

/** An exported function, with the answer it gives; or why it cannot be called. */
export interface PlannedExport {
  /** As `Plugin.call` names it. */
  readonly name: string
  readonly module: Module
  readonly label: string
  readonly type: FunctionType
  readonly answer: { readonly val: unknown } | undefined
}
/** An import that the plugin calls once in `zz-run`, in this order. */
export interface PlannedImport {
  readonly module: Module
  readonly label: string
  readonly type: FunctionType
  readonly args: ReadonlyArray<unknown>
}
export interface PlannedPlugin {
  readonly source: string
  readonly exports: ReadonlyArray<PlannedExport>
  readonly imports: ReadonlyArray<PlannedImport>
  /** Functions that no value can be made for. */
  readonly left: number
}

/** Functions of the test's own that a world gets: run every import, and what was told since it was asked last. */
export const withOwnExports = (wit: string): string => wit.replace(/world the-world \{/, "$&\n  export zz-run: func();\n  export zz-told: func() -> string;")

/**
 * The same world where every resource has a constructor, so that a plugin can make what it is to give away; `plainly`: one
 * that needs no handles and does not fail.
 */
export const withConstructors = (wit: string, plainly: boolean): string =>
  wit.replaceAll(/resource (%?[\w-]+)(?:;| \{\}| \{\n([^}]*)\})/g, (whole, name: string, methods: string | undefined = "") => {
    if (!methods.includes("constructor(")) return `resource ${name} {\n  constructor();\n${methods}}`
    return plainly ? whole.replace(/constructor\([^;]*;/, "constructor(start: string);") : whole
  })

export class PluginWriter {
  readonly #surface: PluginSurface
  readonly #choose: Chooser
  readonly #source = new Source("plugin")
  readonly #helpers = new Map<string, string>()
  readonly #pending: Array<() => void> = []
  readonly #exports: Array<PlannedExport> = []
  readonly #imports: Array<PlannedImport> = []
  #left = 0
  #names = 0

  constructor(surface: PluginSurface, choose: Chooser) {
    this.#surface = surface
    this.#choose = choose
  }

  write(): PlannedPlugin {
    const { body } = this.#source
    body.add('let zzText = ""', "export function zzTold(): string {", "  const it = zzText", '  zzText = ""', "  return it", "}")
    for (const module of this.#surface.modules) if (module.isExport) this.#module(module)
    body.block("export function zzRun(): void {", () => {
      for (const module of this.#surface.modules) if (!module.isExport) this.#calls(module)
    })
    while (this.#pending.length > 0) this.#pending.shift()?.()
    const { runtime, uses } = this.#source
    const head = new Lines()
    if (runtime.size > 0) head.add(`import { ${[...runtime].join(", ")} } from "../bindings/runtime"`)
    for (const file of uses) head.add(`import * as $${camel(file)} from "../bindings/${file}"`)
    // Its own classes have no prefix here.
    const text = `${String(head)}${String(body)}`.replaceAll("$plugin.", "")
    return { source: text, exports: this.#exports, imports: this.#imports, left: this.#left }
  }

  #type(type: ValueType): string {
    return this.#surface.values.type(type, this.#source)
  }
  #isExported(resource: ResourceType): boolean {
    return this.#surface.values.home(resource).isExported
  }

  // ── What the plugin implements ────────────────────────────────────────────

  #module(module: Module): void {
    const { body } = this.#source
    const members = new Map<string, Array<readonly [label: string, type: FunctionType]>>()
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "function" || label.startsWith("zz-")) continue
      const { resource, role } = memberOf(label)
      if (role === "function") this.#function(`export function ${this.#surface.nameOf(module, label)}`, module, label, extern)
      else members.set(resource ?? "", [...(members.get(resource ?? "") ?? []), [label, extern]])
    }
    const seen = new Set<ResourceType>()
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "resource-type" || seen.has(extern.resource) || this.#surface.values.real(extern.resource) !== extern.resource) continue
      seen.add(extern.resource)
      const home = this.#surface.values.home(extern.resource)
      if (!home.isExported || home.file !== module.file) continue
      body.block(`export class ${home.name} {`, () => {
        body.add("zzSelf: i32 = 7")
        for (const [member, type] of members.get(label) ?? []) {
          const { role } = memberOf(member)
          const head = role === "constructor" && type.result?.kind === "own" ? "constructor" : `${role === "method" ? "" : "static "}${memberNameOf(member)}`
          this.#function(head, module, member, type)
        }
      })
    }
  }

  #function(head: string, module: Module, label: string, type: FunctionType): void {
    const { body } = this.#source
    const isMethod = memberOf(label).role === "method"
    const isConstructor = head === "constructor"
    const name = module.full === undefined ? label : `${module.full}#${label}`
    const params = type.params.slice(isMethod ? 1 : 0).map(({ type: part }, i) => `p${i}: ${this.#type(part)}`)
    const result = isConstructor ? "" : `: ${type.result === undefined ? "void" : this.#type(type.result)}`
    let answer: { readonly val: unknown } | undefined
    body.block(`${head}(${params.join(", ")})${result} {`, () => {
      if (isMethod) body.add("if (this.zzSelf != 7) unreachable()")
      for (const [i, { type: part }] of type.params.slice(isMethod ? 1 : 0).entries()) body.add(`zzText += ${this.#tell(part, `p${i}`)} + ";"`)
      if (isConstructor || type.result === undefined) {
        answer = { val: isConstructor ? new Handle((type.result as { resource: ResourceType }).resource) : undefined }
        return
      }
      try {
        const val = valueOf(type.result, this.#choose, (part) => this.#answerable(part))
        body.add(`return ${this.#literal(type.result, val)}`)
        answer = { val }
      } catch (error) {
        if (!(error instanceof Unmakeable)) throw error
        this.#left++
        body.add("return unreachable()")
      }
    })
    this.#exports.push({ name, module, label, type, answer })
  }

  /** Handles that the plugin can give away: its own, and those that it can make by a constructor. */
  #answerable({ resource }: { readonly resource: ResourceType }): Handle {
    if (!this.#isExported(resource) && this.#constructorOf(resource) === undefined) throw new Unmakeable("no constructor")
    return new Handle(resource)
  }

  readonly #constructors = new Map<ResourceType, FunctionType | undefined>()
  /** An imported constructor that cannot fail and whose arguments can be made. */
  #constructorOf(resource: ResourceType): FunctionType | undefined {
    const { values } = this.#surface
    const real = values.real(resource)
    if (this.#constructors.has(real)) return this.#constructors.get(real)
    // While it is looked for there is none: nothing needs itself.
    this.#constructors.set(real, undefined)
    for (const { externs, isExport } of this.#surface.modules) {
      if (isExport) continue
      for (const [label, extern] of externs) {
        if (extern.kind !== "resource-type" || extern.resource !== real) continue
        const made = externs.get(`[constructor]${label}`)
        if (made?.kind === "function" && made.result?.kind === "own" && made.params.every(({ type }) => !hasHandles(type))) this.#constructors.set(real, made)
      }
    }
    return this.#constructors.get(real)
  }

  // ── What it calls ─────────────────────────────────────────────────────────

  #calls(module: Module): void {
    const { body } = this.#source
    const { values } = this.#surface
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "function") continue
      const { resource = "", role } = memberOf(label)
      try {
        const args = extern.params.map(({ type }) => valueOf(type, this.#choose, (part) => this.#answerable(part)))
        const lines = new Lines()
        const kept = this.#owned
        this.#owned = []
        const locals = extern.params.map(({ type }, i) => {
          const name = `a${this.#names++}`
          lines.add(`const ${name}: ${this.#type(type)} = ${this.#literal(type, args[i], lines)}`)
          return name
        })
        const owner = module.externs.get(resource)
        const class_ = owner?.kind === "resource-type" ? values.classOf(owner.resource, this.#source) : ""
        const callee =
          role === "function"
            ? this.#source.of(module.file, valueName(camel(label)))
            : role === "method"
              ? `${locals.shift() ?? ""}.${memberNameOf(label)}`
              : `${class_}.${memberNameOf(label)}`
        const call = `${callee}(${locals.join(", ")})`
        lines.add(extern.result === undefined ? call : `zzText += ${this.#tell(extern.result, call)} + ";"`)
        for (const borrowed of this.#owned) lines.add(`${borrowed}.drop()`)
        this.#owned = kept
        body.block("{", () => body.add(...String(lines).trimEnd().split("\n")))
        this.#imports.push({ module, label, type: extern, args })
      } catch (error) {
        if (!(error instanceof Unmakeable)) throw error
        this.#left++
      }
    }
  }

  /** Handles that were made to be lent, and are to be dropped after. */
  #owned: Array<string> = []

  // ── Values as source ──────────────────────────────────────────────────────

  /** An expression for a value. `lines`: where statements before it go, which only borrowed handles need. */
  #literal(type: ValueType, value: unknown, lines?: Lines): string {
    const inner = (part: ValueType, val: unknown): string => this.#literal(part, val, lines)
    const whole = (): string => this.#type(type)
    switch (type.kind) {
      case "bool":
        return value === true ? "true" : "false"
      case "char":
        return String((value as string).codePointAt(0))
      case "string":
        // AssemblyScript reads the escapes of JavaScript.
        return `"${Array.from({ length: (value as string).length }, (_, i) => `\\u${(value as string).charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`
      case "f32":
      case "f64":
        return type.kind === "f64" ? `reinterpret<f64>(<u64>${bits(value as number, true)})` : `reinterpret<f32>(<u32>${bits(value as number, false)})`
      case "u64":
        return `<u64>${value as bigint}`
      case "s64":
        return `<i64>0x${BigInt.asUintN(64, value as bigint).toString(16)}`
      case "list":
        return `[${Array.from(value as ArrayLike<unknown>, (one) => inner(type.element, one)).join(", ")}] as ${whole()}`
      case "record":
        return `new ${whole()}(${type.fields.map(({ label, type: part }) => inner(part, (value as Record<string, unknown>)[propertyName(label)])).join(", ")})`
      case "tuple":
        return `new ${whole()}(${type.types.map((part, i) => inner(part, (value as ReadonlyArray<unknown>)[i])).join(", ")})`
      case "flags":
        return this.#flags(type, value as Record<string, boolean>)
      case "enum":
        return `${whole()}.${valueName(camel(value as string))}`
      case "variant": {
        const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
        const part = type.cases.find(({ label }) => label === tag)?.type
        return `${whole()}.${caseName(tag)}(${part === undefined ? "" : inner(part, val)})`
      }
      case "option": {
        const isTagged = isTaggedOption(type.type)
        const isNone = isTagged ? (value as { readonly tag: string }).tag === "none" : value === undefined
        const text = whole()
        if (text.endsWith(" | null")) return isNone ? "null" : inner(type.type, isTagged ? (value as { readonly val: unknown }).val : value)
        const made = this.#source.rt(isNone ? "none" : "some")
        return `${made}<${this.#type(type.type)}>(${isNone ? "" : inner(type.type, isTagged ? (value as { readonly val: unknown }).val : value)})`
      }
      case "result": {
        const { tag, val } = value as { readonly tag: "ok" | "err"; readonly val?: unknown }
        const [a, e] = [type.ok, type.err].map((part) => (part === undefined ? this.#source.rt("Unit") : this.#type(part)))
        const part = type[tag]
        return `${this.#source.rt(tag)}<${a}, ${e}>(${part === undefined ? this.#source.rt("unit") : inner(part, val)})`
      }
      case "own":
      case "borrow":
        return this.#handle(type, lines)
      default:
        return `<${whole()}>${value as number}`
    }
  }

  #flags(type: Extract<ValueType, { kind: "flags" }>, value: Record<string, boolean>): string {
    const whole = this.#type(type)
    const name = this.#helper(`flags${whole}${JSON.stringify(value)}`, (made) => {
      const { body } = this.#source
      body.block(`function ${made}(): ${whole} {`, () => {
        body.add(`const it = new ${whole}()`)
        for (const label of type.labels) if (value[propertyName(label)] === true) body.add(`it.${flagName(label)} = true`)
        body.add("return it")
      })
    })
    return `${name}()`
  }

  #handle({ kind, resource }: Extract<ValueType, { kind: "own" | "borrow" }>, lines: Lines | undefined): string {
    const home = this.#surface.values.home(resource)
    const class_ = this.#surface.values.classOf(resource, this.#source)
    if (home.isExported) {
      const object = `changetype<${home.name}>(zzObject(offsetof<${home.name}>(), idof<${home.name}>()))`
      this.#helper(
        "zzObject",
        () => {
          // Without the constructor, whose arguments may be anything.
          this.#source.body.add("function zzObject(size: usize, id: u32): usize {", "  const at = __new(size, id)", "  store<i32>(at, 7)", "  return at", "}")
        },
        "zzObject",
      ) // prettier
      return `${class_}Handle.from$(${object})`
    }
    const { params } = this.#constructorOf(resource) as FunctionType
    const made = `${class_}.create(${params.map(({ type }) => this.#literal(type, randomValue(type, this.#choose, 0))).join(", ")})`
    if (kind === "own") return made
    const name = `h${this.#names++}`
    lines?.add(`const ${name} = ${made}`)
    this.#owned.push(name)
    return name
  }

  // ── What it tells ─────────────────────────────────────────────────────────

  #helper(key: string, write: (name: string) => void, wanted?: string): string {
    const known = this.#helpers.get(key)
    if (known !== undefined) return known
    const name = wanted ?? `zz${this.#names++}`
    this.#helpers.set(key, name)
    this.#pending.push(() => write(name))
    return name
  }

  /** An expression of text for a value. Owned handles are given back on the way. */
  #tell(type: ValueType, value: string): string {
    const whole = this.#type(type)
    const name = this.#helper(`tell ${type.kind === "borrow" ? "borrow " : ""}${type.kind === "char" ? "char " : ""}${this.#shape(type)}${whole}`, (made) => {
      const { body } = this.#source
      body.block(`function ${made}(v: ${whole}): string {`, () => this.#teller(type))
    })
    return `${name}(${value})`
  }
  /** Types that are written alike and told differently: char and u32, own and borrowed handles. */
  #shape(type: ValueType): string {
    const inner = (part: ValueType | undefined): string => (part === undefined ? "_" : this.#shape(part))
    switch (type.kind) {
      case "list":
        return `[${inner(type.element)}]`
      case "option":
        return `?${inner(type.type)}`
      case "result":
        return `<${inner(type.ok)},${inner(type.err)}>`
      case "tuple":
        return `(${type.types.map(inner).join()})`
      default:
        return type.kind
    }
  }

  #teller(type: ValueType): void {
    const { body } = this.#source
    switch (type.kind) {
      case "bool":
        return void body.add('return v ? "1" : "0"')
      case "f32":
      case "f64":
        return void body.add(`return isNaN(v) ? "nan" : reinterpret<${type.kind === "f32" ? "u32" : "u64"}>(v).toString()`)
      case "string":
        return void body.add('return "\'" + v.length.toString() + ":" + v')
      case "list":
        return void body.add('let out = "["', `for (let i = 0; i < v.length; i++) out += ${this.#tell(type.element, "v[i]")} + ","`, 'return out + "]"')
      case "record":
        return void body.add(
          `return "{" + ${type.fields.map(({ label, type: part }) => `${this.#tell(part, `v.${memberField(label)}`)} + "," + `).join("")}"}"`,
        )
      case "tuple":
        return void body.add(`return "(" + ${type.types.map((part, i) => `${this.#tell(part, `v.item${i}`)} + "," + `).join("")}")"`)
      case "flags":
        return void body.add(`return "" + ${type.labels.map((label) => `(v.${flagName(label)} ? "1" : "0")`).join(" + ")}`)
      case "enum":
        return void body.add("return (<i32>v).toString()")
      case "variant":
        for (const [i, one] of type.cases.entries())
          body.add(
            `if (v.is${pascal(one.label)}) return "${i}<" + ${one.type === undefined ? "" : `${this.#tell(one.type, `v.as${pascal(one.label)}`)} + `}">"`,
          )
        return void body.add("return unreachable()")
      case "option": {
        if (this.#type(type).endsWith(" | null")) return void body.add('if (v == null) return "-"', `return "+" + ${this.#tell(type.type, "v")}`)
        return void body.add('if (v.isNone) return "-"', `return "+" + ${this.#tell(type.type, "v.value")}`)
      }
      case "result":
        return void body.add(
          `if (v.isOk) return "ok<" + ${type.ok === undefined ? "" : `${this.#tell(type.ok, "v.value")} + `}">"`,
          `return "err<" + ${type.err === undefined ? "" : `${this.#tell(type.err, "v.error")} + `}">"`,
        )
      case "own":
        return void body.add("v.drop()", 'return "#"')
      case "borrow":
        return void body.add('return "#"')
      default:
        return void body.add("return v.toString()")
    }
  }
}
