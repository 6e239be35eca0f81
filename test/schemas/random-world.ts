/**
 * Random worlds of WIT as text, from a seed: what parsers, generators, encoders and the host are compared on.
 *
 * ```ts
 * const { text, world } = randomWorld(7, { resources: false })   // one file, read by ours and by wasm-tools
 * const { input } = randomWorld(7, { packages: true })           // the same as files, one folder a package
 * ```
 * A world is always valid: as wasm-tools 0.259 sees it, its validator included. The same seed and features give the same text.
 */
import type { WitInput } from "../../schemas/wit/parse/mod.ts"
import { keywords } from "../../schemas/wit/print.ts"

/** What a world may use. Everything that the host carries is on by default, everything that it does not carry is off. */
export interface WorldFeatures {
  /** Resources with constructors, methods and static functions, owned and borrowed handles. */
  readonly resources: boolean
  /** `type a = b;`, of resources too. */
  readonly aliases: boolean
  /** Interfaces with a plain name, written inside the world. */
  readonly inline: boolean
  /** Functions that the world imports and exports itself. */
  readonly functions: boolean
  /** Types that the world has itself, or uses. */
  readonly worldTypes: boolean
  /** Dependencies: other packages, with versions, whose types are used. */
  readonly packages: boolean
  /** `include`, with and without `with`. */
  readonly include: boolean
  /** Exported interfaces. */
  readonly exports: boolean
  /** Words of WIT, JavaScript and other languages as names, upper-case words, digits. */
  readonly awkward: boolean
  /** Documentation comments. */
  readonly docs: boolean
  /** `@since` and `@deprecated`. */
  readonly gates: boolean
  /** Types, functions and methods in any order; without it, types come first, which is canonical. */
  readonly shuffled: boolean
  /** `async func` */
  readonly async: boolean
  /** `stream`, `future` */
  readonly streams: boolean
  /** `error-context` */
  readonly errorContexts: boolean
  /** `map<k, v>` */
  readonly maps: boolean
  /** `list<t, n>` */
  readonly fixedLists: boolean
  /** `import name: interface;` */
  readonly implements: boolean
  /** Labels of `flags`, at most. */
  readonly flagsMax: number
  /** Levels of one type expression, at most. */
  readonly levels: number
  /** Interfaces of one package, types and functions of one interface, at most. */
  readonly size: number
}

export const carried: WorldFeatures = {
  resources: true,
  aliases: true,
  inline: true,
  functions: true,
  worldTypes: true,
  packages: true,
  include: true,
  exports: true,
  awkward: true,
  docs: true,
  gates: true,
  shuffled: true,
  async: false,
  streams: false,
  errorContexts: false,
  maps: false,
  fixedLists: false,
  implements: false,
  flagsMax: 32,
  levels: 3,
  size: 4,
}

/** All of WIT. */
export const everything: WorldFeatures = { ...carried, async: true, streams: true, errorContexts: true, maps: true, fixedLists: true, implements: true }

export interface RandomWorld {
  readonly seed: number
  /** The name to choose it by. */
  readonly world: string
  /** `gen:main@1.2.3` */
  readonly package: string
  readonly text: string
  readonly input: WitInput
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

class Random {
  readonly next: () => number
  constructor(seed: number) {
    this.next = random(seed)
  }
  /** From 0 to `max`, both included. */
  upTo(max: number): number {
    return Math.floor(this.next() * (max + 1))
  }
  chance(of: number): boolean {
    return this.next() < of
  }
  pick<T>(items: ReadonlyArray<T>): T {
    return items[this.upTo(items.length - 1)] as T
  }
  shuffled<T>(items: ReadonlyArray<T>): ReadonlyArray<T> {
    return items
      .map((item) => [this.next(), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item)
  }
}

const awkward = (
  "list record type own borrow string result true false none some ok err constructor to-string value-of prototype proto then tag val length name self this " +
  "super class new default import export function void null undefined await async yield let const static get set u8 f32 int char bool i32 i64 usize " +
  "array map option memory heap load store abort changetype unreachable main init malloc free struct union enum match fn impl trait mod crate go chan " +
  "func select range defer lambda def pass print readonly abstract declare public override instanceof typeof this-is since area result-a t0 raw block kept mark allocate free-since a-1b x-0 URL a-URL-b t1 x9"
).split(" ")
const plain = "alpha beta gamma delta size count open close read write item entry total offset status point line color shape event token query".split(" ")

interface TypeEntry {
  readonly name: string
  readonly isResource: boolean
}
interface Interface {
  readonly name: string
  /** As others name it: `types`, or `gen:dep/types@1.0.0`. */
  readonly full: string
  readonly package: string
  readonly types: Array<TypeEntry>
  readonly needs: Set<Interface>
  lines: ReadonlyArray<string>
}

const primitives = "bool s8 u8 s16 u16 s32 u32 s64 u64 f32 f64 char string".split(" ")
const keys = "bool s8 u8 s16 u16 s32 u32 s64 u64 char string".split(" ")
const identifier = (label: string): string => (keywords.has(label) ? `%${label}` : label)
const indent = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => `  ${line}`)

/** Names of one scope. */
class Names {
  readonly #taken = new Set<string>()
  readonly #random: Random
  readonly #isAwkward: boolean
  constructor(random: Random, features: WorldFeatures) {
    this.#random = random
    this.#isAwkward = features.awkward
  }
  take(label: string): boolean {
    const key = label.replaceAll("-", "").toLowerCase()
    if (this.#taken.has(key)) return false
    this.#taken.add(key)
    return true
  }
  fresh(): string {
    for (;;) {
      const random = this.#random
      const word = this.#isAwkward && random.chance(0.3) ? random.pick(awkward) : random.pick(plain)
      const label = random.chance(0.4)
        ? `${word}-${random.pick(plain)}`
        : random.chance(0.3)
          ? `${word}-${random.pick(["a", "b", "x1"])}${random.upTo(99)}`
          : word
      if (this.take(label)) return label
    }
  }
}

export function randomWorld(seed: number, features: Partial<WorldFeatures> = {}): RandomWorld {
  return new Generator(seed, { ...carried, ...features }).run()
}

class Generator {
  readonly #seed: number
  readonly #random: Random
  readonly #features: WorldFeatures

  constructor(seed: number, features: WorldFeatures) {
    this.#seed = seed
    this.#random = new Random(seed)
    this.#features = features
  }

  run(): RandomWorld {
    const random = this.#random
    const known: Array<Interface> = []
    const packages: Array<{ readonly name: string; readonly interfaces: ReadonlyArray<Interface> }> = []
    const count = this.#features.packages ? random.upTo(2) : 0
    for (let i = 0; i < count; i++) {
      const name = `gen:dep-${"abc"[i] as string}${random.chance(0.7) ? `@${random.upTo(1)}.${1 + random.upTo(2)}.${random.upTo(9)}${random.chance(0.2) ? "-rc.1" : ""}` : ""}`
      packages.push({ name, interfaces: this.#package(name, known) })
    }
    const main = `gen:main@1.${random.upTo(5)}.0`
    const interfaces = this.#package(main, known)
    const worlds = this.#worlds(main, known, interfaces)
    const body = (of: ReadonlyArray<Interface>): ReadonlyArray<ReadonlyArray<string>> =>
      of.map((one) => [...this.#head(), `interface ${identifier(one.name)} {`, ...indent(one.lines), "}", ""])
    const mainItems = random.shuffled([...body(interfaces), ...worlds])
    const deps = packages.map(({ name, interfaces: own }) => ({ name, lines: random.shuffled(body(own)).flat() }))
    const text = [`package ${main};`, "", ...mainItems.flat(), ...deps.flatMap(({ name, lines }) => [`package ${name} {`, ...indent(lines), "}", ""])].join(
      "\n",
    )
    const half = Math.ceil(mainItems.length / 2)
    const file = (name: string, lines: ReadonlyArray<string>) => ({ file: name, text: lines.join("\n") })
    const input: WitInput = {
      main: [file("one.wit", [`package ${main};`, "", ...mainItems.slice(0, half).flat()]), file("two.wit", mainItems.slice(half).flat())],
      deps: deps.map(({ name, lines }, i) => [file(`deps/${i}.wit`, [`package ${name};`, ...lines])]),
    }
    return { seed: this.#seed, world: "the-world", package: main, text, input }
  }

  // ── Interfaces ────────────────────────────────────────────────────────────

  #package(name: string, known: Array<Interface>): ReadonlyArray<Interface> {
    const names = new Names(this.#random, this.#features)
    names.take("the-world")
    names.take("base")
    const [base = "", version] = name.split("@")
    return Array.from({ length: 1 + this.#random.upTo(this.#features.size - 1) }, () => {
      const own = names.fresh()
      const full = `${base}/${identifier(own)}${version === undefined ? "" : `@${version}`}`
      const made = this.#interface({ name: own, full, package: name, types: [], needs: new Set(), lines: [] }, known)
      known.push(made)
      return made
    })
  }

  #interface(made: Interface, known: ReadonlyArray<Interface>): Interface {
    const names = new Names(this.#random, this.#features)
    const types = this.#types(made, known, names)
    const functions = Array.from({ length: this.#random.upTo(this.#features.size) }, () => [
      ...this.#head(made.package),
      `${identifier(names.fresh())}: ${this.#function(made.types)};`,
    ])
    made.lines = (this.#features.shuffled ? this.#random.shuffled([...types, ...functions]) : [...types, ...functions]).flat()
    return made
  }

  /** What is used and defined; each group of lines is one item. */
  #types(into: Pick<Interface, "types" | "needs" | "package">, known: ReadonlyArray<Interface>, names: Names): ReadonlyArray<ReadonlyArray<string>> {
    const random = this.#random
    const items: Array<ReadonlyArray<string>> = []
    for (const other of known) {
      if (other.types.length === 0 || !random.chance(0.35)) continue
      const used: Array<string> = []
      for (const type of random.shuffled(other.types).slice(0, 2)) {
        const as = names.take(type.name) ? type.name : names.fresh()
        used.push(as === type.name ? identifier(as) : `${identifier(type.name)} as ${identifier(as)}`)
        into.types.push({ ...type, name: as })
      }
      into.needs.add(other)
      items.push([`use ${other.package === into.package ? identifier(other.name) : other.full}.{${used.join(", ")}${random.chance(0.2) ? "," : ""}};`])
    }
    const count = random.upTo(this.#features.size)
    for (let i = 0; i < count; i++) items.push([...this.#head(into.package), ...this.#definition(into, names)])
    return items
  }

  #definition(into: Pick<Interface, "types">, names: Names): ReadonlyArray<string> {
    const random = this.#random
    const kinds = [
      "record",
      "variant",
      "enum",
      "flags",
      ...(this.#features.aliases ? ["type"] : []),
      ...(this.#features.resources ? ["resource", "resource"] : []),
    ]
    const kind = random.pick(kinds)
    const name = names.fresh()
    const isAlias = kind === "type" && into.types.length > 0 && random.chance(0.4)
    const scope = [...into.types]
    const target = isAlias ? random.pick(scope) : undefined
    const lines = target === undefined ? this.#body(kind, name, scope) : [`type ${identifier(name)} = ${identifier(target.name)};`]
    into.types.push({ name, isResource: kind === "resource" || target?.isResource === true })
    return lines
  }

  #body(kind: string, name: string, scope: ReadonlyArray<TypeEntry>): ReadonlyArray<string> {
    const random = this.#random
    const own = new Names(random, this.#features)
    const label = identifier(name)
    const parts = (max: number, each: () => string): ReadonlyArray<string> => {
      const made = Array.from({ length: 1 + random.upTo(max - 1) }, () => [...this.#docs(), each()])
      return made.flatMap((lines, i) =>
        lines.map((line, j) => (j < lines.length - 1 ? line : `${line}${i === made.length - 1 && random.chance(0.3) ? "" : ","}`)),
      )
    }
    const { levels, flagsMax } = this.#features
    switch (kind) {
      case "record":
        return [`record ${label} {`, ...indent(parts(5, () => `${identifier(own.fresh())}: ${this.#type(scope, levels)}`)), "}"]
      case "variant":
        return [
          `variant ${label} {`,
          ...indent(parts(5, () => (random.chance(0.5) ? identifier(own.fresh()) : `${identifier(own.fresh())}(${this.#type(scope, levels)})`))),
          "}",
        ]
      case "enum":
        return [`enum ${label} {`, ...indent(parts(random.chance(0.1) ? 40 : 6, () => identifier(own.fresh()))), "}"]
      case "flags":
        return [`flags ${label} {`, ...indent(parts(random.chance(0.3) ? flagsMax : 6, () => identifier(own.fresh()))), "}"]
      case "resource":
        return this.#resource(label, [...scope, { name, isResource: true }], own)
      default:
        return [`type ${label} = ${this.#type(scope, levels)};`]
    }
  }

  #resource(label: string, scope: ReadonlyArray<TypeEntry>, own: Names): ReadonlyArray<string> {
    const random = this.#random
    own.take("self")
    // `r` and `[method]r.r` are one name to the validator.
    own.take(label.replace("%", ""))
    const methods: Array<string> = []
    if (random.chance(0.6))
      methods.push(`constructor(${this.#params(scope)})${random.chance(0.3) ? ` -> result<${label}${random.chance(0.5) ? ", string" : ""}>` : ""};`)
    const count = random.upTo(this.#features.size - 1)
    for (let i = 0; i < count; i++) {
      const name = identifier(own.fresh())
      methods.push(...this.#docs(), `${name}: ${random.chance(0.3) ? "static " : ""}${this.#function(scope, ["self"])};`)
    }
    return methods.length === 0 ? [`resource ${label}${random.chance(0.5) ? ";" : " {}"}`] : [`resource ${label} {`, ...indent(methods), "}"]
  }

  // ── Functions and types ───────────────────────────────────────────────────

  #function(scope: ReadonlyArray<TypeEntry>, taken: ReadonlyArray<string> = []): string {
    const random = this.#random
    const isAsync = this.#features.async && random.chance(0.3)
    return `${isAsync ? "async " : ""}func(${this.#params(scope, taken)})${random.chance(0.7) ? ` -> ${this.#result(scope)}` : ""}`
  }

  #result(scope: ReadonlyArray<TypeEntry>): string {
    const { levels } = this.#features
    if (!this.#random.chance(0.35)) return this.#type(scope, levels)
    return this.#random.pick([
      "result",
      `result<${this.#type(scope, levels)}>`,
      `result<_, ${this.#type(scope, 1)}>`,
      `result<${this.#type(scope, levels)}, ${this.#type(scope, 1)}>`,
    ])
  }

  #params(scope: ReadonlyArray<TypeEntry>, taken: ReadonlyArray<string> = []): string {
    const random = this.#random
    const names = new Names(random, this.#features)
    for (const name of taken) names.take(name)
    const count = random.chance(0.05) ? 17 + random.upTo(3) : random.upTo(4)
    const params = Array.from({ length: count }, () => `${identifier(names.fresh())}: ${this.#param(scope)}`)
    return params.join(", ") + (count > 0 && random.chance(0.1) ? "," : "")
  }

  #param(scope: ReadonlyArray<TypeEntry>): string {
    const resources = scope.filter(({ isResource }) => isResource)
    if (resources.length === 0 || !this.#random.chance(0.3)) return this.#type(scope, this.#features.levels)
    const handle = `borrow<${identifier(this.#random.pick(resources).name)}>`
    return this.#random.pick([handle, handle, `list<${handle}>`, `option<${handle}>`, `tuple<u8, ${handle}>`])
  }

  #type(scope: ReadonlyArray<TypeEntry>, levels: number): string {
    const random = this.#random
    if (scope.length > 0 && random.chance(0.35)) return identifier(random.pick(scope).name)
    if (levels <= 1 || random.chance(0.4)) return this.#features.errorContexts && random.chance(0.05) ? "error-context" : random.pick(primitives)
    const inner = (): string => this.#type(scope, levels - 1)
    const { streams, maps, fixedLists } = this.#features
    // A stream of char is not valid, whatever name it has: so elements are spelt out.
    const element = random.pick(primitives.filter((one) => one !== "char"))
    const shapes = [
      () => `list<${inner()}>`,
      () => `list<${random.pick(primitives)}>`,
      () => `option<${inner()}>`,
      () => `tuple<${Array.from({ length: 1 + random.upTo(3) }, inner).join(", ")}>`,
      () => random.pick(["result", `result<${inner()}>`, `result<_, ${inner()}>`, `result<${inner()}, ${inner()}>`]),
      ...(streams ? [() => random.pick(["stream", "future", `stream<${element}>`, `stream<list<${inner()}>>`, `future<${inner()}>`])] : []),
      ...(maps ? [() => `map<${random.pick(keys)}, ${inner()}>`] : []),
      ...(fixedLists ? [() => `list<${inner()}, ${1 + random.upTo(5)}>`] : []),
    ]
    return random.pick(shapes)()
  }

  #docs(): ReadonlyArray<string> {
    if (!this.#features.docs || !this.#random.chance(0.2)) return []
    return this.#random.pick([
      ["/// What it is for."],
      ["/// Two lines,", "///", "///   one of them indented."],
      ["/** In a block. */"],
      ["// Not documentation."],
    ])
  }

  #head(of = ""): ReadonlyArray<string> {
    const { gates } = this.#features
    const version = of.split("@")[1]
    if (!gates || version === undefined || version.includes("-") || !this.#random.chance(0.15)) return this.#docs()
    return [...this.#docs(), `@since(version = 0.0.${this.#random.upTo(1)})`, ...(this.#random.chance(0.2) ? ["@deprecated(version = 0.0.1)"] : [])]
  }

  // ── Worlds ────────────────────────────────────────────────────────────────

  #worlds(name: string, known: ReadonlyArray<Interface>, own: ReadonlyArray<Interface>): ReadonlyArray<ReadonlyArray<string>> {
    const random = this.#random
    const hasBase = this.#features.include && random.chance(0.5)
    const names = { import: new Names(random, this.#features), export: new Names(random, this.#features) }
    const exported = this.#exported(own, known)
    const path = (one: Interface): string => (one.package === name ? identifier(one.name) : one.full)
    const imported = known.filter(() => random.chance(0.4))
    const [inBase, inWorld] = [imported.filter(() => hasBase && random.chance(0.5)), imported.filter(() => random.chance(0.8))]
    const base: Array<string> = []
    const items: Array<ReadonlyArray<string>> = []
    for (const one of inBase) base.push(`import ${path(one)};`)
    for (const one of inWorld) items.push([...this.#docs(), `import ${path(one)};`])
    for (const one of exported) items.push([...this.#docs(), `export ${path(one)};`])
    const renamed: Array<string> = []
    if (hasBase && this.#features.functions) {
      for (const kind of ["import", "export"] as const) {
        if (!random.chance(0.5)) continue
        const label = names[kind].fresh()
        base.push(`${kind} ${identifier(label)}: ${this.#function([])};`)
        // A name that is imported and exported is renamed both ways.
        if (random.chance(0.4) && names.import.take(`${label}-again`) && names.export.take(`${label}-again`))
          renamed.push(`${identifier(label)} as ${label}-again`)
      }
    }
    const scope: Pick<Interface, "types" | "needs" | "package"> = { types: [], needs: new Set(), package: name }
    // A type that is used comes from the import, also where the interface is exported: leave those out that both could mean.
    const usable = known.filter((one) => !exported.some((other) => other === one || closure(other).has(one)))
    if (this.#features.worldTypes) items.push(...this.#types(scope, usable, names.import))
    items.push(...this.#ports(scope, known, exported, names, path))
    if (renamed.length > 0) items.push([`include base with { ${[...new Set(renamed)].join(", ")} }`])
    else if (hasBase) items.push(["include base;"])
    const world = ["world the-world {", ...indent((this.#features.shuffled ? random.shuffled(items) : items).flat()), "}", ""]
    return hasBase ? [["world base {", ...indent(base), "}", ""], world] : [world]
  }

  #ports(
    scope: Pick<Interface, "types">,
    known: ReadonlyArray<Interface>,
    exported: ReadonlyArray<Interface>,
    names: { readonly import: Names; readonly export: Names },
    path: (one: Interface) => string,
  ): ReadonlyArray<ReadonlyArray<string>> {
    const random = this.#random
    const items: Array<ReadonlyArray<string>> = []
    const kinds = this.#features.exports ? (["import", "export"] as const) : (["import"] as const)
    for (const kind of kinds) {
      if (this.#features.functions) {
        const count = random.upTo(2)
        for (let i = 0; i < count; i++) items.push([...this.#docs(), `${kind} ${identifier(names[kind].fresh())}: ${this.#function(scope.types)};`])
      }
      if (this.#features.inline && random.chance(0.4)) {
        const label = names[kind].fresh()
        const usable = kind === "import" ? known : known.filter((one) => exported.includes(one) || ![...closure(one)].some((need) => exported.includes(need)))
        const made = this.#interface({ name: label, full: label, package: (known.at(-1) as Interface).package, types: [], needs: new Set(), lines: [] }, usable)
        items.push([`${kind} ${identifier(label)}: interface {`, ...indent(made.lines), "}"])
      }
      if (this.#features.implements && kind === "import" && random.chance(0.3))
        items.push([`import ${identifier(names[kind].fresh())}: ${path(random.pick(known))};`])
    }
    return items
  }

  /** Interfaces to export: with one that is exported, all of which it uses something that leads to another exported one. */
  #exported(own: ReadonlyArray<Interface>, known: ReadonlyArray<Interface>): ReadonlyArray<Interface> {
    if (!this.#features.exports) return []
    const chosen = new Set(own.filter(() => this.#random.chance(0.4)))
    for (let isDone = false; !isDone;) {
      isDone = true
      for (const one of [...chosen]) {
        for (const need of closure(one)) {
          if (chosen.has(need) || ![...closure(need)].some((deep) => chosen.has(deep))) continue
          chosen.add(need)
          isDone = false
        }
      }
    }
    return known.filter((one) => chosen.has(one))
  }
}

/** Everything that an interface uses, directly or not. */
function closure(of: Interface, found = new Set<Interface>()): Set<Interface> {
  for (const need of of.needs) {
    if (found.has(need)) continue
    found.add(need)
    closure(need, found)
  }
  return found
}
