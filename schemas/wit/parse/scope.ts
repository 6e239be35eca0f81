/**
 * Packages and their names: which interface or world a path means, over all files of one parse. Declarations come first,
 * so that the order of files and of items means nothing.
 */
import { closest } from "../../value/closest.ts"
import { type Report } from "./report.ts"
import type { Block, FileSyntax, Head, InterfaceSyntax, Name, PackageName, SourceFile, TopUse, UsePath, WorldSyntax } from "./syntax.ts"
import { compareVersions, track, type Version } from "./version.ts"

/** Features that are asked for: items of others are left out. */
export type Features = ReadonlySet<string> | "all"

export interface Declared<S> {
  readonly syntax: S
  readonly block: Scope
  readonly package: PackageScope
  /** `wasi:io/poll@0.2.12` */
  readonly full: string
  /** The feature that it waits for; it is not there. */
  readonly missing?: string
}
export type DeclaredInterface = Declared<InterfaceSyntax>
export type DeclaredWorld = Declared<WorldSyntax>

/** A block with what its `use` items name. */
export interface Scope {
  readonly file: SourceFile
  readonly uses: ReadonlyMap<string, TopUse>
}

export interface PackageScope {
  /** `wasi:io@0.2.12` */
  readonly full: string
  readonly name: string
  readonly version?: Version
  readonly file: SourceFile
  readonly at: number
  readonly docs?: string
  readonly interfaces: Map<string, DeclaredInterface>
  readonly worlds: Map<string, DeclaredWorld>
  readonly scopes: Array<Scope>
}

/** Names of one scope are unique ignoring case and dashes, since they become names of languages. */
export const fold = (label: string): string => label.replaceAll("-", "").toLowerCase()

const fullName = ({ name, version }: PackageName): string => (version === undefined ? name : `${name}@${version.text}`)

const did = (wanted: string, known: Iterable<string>): string => {
  const found = closest(wanted, [...known])
  return found.length === 0 ? "" : `: did you mean ${found.map((name) => `"${name}"`).join(" or ")}?`
}

/** The path behind names of the same file, each of which may stand for another; undefined when they go in a circle. */
function targetOf(path: UsePath, uses: ReadonlyMap<string, TopUse>): UsePath | undefined {
  const seen = new Set<string>()
  let target = path
  while (target.package === undefined) {
    const { text } = target.name
    const use = uses.get(text)
    if (use === undefined) break
    if (seen.has(text)) return undefined
    seen.add(text)
    target = use.path
    // `use types;` is the package's own.
    if (target.package === undefined && target.name.text === text) break
  }
  return target
}

export class Packages {
  readonly #report: Report
  readonly #features: Features
  readonly byName = new Map<string, PackageScope>()
  /** All versions of one name. */
  readonly #versions = new Map<string, Array<PackageScope>>()
  readonly #texts = new Map<string, string>()

  constructor(report: Report, features: Features) {
    this.#report = report
    this.#features = features
  }

  // ── Declaring ─────────────────────────────────────────────────────────────

  /** The files of one package, and the packages that they nest. Answers the package of the files, or undefined when there is none. */
  group(files: ReadonlyArray<FileSyntax>): PackageScope | undefined {
    const named = files.flatMap((file) => (file.package === undefined ? [] : [{ file, name: file.package }]))
    const [first] = named
    let own: PackageScope | undefined
    if (first !== undefined) {
      for (const { file, name } of named.slice(1)) {
        if (fullName(name) !== fullName(first.name)) {
          const detail = `this file is of the package "${fullName(name)}", and "${first.file.file.name}" beside it of "${fullName(first.name)}"`
          this.#report.add("Package", file.file, name.at, detail, "move one of them to another folder, or use package a:b { … }")
        }
      }
      const text = files
        .map(({ file }) => file.text)
        .sort()
        .join("\0")
      // Dependencies may bring the same package twice.
      if (this.#texts.get(fullName(first.name)) === text) return this.byName.get(fullName(first.name))
      own = this.#declare(first.name, first.file.file, files)
      this.#texts.set(fullName(first.name), text)
    } else {
      const stray = files.find(({ uses, interfaces, worlds }) => uses.length + interfaces.length + worlds.length > 0) ?? files[0]
      if (stray !== undefined && (stray.nested.length === 0 || stray.interfaces.length + stray.worlds.length > 0)) {
        this.#report.add("Package", stray.file, 0, "no file here says which package this is", "begin one of the files with: package acme:name@0.1.0;")
      }
    }
    for (const file of files) for (const { package: name, block } of file.nested) this.#declare(name, file.file, [block])
    return own
  }

  #declare(name: PackageName & { readonly docs?: string }, file: SourceFile, blocks: ReadonlyArray<Block>): PackageScope {
    const full = fullName(name)
    const known = this.byName.get(full)
    if (known !== undefined) {
      this.#report.add(
        "Duplicate",
        file,
        name.at,
        `the package "${full}" is also in "${known.file.name}"`,
        "leave one of them, or give them different versions",
      )
      return known
    }
    const scope: PackageScope = {
      full,
      name: name.name,
      file,
      at: name.at,
      interfaces: new Map(),
      worlds: new Map(),
      scopes: [],
      ...(name.version === undefined ? {} : { version: name.version }),
      ...(name.docs === undefined ? {} : { docs: name.docs }),
    }
    this.byName.set(full, scope)
    this.#versions.set(name.name, [...(this.#versions.get(name.name) ?? []), scope])
    const taken = new Map<string, Name>()
    for (const block of blocks) this.#block(scope, block, taken)
    return scope
  }

  #block(scope: PackageScope, block: Block, taken: Map<string, Name>): void {
    const uses = new Map<string, TopUse>()
    const own = new Map<string, string>()
    const inner: Scope = { file: block.file, uses }
    scope.scopes.push(inner)
    const suffix = scope.version === undefined ? "" : `@${scope.version.text}`
    for (const syntax of [...block.interfaces, ...block.worlds]) {
      this.#report.count(block.file)
      const missing = this.missing(syntax.head, scope, block.file)
      const full = `${scope.name}/${syntax.name.text}${suffix}`
      const declared = { block: inner, package: scope, full, ...(missing === undefined ? {} : { missing }) }
      const key = fold(syntax.name.text)
      if (taken.has(key)) this.#twice(block.file, syntax.name, "the package", taken.get(key) as Name)
      taken.set(key, syntax.name)
      own.set(key, syntax.name.text)
      if (syntax.kind === "interface") scope.interfaces.set(syntax.name.text, { syntax, ...declared })
      else scope.worlds.set(syntax.name.text, { syntax, ...declared })
    }
    for (const use of block.uses) {
      const key = fold(use.as.text)
      if (own.has(key)) this.#twice(block.file, use.as, "this file", { text: own.get(key) as string, at: 0 })
      own.set(key, use.as.text)
      uses.set(use.as.text, use)
    }
  }

  #twice(file: SourceFile, name: Name, where: string, other: Name): void {
    const detail = `"${name.text}" is there already${other.text === name.text ? "" : `, as "${other.text}"`}: names in ${where} are unique, whatever their case and dashes`
    this.#report.add("Duplicate", file, name.at, detail, "give it another name")
  }

  // ── Gates ─────────────────────────────────────────────────────────────────

  /** The feature without which an item is not there; undefined when it is there. Checks versions against the package's. */
  missing(head: Head, scope: PackageScope, file: SourceFile): string | undefined {
    for (const gate of [head.since, head.deprecated]) {
      if (gate === undefined) continue
      if (scope.version === undefined) {
        this.#report.add(
          "Gate",
          file,
          gate.at,
          `the package "${scope.full}" has no version, so nothing in it is since one`,
          `write package ${scope.full}@${gate.version.text};`,
        )
      } else if (compareVersions(gate.version, scope.version) > 0) {
        const detail = `version ${gate.version.text} is not out: the package is ${scope.version.text}`
        this.#report.add("Gate", file, gate.at, detail, `raise the package's version to ${gate.version.text}, or lower the gate's`)
      }
    }
    if (head.unstable === undefined || this.#features === "all" || this.#features.has(head.unstable)) return undefined
    return head.unstable
  }

  // ── Finding ───────────────────────────────────────────────────────────────

  /** The package that a reference means: of its version, else the newest compatible one that is not older. */
  package(name: PackageName): PackageScope | undefined {
    const exact = this.byName.get(fullName(name))
    const { version } = name
    if (exact !== undefined || version === undefined) return exact
    let found: PackageScope | undefined
    for (const one of this.#versions.get(name.name) ?? []) {
      if (one.version === undefined || track(one.version) !== track(version) || compareVersions(one.version, version) < 0) continue
      if (found?.version === undefined || compareVersions(one.version, found.version) > 0) found = one
    }
    return found
  }

  interface(path: UsePath, scope: Scope, own: PackageScope): DeclaredInterface | undefined {
    return this.#declared(path, scope, own, "interface") as DeclaredInterface | undefined
  }

  world(path: UsePath, scope: Scope, own: PackageScope): DeclaredWorld | undefined {
    return this.#declared(path, scope, own, "world") as DeclaredWorld | undefined
  }

  /** What a path means, or nothing: whoever takes it reports why. */
  peek(path: UsePath, { uses }: Scope, own: PackageScope): DeclaredInterface | DeclaredWorld | undefined {
    const target = targetOf(path, uses)
    const scope = target?.package === undefined ? own : this.package(target.package)
    const found = target === undefined ? undefined : (scope?.interfaces.get(target.name.text) ?? scope?.worlds.get(target.name.text))
    return found?.missing === undefined ? found : undefined
  }

  #declared(path: UsePath, { file, uses }: Scope, own: PackageScope, kind: "interface" | "world"): DeclaredInterface | DeclaredWorld | undefined {
    const target = targetOf(path, uses)
    if (target === undefined) {
      this.#report.add("Cycle", file, path.name.at, `"${path.name.text}" stands for itself`, "name an interface of a package: use a:b/c as d;")
      return undefined
    }
    const scope = target.package === undefined ? own : this.package(target.package)
    if (scope === undefined) {
      this.#noPackage(target.package as PackageName, file)
      return undefined
    }
    const { text, at } = target.name
    const [interfaceFound, worldFound] = [scope.interfaces.get(text), scope.worlds.get(text)]
    const found = kind === "interface" ? interfaceFound : worldFound
    if (found === undefined && (interfaceFound ?? worldFound) !== undefined) {
      const [detail, advice] = kind === "interface" ? ["is a world, not an interface", `include ${text};`] : ["is an interface, not a world", `import ${text};`]
      this.#report.add("Unknown", file, path.name.at, `"${text}" ${detail}`, `write ${advice}`)
    } else if (found === undefined) {
      const known = [...(kind === "interface" ? scope.interfaces : scope.worlds).keys(), ...(target.package === undefined ? uses.keys() : [])]
      this.#report.add("Unknown", file, at, `"${scope.full}" has no ${kind} "${text}"${did(text, known)}`, `declare it: ${kind} ${text} { }`)
    } else if (found.missing !== undefined) {
      const detail = `"${text}" is unstable: it is there with the feature "${found.missing}" only`
      this.#report.add("Gate", file, path.name.at, detail, `ask for the feature ${found.missing}, or gate this item by it too`)
      return undefined
    }
    return found
  }

  #noPackage(name: PackageName, file: SourceFile): void {
    const wanted = fullName(name)
    const known = (this.#versions.get(name.name) ?? []).map(({ full }) => full)
    if (known.length > 0) {
      this.#report.add("Unknown", file, name.at, `there is no "${wanted}", but ${known.slice(0, 10).join(", ")}`, `write ${known.at(-1)}`)
      return
    }
    const detail = `there is no package "${wanted}"${did(wanted, this.byName.keys())}`
    this.#report.add("Unknown", file, name.at, detail, `put it into the folder deps beside this file, or below as package ${wanted} { … }`)
  }
}
