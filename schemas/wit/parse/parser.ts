/**
 * Tokens → syntax of one file: the grammar of WIT.md, by recursive descent. A mistake ends its item and is noted; reading
 * goes on with the next item. Nothing recurses but types, whose depth is bounded.
 */
import { type PrimitiveKind, primitive } from "../model.ts"
import { keywords } from "../print.ts"
import { Cursor } from "./cursor.ts"
import { limits, type Report } from "./report.ts"
import type {
  Block,
  Definition,
  FileSyntax,
  FunctionSyntax,
  Head,
  IncludeItem,
  InterfaceItem,
  InterfaceSyntax,
  Member,
  Method,
  Name,
  PackageName,
  Parameter,
  PortItem,
  SourceFile,
  TopUse,
  TypeItem,
  TypeSyntax,
  UseItem,
  UsePath,
  WorldItem,
  WorldSyntax,
} from "./syntax.ts"
import type { Version } from "./version.ts"

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export function parseFile(file: SourceFile, report: Report): FileSyntax {
  return new Parser(file, report).file()
}

class Parser extends Cursor {
  // ── Files and packages ────────────────────────────────────────────────────

  file(): FileSyntax {
    const uses: Array<TopUse> = []
    const interfaces: Array<InterfaceSyntax> = []
    const worlds: Array<WorldSyntax> = []
    const nested: Array<FileSyntax["nested"][number]> = []
    let own: FileSyntax["package"]
    let isFirst = true
    this.guarded(() => this.lexer.next())
    while (!this.is("end")) {
      this.guarded(() => {
        if (this.is("}")) return this.#stray()
        if (!this.is("package")) return this.#top(uses, interfaces, worlds)
        const docs = this.docs()
        const at = this.lexer.start
        this.advance()
        const name = { ...this.#packageName(), ...(docs === undefined ? {} : { docs }) }
        if (this.is("{")) return void nested.push({ package: name, block: this.#block() })
        if (!this.eat(";")) this.wanted('";" or "{"')
        if (!isFirst)
          this.fail("Syntax", at, "the package is declared after other items", "declare the package in the first line, or in braces: package a:b { … }")
        own = name
      })
      isFirst = false
    }
    return { file: this.source, uses, interfaces, worlds, nested, ...(own === undefined ? {} : { package: own }) }
  }

  /** A brace that closes nothing: it is passed over, so that reading goes on behind it. */
  #stray(): void {
    this.report.add("Syntax", this.source, this.lexer.start, 'this "}" closes nothing', 'take it out, or write "{" where it begins')
    this.lexer.next()
  }

  #block(): Block {
    const uses: Array<TopUse> = []
    const interfaces: Array<InterfaceSyntax> = []
    const worlds: Array<WorldSyntax> = []
    this.body(() => this.#top(uses, interfaces, worlds))
    return { file: this.source, uses, interfaces, worlds }
  }

  #top(uses: Array<TopUse>, interfaces: Array<InterfaceSyntax>, worlds: Array<WorldSyntax>): void {
    const head = this.#head()
    if (this.eat("use")) {
      const path = this.#usePath()
      const as = this.eat("as") ? this.name() : path.name
      this.expect(";")
      uses.push({ path, as })
    } else if (this.eat("interface")) {
      const name = this.name("the name of the interface")
      interfaces.push({ kind: "interface", head, name, items: this.body(() => this.#interfaceItem()) })
    } else if (this.eat("world")) {
      const name = this.name("the name of the world")
      worlds.push({ kind: "world", head, name, items: this.body(() => this.#worldItem()) })
    } else this.wanted('"interface", "world", "use" or "package"')
  }

  /** `namespace:name@version` */
  #packageName(namespace = this.name("the namespace of a package")): PackageName {
    this.expect(":")
    const name = this.name("the name of a package")
    if (this.is(":")) this.fail("Syntax", this.lexer.start, "namespaces are not nested here", `write ${namespace.text}:${name.text}`)
    return { name: `${namespace.text}:${name.text}`, at: namespace.at, ...this.#version() }
  }

  #version(): { readonly version?: Version } {
    return this.is("@") ? { version: this.#semver() } : {}
  }

  /** The version behind the current token. */
  #semver(): Version {
    const at = this.lexer.end
    const version = this.lexer.version()
    if (version === undefined) this.fail("Syntax", at, "expected a version of three numbers, as SemVer has it", "write a version such as 1.0.0 or 0.2.0-draft")
    return version
  }

  #usePath(first = this.name("the name of an interface or world")): UsePath {
    if (!this.is(":")) return { name: first }
    this.advance()
    const name = this.name("the name of a package")
    return this.#pathBehind(first, name)
  }

  /** The rest of `namespace:name`: `/interface@version`. */
  #pathBehind(namespace: Name, name: Name): UsePath {
    if (!this.is("/")) this.wanted('"/" and the name of an interface')
    this.advance()
    const item = this.name("the name of an interface or world")
    if (this.is("/")) this.fail("Syntax", this.lexer.start, "packages are not nested here", `write ${namespace.text}:${name.text}/${item.text}`)
    return { package: { name: `${namespace.text}:${name.text}`, at: namespace.at, ...this.#version() }, name: item }
  }

  // ── Gates ─────────────────────────────────────────────────────────────────

  #head(): Head {
    const head: Mutable<Head> = {}
    const docs = this.docs()
    if (docs !== undefined) head.docs = docs
    while (this.is("@")) {
      const at = this.lexer.start
      this.advance()
      const { text: gate } = this.name('"since", "unstable", "deprecated" or "external-id"')
      if (!this.eat("(")) this.wanted('"("')
      const twice = (): never => this.fail("Gate", at, `"@${gate}" stands here twice`, "leave one of them")
      if (gate === "since" || gate === "deprecated") {
        if (head[gate] !== undefined) twice()
        this.#key("version")
        if (!this.is("=")) this.wanted('"="')
        head[gate] = { version: this.#semver(), at }
      } else if (gate === "unstable") {
        if (head.unstable !== undefined) twice()
        this.#key("feature")
        this.expect("=")
        head.unstable = this.name("the name of a feature").text
      } else if (gate === "external-id") {
        if (head.externalId !== undefined) twice()
        if (!this.is("literal")) this.wanted("a string")
        head.externalId = this.lexer.value
        this.advance()
      } else this.fail("Gate", at, `there is no gate "@${gate}"`, "write @since(version = …), @unstable(feature = …) or @deprecated(version = …)")
      this.expect(")")
      if (head.since !== undefined && head.unstable !== undefined) this.fail("Gate", at, '"@since" and "@unstable" exclude each other', "leave one of them")
    }
    if (head.deprecated !== undefined && head.since === undefined && head.unstable === undefined)
      this.fail("Gate", head.deprecated.at, '"@deprecated" stands alone', "say since when it was there: @since(version = …)")
    return head
  }

  #key(word: string): void {
    if (!this.is("identifier") || this.lexer.value !== word) this.wanted(`"${word}"`)
    this.advance()
  }

  // ── Interfaces ────────────────────────────────────────────────────────────

  #interfaceItem(): InterfaceItem {
    const head = this.#head()
    if (this.is("use")) return this.#use(head)
    const type = this.#typeItem(head)
    if (type !== undefined) return type
    if (!this.is("identifier") && !keywords.has(this.kind)) this.wanted('a type, a function or "use"')
    const name = this.name('a type, a function or "use"')
    this.expect(":")
    const func = this.#functionType()
    this.expect(";")
    return { kind: "function", head, name, type: func }
  }

  #use(head: Head): UseItem {
    const at = this.expect("use")
    const path = this.#usePath()
    this.expect(".")
    this.expect("{")
    const names = this.parts("}", () => {
      const name = this.name("the name of a type")
      return { name, as: this.eat("as") ? this.name() : name }
    })
    if (names.length === 0) this.fail("Syntax", at, "nothing is named in the braces", "name the types: use types.{a, b}")
    this.expect(";")
    return { kind: "use", head, path, names, at }
  }

  #typeItem(head: Head): TypeItem | undefined {
    switch (this.kind) {
      case "type": {
        this.advance()
        const name = this.name("the name of the type")
        this.expect("=")
        const type = this.#type()
        this.expect(";")
        return { kind: "type", head, name, definition: { kind: "alias", type } }
      }
      case "record":
      case "variant":
      case "enum":
      case "flags": {
        const { kind } = this.lexer
        this.advance()
        const name = this.name("the name of the type")
        this.expect("{")
        const members = this.parts("}", () => this.#member(kind as "record"))
        if (members.length === 0)
          this.fail(
            "Syntax",
            name.at,
            `the ${kind} "${name.text}" is empty`,
            `give it at least one ${kind === "record" ? "field" : kind === "flags" ? "flag" : "case"}`,
          )
        return { kind: "type", head, name, definition: { kind, members } as Definition }
      }
      case "resource": {
        this.advance()
        const name = this.name("the name of the resource")
        const methods = this.eat(";") ? [] : this.body(() => this.#method(name))
        return { kind: "type", head, name, definition: { kind: "resource", methods } }
      }
      default:
        return undefined
    }
  }

  #member(kind: "record" | "variant" | "enum" | "flags"): Member {
    const docs = this.docs()
    const name = this.name(kind === "record" ? "a field" : kind === "flags" ? "a flag" : "a case")
    const member: Mutable<Member> = docs === undefined ? { name } : { name, docs }
    if (kind === "record") {
      this.expect(":")
      member.type = this.#type()
    } else if (kind === "variant" && this.eat("(")) {
      member.type = this.#type()
      this.expect(")")
    }
    return member
  }

  #method(resource: Name): Method {
    const head = this.#head()
    if (this.is("constructor")) {
      const name = { text: resource.text, at: this.lexer.start }
      this.advance()
      const type = this.#signature(false)
      this.expect(";")
      return { head, role: "constructor", name, type }
    }
    const name = this.name('a method, "constructor" or "}"')
    this.expect(":")
    const role = this.eat("static") ? "static" : "method"
    const type = this.#functionType()
    this.expect(";")
    return { head, role, name, type }
  }

  #functionType(): FunctionSyntax {
    const isAsync = this.eat("async")
    if (!this.eat("func")) this.wanted('"func"')
    return this.#signature(isAsync)
  }

  /** `(a: t, …) -> t` */
  #signature(isAsync: boolean): FunctionSyntax {
    this.expect("(")
    const params = this.parts(")", (): Parameter => {
      const name = this.name("a parameter")
      this.expect(":")
      return { name, type: this.#type() }
    })
    if (!this.eat("->")) return { isAsync, params }
    return { isAsync, params, result: this.#type() }
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  #type(depth = 1): TypeSyntax {
    if (depth > limits.witDepthMax.max) this.report.tooLarge("witDepthMax", this.source)
    const { kind, start: at } = this.lexer
    if (kind === "identifier") return { kind: "name", name: this.name(), at }
    if (Object.hasOwn(primitive, kind) || kind === "error-context") {
      this.advance()
      return { kind: "primitive", primitive: kind as PrimitiveKind | "error-context", at }
    }
    const inner = (): TypeSyntax => this.#type(depth + 1)
    const one = (): TypeSyntax => {
      this.expect("<")
      const type = inner()
      this.expect(">")
      return type
    }
    switch (kind) {
      case "list": {
        this.advance()
        this.expect("<")
        const type = inner()
        const length = this.eat(",") ? this.#length() : undefined
        this.expect(">")
        return length === undefined ? { kind, type, at } : { kind: "fixed-list", type, length, at }
      }
      case "option":
        this.advance()
        return { kind, type: one(), at }
      case "stream":
      case "future":
        this.advance()
        return this.is("<") ? { kind, type: one(), at } : { kind, at }
      case "map": {
        this.advance()
        this.expect("<")
        const key = inner()
        this.expect(",")
        const of = inner()
        this.expect(">")
        return { kind, key, value: of, at }
      }
      case "tuple": {
        this.advance()
        this.expect("<")
        const types = this.parts(">", inner)
        if (types.length === 0) this.fail("Syntax", at, "the tuple is empty", "give it at least one type: tuple<u32>")
        return { kind, types, at }
      }
      case "result":
        return this.#result(inner, at)
      case "own":
      case "borrow": {
        this.advance()
        this.expect("<")
        const name = this.name("the name of a resource")
        this.expect(">")
        return { kind, name, at }
      }
      default:
        return this.wanted("a type")
    }
  }

  #result(inner: () => TypeSyntax, at: number): TypeSyntax {
    this.advance()
    if (!this.eat("<")) return { kind: "result", at }
    if (this.eat("_")) {
      this.expect(",")
      const err = inner()
      this.expect(">")
      return { kind: "result", err, at }
    }
    const ok = inner()
    const err = this.eat(",") ? inner() : undefined
    this.expect(">")
    return err === undefined ? { kind: "result", ok, at } : { kind: "result", ok, err, at }
  }

  /** What wasm-tools' validator takes: 1 to 2^30. */
  #length(): number {
    const { kind, value, start } = this.lexer
    if (kind !== "integer") this.wanted("a length")
    const length = value.length > 10 ? Infinity : Number(value)
    if (length < 1 || length > 1 << 30) this.fail("Syntax", start, `a list cannot have the length ${value.slice(0, 40)}`, `write a length from 1 to ${1 << 30}`)
    this.advance()
    return length
  }

  // ── Worlds ────────────────────────────────────────────────────────────────

  #worldItem(): WorldItem {
    const head = this.#head()
    switch (this.kind) {
      case "import":
      case "export":
        return this.#port(head, this.kind)
      case "use":
        return this.#use(head)
      case "include":
        return this.#include(head)
      default:
        return this.#typeItem(head) ?? this.wanted('"import", "export", "include", "use" or a type')
    }
  }

  #port(head: Head, kind: "import" | "export"): PortItem {
    const { start: at } = this.lexer
    this.advance()
    const first = this.name(`what is ${kind}ed`)
    const { end } = this.lexer
    if (!this.eat(":")) {
      this.expect(";")
      return { kind, head, at, path: { name: first } }
    }
    if (this.is("func") || this.is("async")) {
      const type = this.#functionType()
      this.expect(";")
      return { kind, head, at, name: first, function: type }
    }
    if (this.eat("interface")) return { kind, head, at, name: first, interface: this.body(() => this.#interfaceItem()) }
    const isApart = this.lexer.start > end
    const second = this.name('"func", "interface" or the name of an interface')
    // `a:b/c` is an interface of a package, `a: b` and `a: b:c/d` are a name and its interface.
    if (this.is("/")) {
      const path = this.#pathBehind(first, second)
      this.expect(";")
      return { kind, head, at, path }
    }
    if (!isApart && !this.is(":")) {
      this.fail(
        "Syntax",
        first.at,
        `"${first.text}:${second.text}" is a package, and packages are not ${kind}ed`,
        `name an interface of it: ${first.text}:${second.text}/…`,
      )
    }
    const path = this.#usePath(second)
    this.expect(";")
    return { kind, head, at, name: first, path }
  }

  #include(head: Head): IncludeItem {
    const at = this.expect("include")
    const path = this.#usePath()
    if (this.eat(";")) return { kind: "include", head, at, path, names: [] }
    if (!this.is("with")) this.wanted('";" or "with"')
    this.advance()
    this.expect("{")
    const names = this.parts("}", () => {
      const name = this.name()
      this.expect("as")
      return { name, as: this.name() }
    })
    return { kind: "include", head, at, path, names }
  }
}
