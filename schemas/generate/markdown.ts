/** A page about a world in Markdown: what it exports and imports, with its own documentation, and every type once. */
import type { ExternType, FunctionType, ResourceType, ValueType, World } from "../wit/model.ts"
import type { Note, Resolve } from "../wit/parse/package.ts"
import { functionText, shapeText, typeText } from "../wit/print.ts"

export interface MarkdownOptions {
  readonly world: World
  readonly name: string
  /** Where the world came from text: what that says of it. */
  readonly resolve?: Resolve
}

/** Text between bars: one line, no bar of its own. */
const cell = (text: string): string => text.replaceAll("\n", " ").replaceAll("|", "\\|")
const code = (text: string): string => `\`${text.replaceAll("`", "'")}\``
const noNote: Note = {}

class Page {
  readonly #options: MarkdownOptions
  readonly #lines: Array<string> = []
  readonly #shown = new Set<ValueType | ResourceType>()

  constructor(options: MarkdownOptions) {
    this.#options = options
  }

  run(): string {
    const { name, world } = this.#options
    this.#lines.push(`# ${name}`, "")
    this.#part("Exports", world.exports)
    this.#part("Imports", world.imports)
    return `${this.#lines.join("\n").trimEnd()}\n`
  }

  #note(owner: object, name?: string): Note {
    return this.#options.resolve?.notes.of(owner, name) ?? noNote
  }

  #part(title: string, externs: World["exports"]): void {
    if (externs.size === 0) return
    this.#lines.push(`## ${title}`, "")
    const own = [...externs].filter(([, extern]) => extern.kind !== "interface")
    if (own.length > 0) this.#items(externs, new Map(own))
    for (const [name, extern] of externs) {
      if (extern.kind !== "interface") continue
      this.#lines.push(`### ${code(name)}`, "")
      for (const { interfaces } of this.#options.resolve?.packages.values() ?? [])
        for (const one of interfaces.values()) if (one.full === name) this.#docs(this.#note(one))
      this.#items(extern.exports, extern.exports)
    }
  }

  #docs({ docs, since, deprecated, unstable }: Note): void {
    const said = [
      docs,
      deprecated === undefined ? undefined : `*Deprecated since ${deprecated}.*`,
      since === undefined ? undefined : `*Since ${since}.*`,
      unstable === undefined ? undefined : `*Unstable: ${unstable}.*`,
    ]
    for (const text of said) if (text !== undefined && text !== "") this.#lines.push(text, "")
  }

  #items(owner: object, externs: ReadonlyMap<string, ExternType>): void {
    for (const [label, extern] of externs) if (extern.kind === "function") this.#func(owner, label, extern)
    for (const [label, extern] of externs) {
      if (extern.kind === "type") this.#type(owner, label, extern.type)
      if (extern.kind === "resource-type" && !this.#shown.has(extern.resource)) {
        this.#shown.add(extern.resource)
        this.#lines.push(`#### resource ${code(label)}`, "")
        this.#docs(this.#note(owner, label))
      }
    }
  }

  #func(owner: object, label: string, type: FunctionType): void {
    this.#lines.push(`#### ${code(label)}`, "", "```wit", functionText(type), "```", "")
    this.#docs(this.#note(owner, label))
  }

  #type(owner: object, label: string, type: ValueType): void {
    if (this.#shown.has(type)) return
    this.#shown.add(type)
    this.#lines.push(`#### ${type.kind} ${code(label)}`, "")
    this.#docs(this.#note(owner, label))
    const table = (head: string, rows: ReadonlyArray<readonly [label: string, of: string]>): void => {
      this.#lines.push(`| ${head} | type | |`, "|---|---|---|")
      for (const [part, of] of rows) this.#lines.push(`| ${code(part)} | ${of === "" ? "" : code(cell(of))} | ${cell(this.#note(type, part).docs ?? "")} |`)
      this.#lines.push("")
    }
    switch (type.kind) {
      case "record":
        return table(
          "field",
          type.fields.map((field) => [field.label, typeText(field.type)] as const),
        )
      case "variant":
        return table(
          "case",
          type.cases.map((one) => [one.label, one.type === undefined ? "" : typeText(one.type)] as const),
        )
      case "enum":
      case "flags":
        return table(
          type.kind === "enum" ? "case" : "flag",
          type.labels.map((one) => [one, ""] as const),
        )
      default:
        this.#lines.push("```wit", `type ${label} = ${shapeText(type)};`, "```", "")
    }
  }
}

export const markdownOf = (options: MarkdownOptions): string => new Page(options).run()
