/**
 * Values that lie in files: in calls that are written as JSON, `{"$text": "data/a.csv"}` stands for the text of a file of the project,
 * `{"$bytes": "data/a.pgm"}` for its bytes, in base64, and `{"$json": "data/a.json"}` for the value that it holds. No value of a WIT
 * type has such a key.
 */
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"

/** Bytes of one such file. */
export const inputBytesMax = 16 << 20

export interface FileInput {
  readonly file: string
  readonly as: "text" | "bytes" | "json"
}

/** What a value stands for, if it stands for a file. */
export function fileInput(value: unknown): FileInput | undefined {
  if (typeof value !== "object" || value === null) return undefined
  const [[key, file] = [], ...others] = Object.entries(value)
  if (others.length > 0 || typeof file !== "string") return undefined
  return key === "$text" || key === "$bytes" || key === "$json" ? { file, as: key.slice(1) as FileInput["as"] } : undefined
}

/** Inside the folder: no drive, no root, no step upwards. */
const isInside = (file: string): boolean => file !== "" && !/^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)|\0/u.test(file)

/** Reads one; `fail` says what is wrong with it. */
async function readInput(folder: string, { as, file }: FileInput, fail: (problem: string, fix: string) => never): Promise<unknown> {
  const shown = JSON.stringify(file)
  if (!isInside(file)) return fail(`Cannot read ${shown}, which is not inside the project`, "name a file of the project, with / between its parts")
  const path = join(folder, file)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) return fail(`Cannot read ${shown}: there is no such file`, "its path starts at the project's folder")
  if (found.size > inputBytesMax) return fail(`Cannot read ${shown}: it has ${found.size} bytes, and at most ${inputBytesMax} are read`, "take a smaller one")
  const bytes = await readFile(path)
  if (as === "bytes") return bytes.toString("base64")
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return fail(`Cannot read ${shown} as text: it is not UTF-8`, `{"$bytes": ${shown}} is what it holds`)
  }
  if (as === "text") return text
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    return fail(`Cannot read ${shown} as JSON: ${(error as Error).message}`, "correct it, or take it as $text")
  }
}

type Fail = (path: ReadonlyArray<PropertyKey>, problem: string, fix: string) => never

/** `value` with every file in it read; `fail` is called with the place of one that cannot be. */
export async function readInputs(folder: string, value: unknown, fail: Fail, path: ReadonlyArray<PropertyKey> = []): Promise<unknown> {
  const input = fileInput(value)
  if (input !== undefined) return readInput(folder, input, (problem, fix) => fail(path, problem, fix))
  if (Array.isArray(value)) return Promise.all(value.map((item, at) => readInputs(folder, item, fail, [...path, at])))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    await Promise.all(Object.entries(value).map(async ([key, item]) => [key, await readInputs(folder, item, fail, [...path, key])] as const)),
  )
}
