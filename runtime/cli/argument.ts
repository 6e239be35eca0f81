/** The arguments of a call as words of a command line: JSON or WAVE by the parameter's type, `@FILE`, or `-` for stdin. */
import { readFile } from "node:fs/promises"
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { fromJson } from "../../schemas/value/json.ts"
import { quote } from "../../schemas/value/form.ts"
import { fromWave } from "../../schemas/value/wave.ts"
import { isTextFunction } from "./extism.ts"
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"

/** Reads what `@FILE` and `-` stand for. */
export type ReadInput = (source: string) => Promise<Uint8Array>

/** What the system's codes mean to a person. */
const unreadable: Readonly<Record<string, string>> = { EISDIR: "it is a folder", EACCES: "permission is denied" }
const unwritable: typeof unreadable = { ...unreadable, ENOENT: "its folder is not there", ENOTDIR: "what should be its folder is a file" }

/** What the system refused of a file that is to be read, as a typed error. */
export function refusedRead(source: string, cause: unknown): PluginError {
  const { code, message } = cause as NodeJS.ErrnoException
  return code === "ENOENT"
    ? new PluginError("NotFound", { source }, { cause })
    : new PluginError("Unreadable", { source, detail: unreadable[code ?? ""] ?? message }, { cause })
}

/** What the system refused of the file of `--output`. */
export const refusedWrite = (output: string, cause: unknown): ConfigError =>
  new ConfigError(
    "Option",
    {
      option: "--output",
      expected: "a file that can be written",
      actual: `${quote(output, 200)} (${unwritable[(cause as NodeJS.ErrnoException).code ?? ""] ?? (cause as Error).message})`,
    },
    { cause },
  )

/** A file, or standard input for `-`, whole. */
export const readInput: ReadInput = async (source) => {
  if (source === "-") {
    const chunks: Array<Uint8Array> = []
    for await (const chunk of process.stdin) chunks.push(typeof chunk === "string" ? new TextEncoder().encode(chunk) : (chunk as Uint8Array))
    return new Uint8Array(Buffer.concat(chunks))
  }
  try {
    return new Uint8Array(await readFile(source))
  } catch (cause) {
    throw refusedRead(source, cause)
  }
}

/** What a parameter takes at heart: `string` and `list<u8>` may be optional and still be given as they are. */
const heart = (type: ValueType): ValueType => (type.kind === "option" && type.type.kind !== "option" ? type.type : type)
const isBytes = (type: ValueType): boolean => type.kind === "list" && type.element.kind === "u8"

/**
 * The value of one word. JSON first, then WAVE; a string that is neither is taken as it stands, unless it begins like a
 * quoted one. The error is that of the notation the word was written in.
 */
function parseText(type: ValueType, text: string, path: string): unknown {
  let json: unknown
  let isJson = true
  try {
    json = JSON.parse(text)
  } catch {
    isJson = false
  }
  let jsonError: unknown
  if (isJson) {
    try {
      return fromJson(type, json, path)
    } catch (error) {
      jsonError = error
    }
  }
  try {
    return fromWave(type, text, path)
  } catch (waveError) {
    if (heart(type).kind === "string" && !/^\s*["']/.test(text)) return text.toWellFormed()
    throw waveError instanceof WitError && waveError.reason._tag === "Text" && jsonError !== undefined ? jsonError : waveError
  }
}

async function parseWord(type: ValueType, word: string, path: string, read: ReadInput): Promise<unknown> {
  const isFile = word.startsWith("@") && word.length > 1
  if (word !== "-" && !isFile) return parseText(type, word, path)
  const bytes = await read(isFile ? word.slice(1) : "-")
  if (isBytes(heart(type))) return bytes
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new WitError("Value", { path, expected: "UTF-8 text", actual: `a file of ${bytes.length} other bytes` })
  }
  return heart(type).kind === "string" ? text : parseText(type, text, path)
}

/** The input of an Extism plugin's function: the word itself. */
async function inputOf(word: string, read: ReadInput): Promise<Uint8Array> {
  if (word === "-") return read("-")
  return word.startsWith("@") && word.length > 1 ? read(word.slice(1)) : new TextEncoder().encode(word)
}

/**
 * The arguments that `words` stand for; trailing options may be left out. Paths in errors start with the parameter's name.
 *
 * @throws WitError `ArgumentCount`, `Value`, `Text`, `Inexpressible`; PluginError `NotFound` and `Unreadable` for `@FILE`
 */
export async function parseArguments(
  name: string,
  func: FunctionType,
  words: ReadonlyArray<string>,
  read: ReadInput = readInput,
): Promise<ReadonlyArray<unknown>> {
  if (isTextFunction(func)) {
    if (words.length > 1) throw new WitError("ArgumentCount", { export: name, expected: 1, actual: words.length })
    return [await inputOf(words[0] ?? "", read)]
  }
  const required = func.params.findLastIndex((param) => param.type.kind !== "option") + 1
  if (words.length < required || words.length > func.params.length)
    throw new WitError("ArgumentCount", { export: name, expected: func.params.length, actual: words.length })
  const values: Array<unknown> = []
  // One after the other: only one of them can read standard input.
  let stdin: Uint8Array | undefined
  for (const [i, { label, type }] of func.params.entries()) {
    const word = words[i]
    if (word === undefined) values.push(fromJson(type, null, label))
    else values.push(await parseWord(type, word, label, async (source) => (source === "-" ? (stdin ??= await read(source)) : read(source))))
  }
  return values
}
