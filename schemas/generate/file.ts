/** What every generator makes: files of text, by paths with `/` between their parts. */
export interface GeneratedFile {
  readonly path: string
  readonly text: string
}

/** The first lines of every generated file, by how its language writes comments. */
export const madeFrom = (world: string): string => `Made from the world ${world} by stele. Changes are lost: change the WIT.`

/** Text by lines, indented by blocks. */
export class Lines {
  readonly #lines: Array<string> = []
  #depth = 0
  readonly #unit: string
  constructor(unit = "  ") {
    this.#unit = unit
  }
  get isEmpty(): boolean {
    return this.#lines.length === 0
  }
  add(...lines: ReadonlyArray<string>): this {
    for (const line of lines) this.#lines.push(line === "" ? "" : this.#unit.repeat(this.#depth) + line)
    return this
  }
  /** `head {`, what `body` adds, `}`. */
  block(head: string, body: () => void, tail = "}"): this {
    this.add(head)
    this.#depth++
    body()
    this.#depth--
    return this.add(tail)
  }
  toString(): string {
    return this.#lines.map((line) => `${line}\n`).join("")
  }
}

/** Words of a kebab-case label, in small letters: `get-URL` is `get`, `url`. */
export const wordsOf = (label: string): ReadonlyArray<string> => label.toLowerCase().split("-")
const upper = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)
/** `get-url` → `GetUrl` */
export const pascal = (label: string): string => wordsOf(label).map(upper).join("")
/** `get-url` → `getUrl` */
export const camel = (label: string): string => {
  const [first = "", ...rest] = wordsOf(label)
  return first + rest.map(upper).join("")
}
/** `get-url` → `get_url` */
export const snake = (label: string): string => wordsOf(label).join("_")
