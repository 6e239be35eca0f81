/** Functions of Extism plugins on the command line: their bytes in and out are text to people. */
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"
import { escapeText } from "../../host/port/log.ts"

const isBytes = (type: ValueType | undefined): boolean => type?.kind === "list" && type.element.kind === "u8"

/** `func(input: list<u8>) -> result<list<u8>, string>`: what a function of an Extism plugin is. */
export const isTextFunction = ({ params, result }: FunctionType): boolean =>
  params.length === 1 &&
  params[0]?.label === "input" &&
  isBytes(params[0].type) &&
  result?.kind === "result" &&
  isBytes(result.ok) &&
  result.err?.kind === "string"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Bytes as the text they are, or undefined. */
export function textOf(bytes: unknown): string | undefined {
  try {
    return utf8.decode(bytes as Uint8Array)
  } catch {
    return undefined
  }
}

/** An answer for people: its lines, without a last line break; undefined where it is no text. */
export const textLines = (bytes: unknown): ReadonlyArray<string> | undefined => {
  const text = textOf(bytes)
  return text === undefined
    ? undefined
    : text === ""
      ? []
      : text
          .replace(/\r?\n$/, "")
          .split("\n")
          .map(escapeText)
}
