/**
 * Canonical WIT text of what was resolved: one file, the main package first, then those that it needs, each in braces.
 * Parsing it gives an equal model. What `include` and implied imports brought is written out.
 */
import type { ExternType, FunctionType, InterfaceType, ResourceType, ValueType } from "../model.ts"
import { resourceFunction } from "../name.ts"
import { identifier } from "../print.ts"
import type { Note, Notes, Resolve, WitPackage } from "./package.ts"

type Lines = ReadonlyArray<string>
/** What a named type or resource is called where the text stands. */
type Locals = ReadonlyMap<ValueType | ResourceType, string>

const indent = (lines: Lines): Lines => lines.map((line) => (line === "" ? "" : `  ${line}`))

// oxlint-disable-next-line no-control-regex
const hidden = /[\u0000-\u001f\u007f-\u009f\p{C}\p{Zl}\p{Zp}]/gu
const stringText = (text: string): string => {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')
  return `"${escaped.replace(hidden, (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`)}"`
}

function headLines({ docs, since, unstable, deprecated, externalId }: Note): Lines {
  return [
    ...(docs === undefined ? [] : docs.split("\n").map((line) => (line === "" ? "///" : `/// ${line}`))),
    ...(since === undefined ? [] : [`@since(version = ${since})`]),
    ...(unstable === undefined ? [] : [`@unstable(feature = ${identifier(unstable)})`]),
    ...(deprecated === undefined ? [] : [`@deprecated(version = ${deprecated})`]),
    ...(externalId === undefined ? [] : [`@external-id(${stringText(externalId)})`]),
  ]
}

const sameHead = (a: Note, b: Note): boolean => headLines(a).join("\n") === headLines(b).join("\n")

export function printWit(resolve: Resolve): string {
  const { main, packages, notes } = resolve
  const others = [...packages.values()].filter((one) => one !== main)
  const lines = [
    ...headLines(notes.of(main)),
    `package ${packageText(main.name)};`,
    "",
    ...new Printer(main, notes).body(),
    ...others.flatMap((one) => [
      ...headLines(notes.of(one)),
      `package ${packageText(one.name)} {`,
      ...indent(new Printer(one, notes).body().slice(0, -1)),
      "}",
      "",
    ]),
  ]
  return `${lines.join("\n").trimEnd()}\n`
}

/** `a:b@1.0.0`, of which `a` or `b` may be keywords. */
function packageText(name: string): string {
  const [names = "", ...version] = name.split("@")
  const text = names.split(":").map(identifier).join(":")
  return [text, ...version].join("@")
}

class Printer {
  readonly #package: WitPackage
  readonly #notes: Notes

  constructor(of: WitPackage, notes: Notes) {
    this.#package = of
    this.#notes = notes
  }

  body(): Lines {
    const lines: Array<string> = []
    for (const found of this.#package.interfaces.values()) {
      lines.push(...headLines(this.#notes.of(found)), `interface ${identifier(found.name)} {`, ...indent(this.#interface(found.type)), "}", "")
    }
    for (const found of this.#package.worlds.values()) {
      const { imports, exports } = found.world
      const body = [...this.#types(imports), ...this.#ports("import", imports), ...this.#ports("export", exports)]
      lines.push(...headLines(this.#notes.of(found)), `world ${identifier(found.name)} {`, ...indent(body), "}", "")
    }
    return lines
  }

  /** `poll` in its own package, `wasi:io/poll@0.2.12` elsewhere. */
  #path(full: string): string {
    const slash = full.indexOf("/")
    const [name = "", ...version] = full.slice(slash + 1).split("@")
    const owner = [full.slice(0, slash), ...version].join("@")
    return owner === this.#package.name ? identifier(name) : [`${packageText(full.slice(0, slash))}/${identifier(name)}`, ...version].join("@")
  }

  #interface({ exports }: InterfaceType): Lines {
    const locals = localsOf(exports)
    const functions = [...exports].flatMap(([name, extern]) =>
      extern.kind === "function" && !name.startsWith("[")
        ? [...headLines(this.#notes.of(exports, name)), `${identifier(name)}: ${functionText(extern, locals)};`]
        : [],
    )
    return [...this.#types(exports), ...functions]
  }

  /** What is used and defined, each resource with its methods. */
  #types(externs: ReadonlyMap<string, ExternType>): Lines {
    const locals = localsOf(externs)
    const lines: Array<string> = []
    let open: { readonly path: string; readonly note: Note; readonly names: Array<string> } | undefined
    const close = (): void => {
      if (open !== undefined) lines.push(...headLines(open.note), `use ${open.path}.{${open.names.join(", ")}};`)
      open = undefined
    }
    for (const [name, extern] of externs) {
      if (extern.kind !== "type" && extern.kind !== "resource-type") continue
      const note = this.#notes.of(externs, name)
      if (note.use === undefined) {
        close()
        lines.push(...headLines(note), ...this.#definition(name, extern, note, externs, locals))
        continue
      }
      const path = this.#path(note.use.interface)
      if (open?.path !== path || !sameHead(open.note, note)) close()
      open ??= { path, note, names: [] }
      open.names.push(note.use.name === name ? identifier(name) : `${identifier(note.use.name)} as ${identifier(name)}`)
    }
    close()
    return lines
  }

  #definition(
    name: string,
    extern: Extract<ExternType, { readonly kind: "type" | "resource-type" }>,
    note: Note,
    externs: ReadonlyMap<string, ExternType>,
    locals: Locals,
  ): Lines {
    const label = identifier(name)
    if (note.alias !== undefined) return [`type ${label} = ${identifier(note.alias)};`]
    if (extern.kind === "resource-type") {
      const methods = this.#methods(name, externs, locals)
      return methods.length === 0 ? [`resource ${label};`] : [`resource ${label} {`, ...indent(methods), "}"]
    }
    const { type } = extern
    const part = (of: string, text: string): Lines => [...headLines(this.#notes.of(type, of)), `${text},`]
    switch (type.kind) {
      case "record":
        return [
          `record ${label} {`,
          ...indent(type.fields.flatMap((field) => part(field.label, `${identifier(field.label)}: ${typeText(field.type, locals)}`))),
          "}",
        ]
      case "variant":
        return [
          `variant ${label} {`,
          ...indent(
            type.cases.flatMap((one) =>
              part(one.label, one.type === undefined ? identifier(one.label) : `${identifier(one.label)}(${typeText(one.type, locals)})`),
            ),
          ),
          "}",
        ]
      case "enum":
      case "flags":
        return [`${type.kind} ${label} {`, ...indent(type.labels.flatMap((of) => part(of, identifier(of)))), "}"]
      default:
        // A resource's name alone would be another name of the resource.
        return [`type ${label} = ${type.kind === "own" ? `own<${shapeText(type, locals)}>` : shapeText(type, locals)};`]
    }
  }

  #methods(resource: string, externs: ReadonlyMap<string, ExternType>, locals: Locals): Lines {
    const lines: Array<string> = []
    for (const [key, extern] of externs) {
      if (extern.kind !== "function" || !key.startsWith("[")) continue
      const owned = resourceFunction(key)
      if (owned?.resource !== resource) continue
      const method = key.slice(key.indexOf(".") + 1)
      lines.push(...headLines(this.#notes.of(externs, key)))
      if (owned.kind === "constructor") {
        const isPlain = extern.result?.kind === "own"
        const text = functionText(isPlain ? { kind: "function", params: extern.params } : extern, locals)
        lines.push(`constructor${text.slice("func".length)};`)
      } else if (owned.kind === "method") {
        lines.push(`${identifier(method)}: ${functionText({ ...extern, params: extern.params.slice(1) }, locals)};`)
      } else lines.push(`${identifier(method)}: static ${functionText(extern, locals)};`)
    }
    return lines
  }

  #ports(kind: "import" | "export", externs: ReadonlyMap<string, ExternType>): Lines {
    const lines: Array<string> = []
    // Functions of a world name its imported types, those that it exports as well.
    const locals = kind === "import" ? localsOf(externs) : undefined
    for (const [key, extern] of externs) {
      const note = this.#notes.of(externs, key)
      if (extern.kind === "function" && !key.startsWith("[")) {
        lines.push(...headLines(note), `${kind} ${identifier(key)}: ${functionText(extern, locals ?? this.#worldLocals(externs))};`)
      } else if (extern.kind === "interface") {
        lines.push(...headLines(note))
        if (key.includes(":")) lines.push(`${kind} ${this.#path(key)};`)
        else if (note.implements !== undefined) lines.push(`${kind} ${identifier(key)}: ${this.#path(note.implements)};`)
        else lines.push(`${kind} ${identifier(key)}: interface {`, ...indent(this.#interface(extern)), "}")
      }
    }
    return lines
  }

  #worldLocals(exports: ReadonlyMap<string, ExternType>): Locals {
    for (const { world } of this.#package.worlds.values()) if (world.exports === exports) return localsOf(world.imports)
    return new Map()
  }
}

/** The first name of each type, and of each resource. */
function localsOf(externs: ReadonlyMap<string, ExternType>): Locals {
  const locals = new Map<ValueType | ResourceType, string>()
  for (const [name, extern] of externs) {
    const of = extern.kind === "type" ? extern.type : extern.kind === "resource-type" ? extern.resource : undefined
    if (of !== undefined && !locals.has(of)) locals.set(of, identifier(name))
  }
  return locals
}

function functionText({ params, result, isAsync }: FunctionType, locals: Locals): string {
  const list = params.map(({ label, type }) => `${identifier(label)}: ${typeText(type, locals)}`).join(", ")
  return `${isAsync === true ? "async " : ""}func(${list})${result === undefined ? "" : ` -> ${typeText(result, locals)}`}`
}

const typeText = (type: ValueType, locals: Locals): string => locals.get(type) ?? shapeText(type, locals)

function shapeText(type: ValueType, locals: Locals): string {
  const inner = (part: ValueType): string => typeText(part, locals)
  switch (type.kind) {
    case "list":
      return `list<${inner(type.element)}>`
    case "fixed-list":
      return `list<${inner(type.element)}, ${type.length}>`
    case "option":
      return `option<${inner(type.type)}>`
    case "map":
      return `map<${inner(type.key)}, ${inner(type.value)}>`
    case "tuple":
      return `tuple<${type.types.map(inner).join(", ")}>`
    case "stream":
      return type.element === undefined ? "stream" : `stream<${inner(type.element)}>`
    case "future":
      return type.type === undefined ? "future" : `future<${inner(type.type)}>`
    case "result": {
      if (type.ok === undefined) return type.err === undefined ? "result" : `result<_, ${inner(type.err)}>`
      return type.err === undefined ? `result<${inner(type.ok)}>` : `result<${inner(type.ok)}, ${inner(type.err)}>`
    }
    case "own":
      return locals.get(type.resource) ?? "?"
    case "borrow":
      return `borrow<${locals.get(type.resource) ?? "?"}>`
    default:
      return type.kind
  }
}
