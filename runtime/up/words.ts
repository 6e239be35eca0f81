/**
 * Splits a line into words: blanks separate; quotes at the start of a word join what is between them; a bracket joins
 * up to its partner, quotes and blanks included, so that `call greeter greet {name: "Ada"}` needs no quoting.
 */
import { ConfigError } from "../../schemas/error/config.ts"

const close: Readonly<Record<string, string>> = { "{": "}", "[": "]", "(": ")" }

const unended = (what: string, at: number, partner: string): never => {
  throw new ConfigError("Usage", {
    detail: `Cannot split the line into words: the ${what} at character ${at + 1} does not end`,
    advice: `close it with ${partner}`,
  })
}

/** The index of the quote that ends the text starting at `at`, which is one; within it a backslash takes the next character along. */
function endOfQuote(line: string, at: number): number {
  const quote = line.charAt(at)
  let end = at + 1
  while (end < line.length && line.charAt(end) !== quote) end += line.charAt(end) === "\\" ? 2 : 1
  return end < line.length ? end : unended("quote", at, quote)
}

/** The index of the bracket that closes the one at `at`; brackets in quotes do not count. */
function endOfBracket(line: string, at: number): number {
  const open: Array<string> = []
  for (let i = at; i < line.length; i++) {
    const char = line.charAt(i)
    if (char === '"') i = endOfQuote(line, i)
    else if (close[char] !== undefined) open.push(close[char])
    else if (char === open.at(-1)) {
      open.pop()
      if (open.length === 0) return i
    }
  }
  return unended("bracket", at, open.at(-1) ?? "")
}

/** @throws ConfigError `Usage` when a quote or bracket does not end */
export function splitWords(line: string): ReadonlyArray<string> {
  const words: Array<string> = []
  let word: string | undefined
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i)
    if (char === " " || char === "\t") {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (word === undefined && (char === "'" || char === '"')) {
      const end = endOfQuote(line, i)
      // Between quotes a backslash quotes a quote or itself, and is itself before anything else.
      word = line.slice(i + 1, end).replace(/\\(["'\\])/g, "$1")
      i = end
    } else if (close[char] !== undefined) {
      const end = endOfBracket(line, i)
      word = (word ?? "") + line.slice(i, end + 1)
      i = end
    } else word = (word ?? "") + char
  }
  if (word !== undefined) words.push(word)
  return words
}
