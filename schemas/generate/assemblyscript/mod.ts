/**
 * Bindings of a world for AssemblyScript (docs/adr/0042-assemblyscript-bindings.md): one file for each interface, one for how
 * values cross, and the entry that `asc` compiles, which calls the plugin's own functions.
 */
import { flatParamsMax, flattenExport, flattenImport, flatResultsMax, layoutOf, paramsLayout } from "../../wit/layout.ts"
import type { FunctionType, ResourceType, ValueType } from "../../wit/model.ts"
import type { Note } from "../../wit/parse/package.ts"
import { camel, type GeneratedFile, Lines, madeFrom, pascal } from "../file.ts"
import { anyPart, type CodeOptions, memberOf, type Module, modulesOf, noNote, refuseModules } from "../parts.ts"
import { caseName, flagName, isNamed, memberName, type Node, nodeOf, Scope, typeName, valueName } from "./names.ts"
import { runtimeText } from "./runtime.ts"
import { type Flat, Fresh, hasPointers, type Home, memberField, needsBlocks, Source, Values } from "./values.ts"

export interface AssemblyScriptOptions extends CodeOptions {
  /** The plugin's own module, as the generated files import it; default `../src/plugin`. */
  readonly plugin?: string
}

export interface AssemblyScriptBindings {
  readonly files: ReadonlyArray<GeneratedFile>
  /** Path of the file that `asc` compiles, among `files`. */
  readonly entry: string
  /** The entry's export names → those of the component model, which the transform gives them. */
  readonly exports: Readonly<Record<string, string>>
}

/** What the author's module names, as bindings expect it: for what writes such a module. */
export interface PluginSurface {
  /** How types are written in a `Source`. */
  readonly values: Values
  readonly modules: ReadonlyArray<Module>
  /** The plugin's function for one that an exported interface has. */
  nameOf(module: Module, label: string): string
}

export { memberOf, type Module }

/** What files of bindings, and what the plugin's own module, are imported as. */
const fixedFiles = ["runtime", "abi", "exports", "world", "plugin"]

/** A resource's member as its class has it. */
export function memberNameOf(name: string): string {
  const { role, label } = memberOf(name)
  return role === "constructor" ? "create" : memberName(camel(label))
}

const comment = (note: Note, lines: Lines): void => {
  const text = [note.docs, note.deprecated === undefined ? undefined : `@deprecated since ${note.deprecated}`].filter((part) => part !== undefined).join("\n")
  if (text === "") return
  const parts = text.replaceAll("*/", "* /").split("\n")
  if (parts.length === 1) lines.add(`/** ${parts[0]} */`)
  else lines.add("/**", ...parts.map((part) => ` * ${part}`.trimEnd()), " */")
}

class Generator {
  readonly #options: AssemblyScriptOptions
  readonly #modules: ReadonlyArray<Module>
  readonly #sources = new Map<string, Source>()
  readonly #homes = new Map<Node, Home>()
  readonly #alias = new Map<Node, Node>()
  readonly #values: Values
  readonly #entry = new Source("exports")
  readonly #exports: Record<string, string> = { cabiRealloc: "cabi_realloc" }
  /** What the plugin itself names: functions and classes of all exported interfaces are in one module. */
  readonly #pluginNames = new Map<string, string>()
  /** Bytes of the largest result of an import and of an export that crosses in memory. */
  readonly #areas = { import: 0, export: 0 }

  constructor(options: AssemblyScriptOptions) {
    this.#options = options
    this.#modules = modulesOf(options.world, fixedFiles)
    this.#values = new Values(this.#homes, this.#alias)
  }

  run(): AssemblyScriptBindings {
    refuseModules("AssemblyScript", this.#modules)
    this.#place()
    for (const module of this.#modules) {
      this.#types(module)
      if (module.isExport) this.#exported(module)
      else this.#imported(module)
    }
    this.#values.finish()
    this.#borrows()
    this.#values.finish()
    const head = madeFrom(this.#options.name)
    const files = [
      {
        path: "runtime.ts",
        text: runtimeText(
          head,
          [...this.#values.tuples].toSorted((a, b) => a - b),
        ),
      },
    ]
    this.#areaConstants()
    for (const source of [...this.#sources.values(), this.#values.abi, this.#entry]) files.push({ path: `${source.name}.ts`, text: this.#text(source, head) })
    files.push({ path: "exports.json", text: `${JSON.stringify(this.#exports, undefined, 2)}\n` })
    return { files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)), entry: "exports.ts", exports: this.#exports }
  }

  surface(): PluginSurface {
    this.#place()
    return { values: this.#values, modules: this.#modules, nameOf: ({ full = "" }, label) => this.#pluginNames.get(`${full}#${label}`) ?? "" }
  }

  #source(file: string): Source {
    const source = this.#sources.get(file) ?? new Source(file)
    this.#sources.set(file, source)
    return source
  }

  #note(owner: object, name?: string): Note {
    return this.#options.notes?.of(owner, name) ?? noNote
  }
  /** The note of something that a module has. */
  #noteIn({ full, externs, isExport }: Module, name: string): Note {
    if (full !== undefined) return this.#note(externs, name)
    return this.#note(isExport ? this.#options.world.exports : this.#options.world.imports, name)
  }

  // ── Names ─────────────────────────────────────────────────────────────────

  /** Gives every named type its class, and knows which are other names of one. */
  #place(): void {
    const scopes = new Map<string, Scope>()
    for (const module of this.#modules) {
      const scope = scopes.get(module.file) ?? new Scope()
      scopes.set(module.file, scope)
      for (const [label, extern] of module.externs) {
        const node = nodeOf(extern)
        if (node === undefined || !isNamed(node) || this.#homes.has(node)) continue
        const { alias, use } = this.#noteIn(module, label)
        const original = alias === undefined ? use && this.#used(module, use.interface, use.name) : nodeOf(module.externs.get(alias))
        if (original !== undefined && original !== node) {
          this.#alias.set(node, original)
          continue
        }
        const name = scope.take(typeName(pascal(label)), `${module.full ?? "the world"}, ${label}`)
        this.#homes.set(node, { file: module.file, name, isExported: module.isExport && node.kind === "resource" })
      }
    }
    this.#placePlugin(scopes)
  }

  /** The type that a `use` meant: of the export where the module is one and there is such an export. */
  #used({ isExport }: Module, full: string, name: string): Node | undefined {
    const { imports, exports } = this.#options.world
    for (const externs of isExport ? [exports, imports] : [imports, exports]) {
      const found = externs.get(full)
      const node = nodeOf(found?.kind === "interface" ? found.exports.get(name) : undefined)
      if (node !== undefined) return node
    }
    return undefined
  }

  /** Exported functions and resources by the names that the plugin gives them: with the interface's where two are alike. */
  #placePlugin(scopes: ReadonlyMap<string, Scope>): void {
    const wanted: Array<{ readonly key: string; readonly short: string; readonly long: string; readonly whose: string; readonly resource?: ResourceType }> = []
    for (const { externs, file, full, isExport } of this.#modules) {
      if (!isExport) continue
      for (const [label, extern] of externs) {
        const whose = `${full ?? "the world"}, ${label}`
        if (extern.kind === "function" && memberOf(label).role === "function") {
          const long = full === undefined ? camel(label) : camel(`${file}-${label}`)
          wanted.push({ key: `${full ?? ""}#${label}`, short: valueName(camel(label)), long: valueName(long), whose })
        }
        if (
          extern.kind === "resource-type" &&
          this.#homes.get(extern.resource)?.isExported === true &&
          !wanted.some(({ resource }) => resource === extern.resource)
        )
          wanted.push({ key: "", short: typeName(pascal(label)), long: typeName(pascal(`${file}-${label}`)), whose, resource: extern.resource })
      }
    }
    const scope = new Scope()
    for (const { key, short, long, whose, resource } of wanted) {
      const isShort = wanted.filter((other) => other.short === short).length === 1
      const name = scope.take(isShort ? short : long, whose)
      if (resource === undefined) {
        this.#pluginNames.set(key, name)
        continue
      }
      const home = { ...(this.#homes.get(resource) as Home), name }
      this.#homes.set(resource, home)
      // Its handle's class stands beside the types of its file.
      scopes.get(home.file)?.take(`${name}Handle`, `handles of ${whose}`)
    }
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  #types(module: Module): void {
    const source = this.#source(module.file)
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "type" && extern.kind !== "resource-type") continue
      const node: Node = extern.kind === "type" ? extern.type : extern.resource
      const note = this.#noteIn(module, label)
      const home = this.#homes.get(node)
      if (isNamed(node) && home?.file === module.file && home.name !== undefined && this.#values.real(node) === node) {
        if (node.kind !== "resource" && home.name === typeName(pascal(label))) this.#define(node as ValueType, home.name, source, note)
        continue
      }
      // Another name for a type: by it the plugin may import it from here, too.
      const own = typeName(pascal(label))
      if (isNamed(node)) {
        const real = this.#values.home(node)
        // Of a resource that the plugin implements, a file has the handle's class.
        const tail = real.isExported ? "Handle" : ""
        source.body.add(`export { ${real.name === own ? own + tail : `${real.name}${tail} as ${own}${tail}`} } from "./${real.file}"`)
      } else {
        comment(note, source.body)
        source.body.add(`export type ${own} = ${this.#values.type(extern.kind === "type" ? extern.type : { kind: "own", resource: extern.resource }, source)}`)
      }
    }
  }

  #define(type: ValueType, name: string, source: Source, note: Note): void {
    const { body } = source
    const values = this.#values
    if (!source.body.isEmpty) body.add("")
    comment(note, body)
    switch (type.kind) {
      case "record":
        return void body.block(`export class ${name} {`, () => {
          body.block(
            "constructor(",
            () => {
              const scope = new Scope()
              for (const field of type.fields) {
                comment(this.#note(type, field.label), body)
                body.add(`public ${scope.take(memberField(field.label), `${name}, ${field.label}`)}: ${values.type(field.type, source)},`)
              }
            },
            ") {}",
          )
        })
      case "enum":
        return void body.block(`export enum ${name} {`, () => {
          const scope = new Scope()
          for (const label of type.labels) {
            comment(this.#note(type, label), body)
            body.add(`${scope.take(valueName(camel(label)), `${name}, ${label}`)},`)
          }
        })
      case "flags":
        return void body.block(`export class ${name} {`, () => {
          const words = Math.max(1, Math.ceil(type.labels.length / 32))
          body.add(`constructor(${Array.from({ length: words }, (_, i) => `public bits${i}: u32 = 0`).join(", ")}) {}`)
          const scope = new Scope()
          for (const [i, label] of type.labels.entries()) {
            const [member, word, mask] = [scope.take(flagName(label), `${name}, ${label}`), `this.bits${i >> 5}`, `${2 ** (i & 31)}`]
            comment(this.#note(type, label), body)
            body.block(`get ${member}(): bool {`, () => body.add(`return (${word} & ${mask}) != 0`))
            body.block(`set ${member}(isSet: bool) {`, () => body.add(`${word} = isSet ? ${word} | ${mask} : ${word} & ~${mask}`))
          }
        })
      case "variant":
        return void body.block(`export class ${name} {`, () => {
          body.add("private constructor(public tag: u32) {}")
          const scope = new Scope()
          for (const [i, one] of type.cases.entries()) {
            const [label, Label] = [scope.take(caseName(one.label), `${name}, ${one.label}`), pascal(one.label)]
            const payload = one.type === undefined ? undefined : values.type(one.type, source)
            if (one.type !== undefined)
              body.add(`private of${Label}${values.isObject(one.type) ? `!: ${payload}` : `: ${payload} = ${one.type.kind === "bool" ? "false" : "0"}`}`)
            comment(this.#note(type, one.label), body)
            body.block(`static ${label}(${payload === undefined ? "" : `payload: ${payload}`}): ${name} {`, () => {
              if (payload === undefined) return body.add(`return new ${name}(${i})`)
              return body.add(`const made = new ${name}(${i})`, `made.of${Label} = payload`, "return made")
            })
            body.block(`get is${Label}(): bool {`, () => body.add(`return this.tag == ${i}`))
            if (payload !== undefined) {
              body.add("/** Traps where it is another case. */")
              body.block(`get as${Label}(): ${payload} {`, () => body.add(`if (this.tag != ${i}) unreachable()`, `return this.of${Label}`))
            }
          }
        })
      default:
    }
  }

  // ── Imports ───────────────────────────────────────────────────────────────

  #imported(module: Module): void {
    const source = this.#source(module.file)
    const scope = new Scope()
    const members = new Map<string, Array<readonly [name: string, type: FunctionType]>>()
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "function") continue
      this.#tuples(extern)
      const { role, resource = "" } = memberOf(label)
      if (role !== "function") {
        members.set(resource, [...(members.get(resource) ?? []), [label, extern]])
        continue
      }
      if (!source.body.isEmpty) source.body.add("")
      const name = scope.take(valueName(camel(label)), `${module.full ?? "the world"}, ${label}`)
      const raw = `import$${name}`
      this.#declare(module, label, raw, extern, source)
      comment(this.#noteIn(module, label), source.body)
      source.body.block(`export function ${name}(${this.#params(extern, 0, source)}): ${this.#result(extern, source)} {`, () =>
        this.#callImport(extern, raw, source, []),
      )
    }
    // A resource may have several names in its interface.
    const seen = new Set<ResourceType>()
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "resource-type" || seen.has(extern.resource) || this.#homes.get(extern.resource)?.file !== module.file) continue
      seen.add(extern.resource)
      this.#importedResource(module, label, extern.resource, members.get(label) ?? [], source)
    }
  }

  #tuples(type: FunctionType): void {
    // Tuples have classes also where no text names them.
    for (const part of [...type.params.map((param) => param.type), ...(type.result === undefined ? [] : [type.result])])
      anyPart(part, (one) => {
        if (one.kind === "tuple") this.#values.tuples.add(one.types.length)
        return false
      })
  }

  #params({ params }: FunctionType, skip: number, source: Source): string {
    const scope = new Scope()
    return params
      .slice(skip)
      .map(({ label, type }) => `${scope.take(valueName(camel(label)), `parameter ${label}`)}: ${this.#values.type(type, source)}`)
      .join(", ")
  }
  #result({ result }: FunctionType, source: Source): string {
    return result === undefined ? "void" : this.#values.type(result, source)
  }

  #external(source: Source, module: string, name: string, declared: string, params: ReadonlyArray<string>, result: string): void {
    source.body.add("// @ts-ignore: a decorator of AssemblyScript", `@external(${JSON.stringify(module)}, ${JSON.stringify(name)})`)
    source.body.add(`declare function ${declared}(${params.map((type, i) => `p${i}: ${type}`).join(", ")}): ${result}`)
  }
  #declare(module: Module, label: string, declared: string, type: FunctionType, source: Source): void {
    const { params, results } = flattenImport(type)
    this.#external(source, module.full ?? "$root", label, declared, params, results[0] ?? "void")
  }

  /** The body of a function that calls an import; `first` are flat values that stand before those of its parameters. */
  #callImport(type: FunctionType, raw: string, source: Source, first: ReadonlyArray<string>): void {
    const values = this.#values
    const { body } = source
    const fresh = new Fresh()
    const params = type.params.slice(first.length)
    const layout = paramsLayout(type)
    const isSpilled = layout.flat === undefined
    const takesBlocks = isSpilled || params.some((param) => needsBlocks(param.type))
    if (takesBlocks) body.add(`const _since = ${source.rt("mark")}()`)
    const args: Array<string> = []
    if (isSpilled) {
      body.add(`const _area = ${source.rt("allocate")}(${layout.size})`)
      for (const [i, { label, type: part }] of type.params.entries()) {
        const value = i < first.length ? undefined : valueName(camel(label))
        body.add(value === undefined ? `store<i32>(_area, ${first[i]})` : values.store(part, `_area + ${layout.offsets[i]}`, value, source))
      }
      args.push("<i32>_area")
    } else {
      args.push(...first)
      for (const { label, type: part } of params) args.push(...values.lowerFlat(part, valueName(camel(label)), layoutOf(part).flat ?? [], source, fresh))
    }
    const { result } = type
    const isInMemory = result !== undefined && (layoutOf(result).flat?.length ?? flatParamsMax) > flatResultsMax
    if (isInMemory) {
      this.#areas.import = Math.max(this.#areas.import, layoutOf(result).size)
      args.push(`<i32>${source.of("abi", "IMPORT_AREA")}`)
    }
    const call = `${raw}(${args.join(", ")})`
    const free = takesBlocks ? [`${source.rt("freeSince")}(_since)`] : []
    if (result === undefined) body.add(call, ...free)
    else if (isInMemory) body.add(call, ...free, `return ${values.load(result, source.of("abi", "IMPORT_AREA"), source)}`)
    else {
      const [flat] = layoutOf(result).flat as [Flat["type"]]
      body.add(`const _result = ${call}`, ...free)
      body.add(`return ${values.liftFlat(result, [{ expr: "_result", type: flat }], source, fresh)}`)
    }
  }

  #importedResource(module: Module, label: string, resource: ResourceType, members: ReadonlyArray<readonly [string, FunctionType]>, source: Source): void {
    const { body } = source
    const { name } = this.#values.home(resource)
    if (!body.isEmpty) body.add("")
    this.#external(source, module.full ?? "$root", `[resource-drop]${label}`, `drop$${name}`, ["i32"], "void")
    const raws = members.map(([member, type]) => {
      const raw = `import$${camel(label)}$${memberNameOf(member)}`
      this.#declare(module, member, raw, type, source)
      return raw
    })
    comment(this.#noteIn(module, label), body)
    body.add("/** A handle: `drop` gives it back, and nobody does that by itself. */")
    body.block(`export class ${name} {`, () => {
      body.add("private constructor(public handle: i32) {}")
      body.block(`static from(handle: i32): ${name} {`, () => body.add(`return new ${name}(handle)`))
      const scope = new Scope()
      for (const [i, [member, type]] of members.entries()) {
        const { role } = memberOf(member)
        const isMethod = role === "method"
        const own = memberNameOf(member)
        scope.take(`${isMethod ? "" : "static "}${own}`, `${name}, ${member}`)
        comment(this.#noteIn(module, member), body)
        body.block(`${isMethod ? "" : "static "}${own}(${this.#params(type, isMethod ? 1 : 0, source)}): ${this.#result(type, source)} {`, () =>
          this.#callImport(type, raws[i] as string, source, isMethod ? ["this.handle"] : []),
        )
      }
      body.add("/** Gives the handle away: this object has none any more. */")
      body.block("take(): i32 {", () => body.add("const handle = this.handle", "this.handle = 0", "return handle"))
      body.block("drop(): void {", () => body.add(`if (this.handle != 0) drop$${name}(this.take())`))
    })
  }

  // ── Exports ───────────────────────────────────────────────────────────────

  #exported(module: Module): void {
    const prefix = module.full === undefined ? "world" : module.file.replaceAll("-", "_")
    const core = (label: string): string => (module.full === undefined ? label : `${module.full}#${label}`)
    // A resource may have several names in its interface.
    const seen = new Set<ResourceType>()
    for (const [label, extern] of module.externs) {
      if (extern.kind === "resource-type" && !seen.has(extern.resource) && this.#homes.get(extern.resource)?.file === module.file) {
        seen.add(extern.resource)
        this.#exportedResource(module, label, extern.resource, core, prefix)
      }
      if (extern.kind !== "function") continue
      this.#tuples(extern)
      const { role, resource = "", label: plain } = memberOf(label)
      const name = this.#entryName([prefix, resource, role === "function" ? "" : role, plain])
      const class_ = role === "function" ? undefined : this.#exportedClass(module, resource)
      this.#entry.usesPlugin = true
      // A constructor that may fail is a static function: `new` always makes an object.
      const isFallible = role === "constructor" && extern.result?.kind !== "own"
      const callee =
        role === "function"
          ? `$plugin.${this.#pluginNames.get(`${module.full ?? ""}#${label}`)}`
          : role === "constructor"
            ? `${isFallible ? "" : "new "}$plugin.${class_?.name}${isFallible ? ".create" : ""}`
            : role === "static"
              ? `$plugin.${class_?.name}.${memberName(camel(plain))}`
              : `self.${memberName(camel(plain))}`
      this.#wrap(name, core(label), extern, callee, role, class_)
    }
  }

  /** A name of the entry for what has these parts; parts are joined alike where their dashes are elsewhere, so it may get a `$`. */
  #entryName(parts: ReadonlyArray<string>): string {
    let name = parts
      .filter((part) => part !== "")
      .join("_")
      .replaceAll("-", "_")
    while (Object.hasOwn(this.#exports, name)) name += "$"
    return name
  }

  #exportedClass({ externs }: Module, resource: string): Home {
    const extern = externs.get(resource)
    if (extern?.kind !== "resource-type") throw new Error(`no resource ${resource}`)
    return this.#values.home(extern.resource)
  }

  #wrap(name: string, core: string, type: FunctionType, callee: string, role: string, class_: Home | undefined): void {
    const source = this.#entry
    const values = this.#values
    const { body } = source
    const fresh = new Fresh()
    const { params, results } = flattenExport(type)
    const layout = paramsLayout(type)
    this.#exports[name] = core
    body.add("")
    const takesBorrow = type.params.some(({ type: part }, i) => !(role === "method" && i === 0) && this.#borrowsImported(part))
    body.block(`export function ${name}(${params.map((flat, i) => `p${i}: ${flat}`).join(", ")}): ${results[0] ?? "void"} {`, () => {
      const args: Array<string> = []
      let next = 0
      for (const [i, { type: part }] of type.params.entries()) {
        const local = `a${i}`
        const isSelf = role === "method" && i === 0
        const flats: Array<Flat> = []
        if (layout.flat !== undefined) {
          const own = layoutOf(part).flat ?? []
          for (const flat of own) flats.push({ expr: `p${next++}`, type: flat })
        }
        const value = layout.flat === undefined ? values.load(part, `<usize>p0 + ${layout.offsets[i]}`, source) : values.liftFlat(part, flats, source, fresh)
        body.add(`const ${isSelf ? "self" : local} = ${value}`)
        if (!isSelf) args.push(local)
      }
      if (layout.flat === undefined) body.add("heap.free(<usize>p0)")
      const call = `${callee}(${args.join(", ")})`
      const end = takesBorrow ? [`${source.of("abi", "dropBorrowed")}()`] : []
      const { result } = type
      if (role === "constructor" && class_ !== undefined && type.result?.kind === "own") {
        body.add(`const made = ${call}`, ...end, `return ${source.of(class_.file, `${class_.name}Handle`)}.from$(made).take()`)
        return
      }
      if (result === undefined) return void body.add(call, ...end)
      body.add(`const result = ${call}`, ...end)
      if (results.length === 1 && layoutOf(result).flat?.length === 1) {
        body.add(`return ${values.lowerFlat(result, "result", layoutOf(result).flat ?? [], source, fresh)[0]}`)
        return
      }
      this.#areas.export = Math.max(this.#areas.export, layoutOf(result).size)
      if (hasPointers(result)) body.add(`${source.rt("keep")}(changetype<usize>(result))`)
      body.add(values.store(result, source.of("abi", "EXPORT_AREA"), "result", source), `return <i32>${source.of("abi", "EXPORT_AREA")}`)
    })
    if (type.result === undefined || !hasPointers(type.result)) return
    const post = this.#entryName([name, "post"])
    this.#exports[post] = `cabi_post_${core}`
    body.block(`export function ${post}(_result: ${results[0]}): void {`, () => body.add(`${source.rt("release")}()`))
  }

  #borrowsImported(type: ValueType): boolean {
    switch (type.kind) {
      case "borrow":
        return !this.#values.home(type.resource).isExported
      case "list":
        return this.#borrowsImported(type.element)
      case "option":
        return this.#borrowsImported(type.type)
      case "record":
        return type.fields.some((field) => this.#borrowsImported(field.type))
      case "tuple":
        return type.types.some((part) => this.#borrowsImported(part))
      case "variant":
        return type.cases.some((one) => one.type !== undefined && this.#borrowsImported(one.type))
      case "result":
        return [type.ok, type.err].some((part) => part !== undefined && this.#borrowsImported(part))
      default:
        return false
    }
  }

  /** Functions of `abi.ts` that lift borrowed handles and give them back when the call ends. */
  #borrows(): void {
    const { abi, borrowed } = this.#values
    const { body } = abi
    if (borrowed.size === 0) return
    const lists: Array<string> = []
    for (const [resource, name] of borrowed) {
      const class_ = this.#values.classOf(resource, abi)
      const list = this.#values.fresh(`${name}List`)
      lists.push(list)
      body.add(`const ${list} = new Array<${class_}>()`)
      body.block(`export function ${name}(handle: i32): ${class_} {`, () => body.add(`const it = ${class_}.from(handle)`, `${list}.push(it)`, "return it"))
    }
    body.add("/** Borrowed handles end with the call that they were lent for. */")
    body.block("export function dropBorrowed(): void {", () => {
      for (const list of lists) body.add(`while (${list}.length != 0) ${list}.pop().drop()`)
    })
  }

  #exportedResource(module: Module, label: string, resource: ResourceType, core: (label: string) => string, prefix: string): void {
    const source = this.#source(module.file)
    const { body } = source
    const { name } = this.#values.home(resource)
    source.usesPlugin = true
    const from = `[export]${module.full}`
    if (!body.isEmpty) body.add("")
    this.#external(source, from, `[resource-new]${label}`, `new$${name}`, ["i32"], "i32")
    this.#external(source, from, `[resource-rep]${label}`, `rep$${name}`, ["i32"], "i32")
    this.#external(source, from, `[resource-drop]${label}`, `drop$${name}`, ["i32"], "void")
    body.add(`/** A handle of a ${name}, which the plugin implements: \`from$\` makes one, \`drop\` gives it back. */`)
    body.block(`export class ${name}Handle {`, () => {
      body.add("private constructor(public handle: i32) {}")
      body.block(`static from(handle: i32): ${name}Handle {`, () => body.add(`return new ${name}Handle(handle)`))
      body.block(`static from$(value: $plugin.${name}): ${name}Handle {`, () =>
        body.add("// @ts-ignore: of AssemblyScript's runtime", `return new ${name}Handle(new$${name}(<i32>__pin(changetype<usize>(value))))`),
      )
      body.block(`get value(): $plugin.${name} {`, () => body.add(`return changetype<$plugin.${name}>(<usize>rep$${name}(this.handle))`))
      body.add("/** Gives the handle away: this object has none any more. */")
      body.block("take(): i32 {", () => body.add("const handle = this.handle", "this.handle = 0", "return handle"))
      body.block("drop(): void {", () => body.add(`if (this.handle != 0) drop$${name}(this.take())`))
    })
    const entry = this.#entry
    entry.usesPlugin = true
    const destroy = this.#entryName([prefix, label, "destructor"])
    this.#exports[destroy] = core(`[dtor]${label}`)
    entry.body.add("")
    entry.body.block(`export function ${destroy}(rep: i32): void {`, () => {
      entry.body.add(
        `const it = changetype<$plugin.${name}>(<usize>rep)`,
        "if (isDefined(it.dispose)) it.dispose()",
        "// @ts-ignore: of AssemblyScript's runtime",
        "__unpin(<usize>rep)",
      )
    })
  }

  // ── Files ─────────────────────────────────────────────────────────────────

  #areaConstants(): void {
    const { abi } = this.#values
    for (const [name, bytes] of [
      ["IMPORT_AREA", this.#areas.import],
      ["EXPORT_AREA", this.#areas.export],
    ] as const) {
      if (bytes > 0) abi.body.add(`export const ${name}: usize = memory.data(${bytes}, 8)`)
    }
  }

  #text(source: Source, head: string): string {
    const lines = new Lines().add(`// ${head}`)
    if (source.runtime.size > 0) lines.add(`import { ${[...source.runtime].toSorted().join(", ")} } from "./runtime"`)
    for (const file of [...source.uses].toSorted()) lines.add(`import * as $${camel(file)} from "./${file}"`)
    if (source.usesPlugin) lines.add(`import * as $plugin from ${JSON.stringify(this.#options.plugin ?? "../src/plugin")}`)
    if (source === this.#entry) lines.add(`export { cabiRealloc } from "./runtime"`)
    lines.add("")
    return `${String(lines)}${String(source.body).replace(/^\n+/, "")}`
  }
}

/**
 * Bindings of a world for AssemblyScript.
 * @throws GenerateError `Unsupported` for streams, futures, maps and async functions; `Collision` for two things of one name
 */
export const assemblyScriptBindings = (options: AssemblyScriptOptions): AssemblyScriptBindings => new Generator(options).run()

/** The names of a world for AssemblyScript, without its bindings. @throws GenerateError `Collision` */
export const pluginSurface = (options: AssemblyScriptOptions): PluginSurface => new Generator(options).surface()
