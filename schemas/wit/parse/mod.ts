/**
 * WIT text → packages of the type model, with every mistake at its place (docs/adr/0039-wit-front-end.md). For tools: the
 * host reads components and never loads this.
 */
import { WitSourceError } from "../../error/wit-source.ts"
import type { InterfaceType } from "../model.ts"
import { LexError } from "./lex.ts"
import { NoteTable } from "./notes.ts"
import { topological } from "./order.ts"
import type { Resolve, WitInterface, WitPackage, WitSource, WitWorld } from "./package.ts"
import { parseFile } from "./parser.ts"
import { limits, Report, Stop } from "./report.ts"
import { type DeclaredInterface, type DeclaredWorld, type Features, Packages, type PackageScope, type Scope } from "./scope.ts"
import type { FileSyntax, SourceFile, UsePath } from "./syntax.ts"
import { Types } from "./types.ts"
import { type Elaborated, elaborateWorld, type Sources } from "./world.ts"

export type { Note, Notes, Place, Resolve, WitInterface, WitPackage, WitSource, WitWorld } from "./package.ts"
export { WitSourceError } from "../../error/wit-source.ts"
export { limits as witLimits } from "./report.ts"
export { printWit } from "./print.ts"

/** Files of a package, and of the packages that it depends on, each with its own files. */
export interface WitInput {
  readonly main: ReadonlyArray<WitSource>
  readonly deps?: ReadonlyArray<ReadonlyArray<WitSource>>
}

export interface WitOptions {
  /** Features whose `@unstable` items are there; none by default. */
  readonly features?: Iterable<string> | "all"
}

export interface Checked {
  /** Absent when there is a problem. */
  readonly resolve?: Resolve
  /** In the order of the text, at most a hundred: first what cannot be read, and only when all can be read, what it means. */
  readonly problems: ReadonlyArray<WitSourceError>
}

/** Reads and resolves packages, and lists what is wrong with them. Throws nothing. */
export function checkWit(input: WitInput | ReadonlyArray<WitSource> | string, options: WitOptions = {}): Checked {
  const report = new Report()
  try {
    const resolve = resolved(groupsOf(input), options, report)
    if (resolve !== undefined) return { resolve, problems: [] }
  } catch (error) {
    if (!(error instanceof Stop)) throw error
  }
  return { problems: report.problems }
}

/**
 * The packages of `input`, resolved.
 *
 * ```ts
 * const resolve = parseWit("package acme:shop@0.1.0; world plugin { export price: func(of: string) -> u32; }")
 * selectWorld(resolve).world.exports.get("price")
 * ```
 * @throws WitSourceError for the first problem; `checkWit` lists them all
 */
export function parseWit(input: WitInput | ReadonlyArray<WitSource> | string, options: WitOptions = {}): Resolve {
  const { resolve, problems } = checkWit(input, options)
  if (resolve === undefined) throw problems[0] as WitSourceError
  return resolve
}

/**
 * The world of a name: of the main package, or by its full name of any (WIT.md "Specifying a World"). Without a name, the
 * only world of the main package.
 * @throws WitSourceError `NoWorld`
 */
export function selectWorld({ main, packages }: Resolve, name?: string): WitWorld {
  const own = [...main.worlds.values()]
  const [first] = own
  if (name === undefined && first !== undefined && own.length === 1) return first
  const found = name === undefined ? undefined : (main.worlds.get(name) ?? worldOf(packages, name))
  if (found !== undefined) return found
  throw new WitSourceError("NoWorld", { package: main.name, wanted: name, known: [...main.worlds.keys()] })
}

function worldOf(packages: ReadonlyMap<string, WitPackage>, name: string): WitWorld | undefined {
  const all = [...packages.values()].flatMap((one) => [...one.worlds.values()])
  const exact = all.find(({ full }) => full === name)
  const alike = all.filter(({ full }) => full.split("@", 1)[0] === name)
  return exact ?? (alike.length === 1 ? alike[0] : undefined)
}

type Group = ReadonlyArray<SourceFile>

function groupsOf(input: WitInput | ReadonlyArray<WitSource> | string): readonly [main: Group, ...deps: Array<Group>] {
  if (typeof input === "string") return [[{ name: "text.wit", text: input }]]
  const { main, deps = [] } = "main" in input ? input : { main: input }
  const group = (sources: ReadonlyArray<WitSource>): Group => sources.map(({ file, text }) => ({ name: file, text }))
  return [group(main), ...deps.map(group)]
}

/** The text of every file as syntax; those that cannot be read are reported. */
function read(groups: ReadonlyArray<Group>, report: Report): ReadonlyArray<ReadonlyArray<FileSyntax>> {
  let length = 0
  return groups.map((group) =>
    group.flatMap((file) => {
      length += file.text.length
      if (length > limits.witBytesMax.max) report.tooLarge("witBytesMax", file)
      try {
        return [parseFile(file, report)]
      } catch (error) {
        if (!(error instanceof LexError)) throw error
        report.add(error.reason, file, error.at, error.detail, error.advice)
        return []
      }
    }),
  )
}

function resolved(groups: readonly [main: Group, ...deps: Array<Group>], { features = [] }: WitOptions, report: Report): Resolve | undefined {
  const syntax = read(groups, report)
  if (report.problems.length > 0) return undefined
  const packages = new Packages(report, features === "all" ? "all" : (new Set(features) satisfies Features))
  const [main] = syntax.map((files) => packages.group(files))
  // What the files declare is not known, so nothing of it would be found.
  if (main === undefined && report.problems.length === 0) {
    report.add("Package", groups[0][0] ?? { name: "text.wit", text: "" }, 0, "there is no package here", "begin with: package acme:name@0.1.0;")
  }
  if (main === undefined || report.problems.length > 0) return undefined
  const order = orderPackages(packages, report)
  const notes = new NoteTable()
  const resolver = new Resolver(packages, notes, report)
  resolver.run(order)
  if (report.problems.length > 0) return undefined
  const found = new Map(order.map((scope) => [scope.full, resolver.package(scope)]))
  return { packages: found, main: found.get(main.full) as WitPackage, notes }
}

/** Packages, each after those that it names. */
function orderPackages(packages: Packages, report: Report): ReadonlyArray<PackageScope> {
  const all = [...packages.byName.values()]
  const index = new Map(all.map((scope, i) => [scope, i]))
  const needs = all.map((): Set<number> => new Set())
  const note = (own: PackageScope | undefined, paths: Iterable<UsePath>): void => {
    for (const path of paths) {
      const other = path.package === undefined ? undefined : packages.package(path.package)
      if (own !== undefined && other !== undefined && other !== own) needs[index.get(own) as number]?.add(index.get(other) as number)
    }
  }
  for (const scope of all) {
    for (const { uses } of scope.scopes)
      note(
        scope,
        [...uses.values()].map(({ path }) => path),
      )
    for (const { syntax } of scope.interfaces.values())
      note(
        scope,
        syntax.items.flatMap((item) => (item.kind === "use" ? [item.path] : [])),
      )
    for (const { syntax } of scope.worlds.values()) {
      note(
        scope,
        syntax.items.flatMap((item) => (item.kind === "type" || item.path === undefined ? [] : [item.path])),
      )
      note(
        scope,
        syntax.items
          .flatMap((item) => (item.kind === "import" || item.kind === "export" ? (item.interface ?? []) : []))
          .flatMap((item) => (item.kind === "use" ? [item.path] : [])),
      )
    }
  }
  const { order, cycle } = topological(needs.map((set) => [...set]))
  const [first] = (cycle ?? []).map((i) => all[i] as PackageScope)
  if (cycle !== undefined && first !== undefined) {
    const way = [...cycle, cycle[0] as number].slice(0, 10).map((i) => `"${(all[i] as PackageScope).full}"`)
    report.add("Cycle", first.file, first.at, `a package cannot depend on itself: ${way.join(" → ")}`, "move what they share into a package of its own")
  }
  return order.map((i) => all[i] as PackageScope)
}

/** Interfaces and worlds of all packages, in an order in which each finds what it needs. */
class Resolver {
  readonly #report: Report
  readonly #packages: Packages
  readonly #notes: NoteTable
  readonly #interfaces = new Map<DeclaredInterface, { readonly type: InterfaceType; readonly uses: ReadonlyArray<DeclaredInterface> }>()
  readonly #worlds = new Map<DeclaredWorld, Elaborated>()

  constructor(packages: Packages, notes: NoteTable, report: Report) {
    this.#packages = packages
    this.#notes = notes
    this.#report = report
  }

  run(scopes: ReadonlyArray<PackageScope>): void {
    const work: Sources = {
      report: this.#report,
      packages: this.#packages,
      notes: this.#notes,
      interface: (declared) => this.#interfaces.get(declared)?.type,
      uses: (declared) => this.#interfaces.get(declared)?.uses ?? [],
      world: (declared) => this.#worlds.get(declared),
    }
    const interfaces = scopes.flatMap((scope) => [...scope.interfaces.values()].filter(({ missing }) => missing === undefined))
    const interfacePaths = ({ syntax, package: scope, block }: DeclaredInterface) =>
      syntax.items.flatMap((item) => (item.kind === "use" && this.#packages.missing(item.head, scope, block.file) === undefined ? [item.path] : []))
    for (const declared of this.#ordered(
      interfaces,
      interfacePaths,
      "an interface cannot use itself",
      "move the shared types into an interface of their own",
    )) {
      const types = new Types(work, { scope: declared.block, package: declared.package, owner: declared.full })
      const type = types.interface(declared.syntax.items)
      this.#interfaces.set(declared, { type, uses: [...types.uses] })
    }
    const worlds = scopes.flatMap((scope) => [...scope.worlds.values()].filter(({ missing }) => missing === undefined))
    const worldPaths = ({ syntax }: DeclaredWorld) => syntax.items.flatMap((item) => (item.kind === "include" ? [item.path] : []))
    for (const declared of this.#ordered(worlds, worldPaths, "a world cannot include itself", "leave one include out")) {
      this.#worlds.set(declared, elaborateWorld(declared, work))
    }
  }

  #ordered<
    D extends {
      readonly block: Scope
      readonly package: PackageScope
      readonly full: string
      readonly syntax: DeclaredInterface["syntax"] | DeclaredWorld["syntax"]
    },
  >(all: ReadonlyArray<D>, pathsOf: (declared: D) => ReadonlyArray<UsePath>, detail: string, advice: string): ReadonlyArray<D> {
    const index = new Map<unknown, number>(all.map((declared, i) => [declared, i]))
    const needs = all.map((declared) =>
      pathsOf(declared).flatMap((path) => {
        const found = index.get(this.#packages.peek(path, declared.block, declared.package))
        return found === undefined ? [] : [found]
      }),
    )
    const { order, cycle } = topological(needs)
    const first = cycle === undefined ? undefined : all[cycle[0] as number]
    if (cycle !== undefined && first !== undefined) {
      const way = [...cycle, cycle[0] as number].slice(0, 10).map((i) => `"${(all[i] as D).full}"`)
      this.#report.add("Cycle", first.block.file, first.syntax.name.at, `${detail}: ${way.join(" → ")}`, advice)
    }
    return order.map((i) => all[i] as D)
  }

  package(scope: PackageScope): WitPackage {
    const interfaces = new Map<string, WitInterface>()
    for (const [name, declared] of scope.interfaces) {
      const made = this.#interfaces.get(declared)
      if (made === undefined) continue
      const found = { name, full: declared.full, type: made.type, uses: made.uses.map(({ full }) => full) }
      interfaces.set(name, found)
      this.#notes.set(found, { file: declared.block.file, at: declared.syntax.name.at, head: declared.syntax.head })
    }
    const worlds = new Map<string, WitWorld>()
    for (const [name, declared] of scope.worlds) {
      const made = this.#worlds.get(declared)
      if (made === undefined) continue
      const found = { name, full: declared.full, world: made.world }
      worlds.set(name, found)
      this.#notes.set(found, { file: declared.block.file, at: declared.syntax.name.at, head: declared.syntax.head })
    }
    const found = { name: scope.full, interfaces, worlds }
    this.#notes.set(found, { file: scope.file, at: scope.at, head: scope.docs === undefined ? {} : { docs: scope.docs } })
    return found
  }
}
