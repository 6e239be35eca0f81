/** JSON that people write, with the place of everything in it: what is wrong is shown where it is. */
import { readFile, stat } from "node:fs/promises"
import { type DocumentNode, parse, type ValueNode } from "@humanwhocodes/momoa"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { AuthorError, type Problem } from "../../schemas/error/author.ts"
import { closest } from "../../schemas/value/closest.ts"
import { excerptAt, positionAt } from "../../schemas/value/excerpt.ts"

/** Bytes of one manifest or test file. */
export const fileBytesMax = 4 << 20
/** Levels of arrays and objects; momoa calls itself for each. */
const depthMax = 200
/** Code units of a line that are shown on either side of a problem. */
const excerptChars = 60
/** What one reading tells; each looks for its line in the whole text. */
const problemsMax = 50

type Path = ReadonlyArray<PropertyKey>

/** A value that was read from a file, and the places in it. */
export interface Located {
  readonly file: string
  readonly value: unknown
  /** A problem at the value under `path`, or at its key; where there is no such value, at what would hold it. */
  problem(path: Path, message: string, options?: { readonly isKey?: boolean; readonly fix?: string | undefined }): Problem
}

export async function readLocated(path: string, shown: string, what: string): Promise<Located> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || !found.isFile()) throw new AuthorError("Missing", { file: shown, what })
  if (found.size > fileBytesMax) throw new AuthorError("Size", { file: shown, limit: fileBytesMax, actual: found.size })
  return locate(await readFile(path, "utf8"), shown)
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  let isString = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (isString) {
      if (character === "\\") at++
      else if (character === '"') isString = false
    } else if (character === '"') isString = true
    else if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth)
    else if (character === "}" || character === "]") depth--
  }
  return deepest
}

/** Parses `text`, which errors call `file`. A key that an object has twice is a problem, as is everything JSON does not have. */
export function locate(source: string, file: string): Located {
  const text = source.replace(/^\uFEFF/, "")
  const problemAt = (at: number, message: string, fix?: string): Problem => ({
    file,
    ...positionAt(text, at),
    message,
    ...(fix === undefined ? {} : { fix }),
    excerpt: excerptAt(text, at, excerptChars),
  })
  if (depthOf(text) > depthMax)
    throw new AuthorError("File", { file, problems: [problemAt(0, `Cannot nest values deeper than ${depthMax} levels`, "make it flatter")] })
  let document: DocumentNode
  try {
    document = parse(text)
  } catch (error) {
    const { offset = 0 } = error as { readonly offset?: number }
    throw new AuthorError("File", {
      file,
      problems: [problemAt(offset, syntaxMessage(error as Error), "JSON takes double quotes, no comments and no comma before a closing bracket")],
    })
  }
  const twice: Array<Problem> = []
  const value = valueOf(document.body, (key, node) => {
    if (twice.length >= problemsMax) return
    twice.push(problemAt(node.loc.start.offset, `The key ${JSON.stringify(key)} is there twice`, "keep one of the two"))
  })
  if (twice.length > 0) throw new AuthorError("File", { file, problems: twice })
  return {
    file,
    value,
    problem(path, message, { isKey = false, fix } = {}) {
      return problemAt(placeOf(document.body, path, isKey), message, fix)
    },
  }
}

/** momoa's sentence without its own place. */
const syntaxMessage = (error: Error): string =>
  error.message
    .replace(/\s*\(\d+:\d+\)$/, "")
    .replace(/\.$/, "")
    .replace("Unexpected", "Cannot read as JSON: unexpected")

function valueOf(node: ValueNode, twice: (key: string, node: ValueNode) => void): unknown {
  switch (node.type) {
    case "Object": {
      const entries = new Map<string, unknown>()
      for (const { name, value } of node.members) {
        const key = name.type === "String" ? name.value : name.name
        if (entries.has(key)) twice(key, name as unknown as ValueNode)
        entries.set(key, valueOf(value, twice))
      }
      // `fromEntries` defines properties: a key `__proto__` is a key.
      return Object.fromEntries(entries)
    }
    case "Array":
      return node.elements.map(({ value }) => valueOf(value, twice))
    case "String":
    case "Number":
    case "Boolean":
      return node.value
    default:
      return null
  }
}

function placeOf(body: ValueNode, path: Path, isKey: boolean): number {
  let node = body
  for (const [at, step] of path.entries()) {
    if (node.type === "Object") {
      const member = node.members.find(({ name }) => (name.type === "String" ? name.value : name.name) === step)
      if (member === undefined) break
      if (isKey && at === path.length - 1) return member.name.loc.start.offset
      node = member.value
    } else if (node.type === "Array") {
      const element = node.elements[Number(step)]
      if (element === undefined) break
      node = element.value
    } else break
  }
  return node.loc.start.offset
}

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** Reads a located value by its schema. Every problem is told, up to 50; an unknown key with the one that was meant. */
export function decodeLocated<S extends Schema.Codec<unknown, unknown>>(schema: S, located: Located): S["Type"] {
  try {
    return Schema.decodeUnknownSync(schema)(located.value, { errors: "all", onExcessProperty: "error" })
  } catch (error) {
    if (!Schema.isSchemaError(error)) throw error
    const { issues } = issuesOf(error.issue)
    const problems = issues.slice(0, problemsMax).map(({ message, path = [] }) =>
      problemOf(
        schema,
        located,
        message,
        path.map((step) => (typeof step === "object" ? step.key : step)),
      ),
    )
    throw new AuthorError("File", { file: located.file, problems })
  }
}

function problemOf(schema: Schema.Top, located: Located, message: string, path: Path): Problem {
  const last = String(path.at(-1) ?? "")
  if (message === "Expected no excess property") {
    const near = closest(last, keysAt(schema, path.slice(0, -1)))
    return located.problem(path, `Cannot know the key ${JSON.stringify(last)}`, {
      isKey: true,
      fix: near.length === 0 ? "leave it out" : `write ${JSON.stringify(near[0])} if that was meant`,
    })
  }
  if (message === "Missing key") return located.problem(path, `The key ${JSON.stringify(last)} is missing`, { fix: `add ${JSON.stringify(last)}` })
  return located.problem(path, path.length === 0 ? message : `${message} as ${JSON.stringify(path.map(String).join("."))}`)
}

/** The keys that the schema has where `path` leads. */
function keysAt(schema: Schema.Top, path: Path): ReadonlyArray<string> {
  const { schema: root, definitions } = Schema.toJsonSchemaDocument(schema as unknown as Schema.Codec<unknown, unknown>)
  let at: Record<string, unknown> = root
  const seen = (json: Record<string, unknown>): Record<string, unknown> =>
    typeof json.$ref === "string" ? (definitions[json.$ref.replace("#/$defs/", "")] as Record<string, unknown>) : json
  at = seen(at)
  for (const step of path) {
    const next = typeof step === "number" || /^\d+$/.test(String(step)) ? at.items : (at.properties as Record<string, unknown> | undefined)?.[String(step)]
    if (typeof next !== "object" || next === null) return []
    at = seen(next as Record<string, unknown>)
  }
  return Object.keys((at.properties as object | undefined) ?? {})
}
