/** Is a manifest's license an SPDX expression (SPDX 2.3, annex D), and what was meant if not. */
import parse from "spdx-expression-parse"
import identifiers from "spdx-license-ids" with { type: "json" }
import { closest } from "../../schemas/value/closest.ts"

const reserved = new Set(["AND", "OR", "WITH"])
/** What people leave out or write otherwise: `apache 2`, `GPLv3`, `MIT License`. */
const folded = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/\b(?:the|licen[cs]e|version|only)\b/gu, "")
    .replaceAll(/[^a-z0-9.]/gu, "")
    .replaceAll(/(?<=[a-z])v(?=\d)/gu, "")
    .replaceAll(/(?:\.0)+$/gu, "")

const known = new Map(identifiers.toReversed().map((id) => [folded(id), id]))

/** The identifier that was meant. */
const meant = (text: string): string | undefined => known.get(folded(text)) ?? closest(text, identifiers)[0]

/** Undefined for an SPDX expression; else the expression that was meant, as far as one can tell. */
export function licenseProblem(expression: string): { readonly meant: string | undefined } | undefined {
  try {
    parse(expression)
    return undefined
  } catch {
    const whole = known.get(folded(expression))
    if (whole !== undefined) return { meant: whole }
    const words = expression
      .split(/(\s+|[()])/u)
      .map((word) => (/^[\w.+-]+$/u.test(word) && !reserved.has(word) && !isKnown(word) ? (meant(word) ?? word) : word))
    const corrected = words.join("")
    return { meant: corrected !== expression && isExpression(corrected) ? corrected : undefined }
  }
}

function isExpression(text: string): boolean {
  try {
    parse(text)
    return true
  } catch {
    return false
  }
}
/** An exception after WITH is none alone. */
const isKnown = (word: string): boolean => isExpression(word) || isExpression(`GPL-2.0-only WITH ${word}`)
