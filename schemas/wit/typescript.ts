/**
 * A `.d.ts` for a world: the host form of every type it uses, and `Exports`, `Errors` and `Imports` by name.
 *
 * The text is compiled by whoever asked for it, and every name in it was chosen by an unknown component. So a name
 * becomes an identifier only if it is a kebab-case label (words of ASCII letters and digits, hence no more than an
 * identifier after conversion), and appears as a JSON string everywhere else.
 */
import { WitError } from "../error/wit.ts"
import type { ExternType, FunctionType, FutureType, InterfaceType, ResourceType, StreamType, TypeName, ValueType, World } from "./model.ts"
import { propertyName } from "./model.ts"
import { isLabel } from "./name.ts"
import { splitInterfaceName, typeText } from "./print.ts"
import { answer, carriedOf, children, depth } from "./tree.ts"

/** ECMAScript §12.7.2 reserved words, strict mode, and what TypeScript adds for parameter names. */
const reservedWords: ReadonlySet<string> = new Set(
  (
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for function if " +
    "implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof var void while with yield"
  ).split(" "),
)

/** Global types that the printed text itself refers to: no type of the component may shadow them. */
const reservedTypes: ReadonlyArray<string> = [
  "Exports",
  "Errors",
  "Imports",
  "ReadonlyArray",
  "ReadableStream",
  "AsyncIterable",
  "Promise",
  ..."Int8 Uint8 Int16 Uint16 Int32 Uint32 BigInt64 BigUint64 Float32 Float64".split(" ").map((name) => `${name}Array`),
]

/** A string literal; `<`, line separators and invisible characters are escaped, so that it is inert in HTML and plain in any editor. */
const literal = (text: string): string =>
  JSON.stringify(text).replace(/[<\p{C}\p{Zl}\p{Zp}]/gu, (char) => {
    let out = ""
    for (let i = 0; i < char.length; i++) out += `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`
    return out
  })

const property = (label: string): string => (isLabel(label) ? propertyName(label) : literal(label))

function parameter(label: string, index: number): string {
  if (!isLabel(label)) return `arg${index}`
  const name = propertyName(label)
  return reservedWords.has(name) ? `${name}_` : name
}

const pascal = (label: string): string =>
  label
    .split("-")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("")

const arrays: Readonly<Partial<Record<ValueType["kind"], string>>> = {
  s8: "Int8Array",
  u8: "Uint8Array",
  s16: "Int16Array",
  u16: "Uint16Array",
  s32: "Int32Array",
  u32: "Uint32Array",
  s64: "BigInt64Array",
  u64: "BigUint64Array",
  f32: "Float32Array",
  f64: "Float64Array",
}

class Declarations {
  readonly #taken = new Set<string>(reservedTypes)
  readonly #names = new Map<ValueType | ResourceType, string>()
  readonly #uses = new Map<ValueType, number>()
  readonly text: Array<string> = []

  /** Counts uses, so that shared nodes without a name get one. */
  count(roots: ReadonlyArray<ValueType>): void {
    const pending = [...roots]
    for (let type = pending.pop(); type !== undefined; type = pending.pop()) {
      const uses = this.#uses.get(type) ?? 0
      this.#uses.set(type, uses + 1)
      if (uses === 0) pending.push(...children(type))
    }
  }

  /** `Greeting`, else `ApiGreeting`, else `AcmeGreeterApiGreeting`, else numbered. */
  #name(name: TypeName | undefined, fallback: string): string {
    const own = name !== undefined && isLabel(name.name) ? pascal(name.name) : fallback
    const owner = name?.interface === undefined ? undefined : splitInterfaceName(name.interface)
    const words = owner === undefined ? [] : [...owner.package.split(":"), owner.interface].filter(isLabel).map(pascal)
    const candidates = [own, `${words.at(-1) ?? ""}${own}`, `${words.join("")}${own}`]
    let found = candidates.find((candidate) => !this.#taken.has(candidate))
    for (let n = 2; found === undefined; n++) if (!this.#taken.has(`${own}${n}`)) found = `${own}${n}`
    this.#taken.add(found)
    return found
  }

  #resource(resource: ResourceType): string {
    let name = this.#names.get(resource)
    if (name === undefined) {
      name = this.#name(resource.name, "Resource")
      this.#names.set(resource, name)
      const brand = resource.name === undefined ? name : `${resource.name.interface ?? ""}#${resource.name.name}`
      // Nominal: a handle of one resource is not assignable to another, and nothing but the host makes one.
      this.text.push(`/** A handle; the host makes it. */\nexport interface ${name} {\n  readonly "~resource": ${literal(brand)}\n}`)
    }
    return name
  }

  /** The TypeScript type of one use of `type`. */
  use(type: ValueType): string {
    const known = this.#names.get(type)
    if (known !== undefined) return known
    const isLeaf = type.kind !== "enum" && type.kind !== "flags" && children(type).length === 0
    const isOneWord = type.kind === "stream" || type.kind === "future"
    if (isLeaf || (type.name === undefined && (isOneWord || this.#uses.get(type) === 1))) return this.#shape(type)
    const name = this.#name(type.name, "Shared")
    this.#names.set(type, name)
    const at = this.text.length
    const shape = this.#shape(type)
    const text = type.kind === "record" || type.kind === "flags" ? `export interface ${name} ${shape}` : `export type ${name} = ${shape}`
    this.text.splice(at, 0, text)
    return name
  }

  #object(parts: ReadonlyArray<string>): string {
    return parts.length === 0 ? "{ readonly [key: string]: never }" : `{ ${parts.join("; ")} }`
  }

  #tagged(cases: ReadonlyArray<readonly [string, ValueType | undefined]>): string {
    if (cases.length === 0) return "never"
    return cases
      .map(([tag, payload]) => {
        const parts = [`readonly tag: ${literal(tag)}`]
        if (payload !== undefined) parts.push(`readonly val${payload.kind === "option" && payload.type.kind !== "option" ? "?" : ""}: ${this.use(payload)}`)
        return this.#object(parts)
      })
      .join(" | ")
  }

  #shape(type: ValueType): string {
    switch (type.kind) {
      case "bool":
        return "boolean"
      case "u64":
      case "s64":
        return "bigint"
      case "char":
      case "string":
        return "string"
      case "list":
        return arrays[type.element.kind] ?? `ReadonlyArray<${this.use(type.element)}>`
      case "tuple":
        return `readonly [${type.types.map((part) => this.use(part)).join(", ")}]`
      case "record":
        return this.#object(
          // A field that is an option may be left out by the caller; the host always sets it.
          type.fields.map(
            (field) =>
              `readonly ${property(field.label)}${field.type.kind === "option" && field.type.type.kind !== "option" ? "?" : ""}: ${this.use(field.type)}`,
          ),
        )
      case "variant":
        return this.#tagged(type.cases.map((part) => [part.label, part.type]))
      case "result":
        return this.#tagged([
          ["ok", type.ok],
          ["err", type.err],
        ])
      case "option":
        return type.type.kind === "option"
          ? this.#tagged([
              ["some", type.type],
              ["none", undefined],
            ])
          : `(${this.use(type.type)}) | undefined`
      case "enum":
        return type.labels.length === 0 ? "never" : type.labels.map(literal).join(" | ")
      case "flags":
        return this.#object(type.labels.map((label) => `readonly ${property(label)}: boolean`))
      case "own":
      case "borrow":
        return this.#resource(type.resource)
      case "stream":
        return `ReadableStream<${this.#item(type)}>`
      case "future":
        return `Promise<${this.#item(type)}>`
      case "error-context":
        return "{ readonly debugMessage: string }"
      case "fixed-list":
      case "map":
        throw new WitError("Inexpressible", { path: type.name?.name ?? "value", type: typeText(type), form: "TypeScript" })
      default:
        return "number"
    }
  }

  /** What a stream gives at a time, or a future once: bytes come in chunks. */
  #item(type: StreamType | FutureType): string {
    const carried = carriedOf(type)
    if (carried === undefined) return "undefined"
    return type.kind === "stream" && carried.kind === "u8" ? "Uint8Array" : this.use(carried)
  }

  /** A stream or future that is handed in: whatever can be iterated or awaited will do. */
  #given(type: ValueType): string {
    if (type.name !== undefined) return this.use(type)
    if (type.kind === "stream") return `AsyncIterable<${this.#item(type)}> | ReadableStream<${this.#item(type)}>`
    return type.kind === "future" ? `Promise<${this.#item(type)}> | ${this.#item(type)}` : this.use(type)
  }

  /** `isImport`: the component calls it, and the host's side answers. */
  func(func: FunctionType, isImport = false): { readonly signature: string; readonly error: string | undefined } {
    const used = new Set<string>()
    const params = func.params.map((param, i) => {
      const wanted = parameter(param.label, i)
      const name = used.has(wanted) ? `arg${i}` : wanted
      used.add(name)
      return `${name}: ${isImport ? this.use(param.type) : this.#given(param.type)}`
    })
    const { ok, err, throws } = answer(func)
    return {
      signature: `(${params.join(", ")}) => ${ok === undefined ? "void" : isImport ? this.#given(ok) : this.use(ok)}`,
      error: throws ? (err === undefined ? "undefined" : this.use(err)) : undefined,
    }
  }
}

/** Functions by the name they are called by: `interface#function`, or the plain name. */
function* functions(externs: ReadonlyMap<string, ExternType>, prefix = ""): Generator<readonly [name: string, func: FunctionType]> {
  for (const [name, extern] of externs) {
    if (extern.kind === "function") yield [`${prefix}${name}`, extern]
    else if (extern.kind === "interface") yield* functions(extern.exports, `${prefix}${name}#`)
  }
}

const roots = (externs: ReadonlyMap<string, ExternType>): ReadonlyArray<ValueType> =>
  [...functions(externs)].flatMap(([, func]) => [...func.params.map((param) => param.type), ...(func.result === undefined ? [] : [func.result])])

/** Named types that an interface exports, used by a function or not. */
function* namedTypes(externs: ReadonlyMap<string, ExternType>): Generator<ValueType> {
  for (const extern of externs.values()) {
    if (extern.kind === "type") yield extern.type
    else if (extern.kind === "interface") yield* namedTypes((extern satisfies InterfaceType).exports)
  }
}

/**
 * The text of a declaration file for `world`, to be used as `host.load<Exports>(…)`.
 *
 * @param header first line, without comment marks; control characters in it are dropped.
 * @throws WitError `Inexpressible` for a type without a host form; LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function declarations(world: World, header = "Do not edit: written by `stele types`"): string {
  const out = new Declarations()
  const named = [...namedTypes(world.imports), ...namedTypes(world.exports)]
  const all = [...roots(world.exports), ...roots(world.imports), ...named]
  for (const type of all) depth(type)
  out.count(all)
  const tables = new Map<string, ReadonlyArray<string>>()
  const exports = [...functions(world.exports)].map(([name, func]) => [name, out.func(func)] as const)
  tables.set(
    "Exports",
    exports.map(([name, func]) => `  readonly ${literal(name)}: ${func.signature}`),
  )
  tables.set(
    "Errors",
    exports.flatMap(([name, func]) => (func.error === undefined ? [] : [`  readonly ${literal(name)}: ${func.error}`])),
  )
  tables.set(
    "Imports",
    [...functions(world.imports)].map(([name, func]) => `  readonly ${literal(name)}: ${out.func(func, true).signature}`),
  )
  for (const type of named) out.use(type)
  const comments = new Map([
    ["Exports", "What the component exports: `host.load<Exports>(…)` types `plugin.call`."],
    ["Errors", "Payloads of `PluginError` with reason `Guest`, by export."],
    ["Imports", "What the component imports; grants decide what it gets."],
  ])
  const blocks = [...tables].map(
    ([name, lines]) => `/** ${comments.get(name)} */\nexport interface ${name} {${lines.length === 0 ? "" : `\n${lines.join("\n")}\n`}}`,
  )
  return [`// ${header.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "")}`, ...out.text, ...blocks, ""].join("\n\n")
}
