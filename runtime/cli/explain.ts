/** `stele explain WHAT`: an error code, a limit or a grant in words, or the tables of all of them. Reads the tables that the host itself works with. */
import { catalogue, ConfigError, type LimitName, limits, type ReasonSpec } from "../../schemas/error/mod.ts"
import { closest } from "../../schemas/value/closest.ts"
import { errorExplanation, limitMeanings } from "../../schemas/error/explain.ts"
import { quote } from "../../schemas/value/form.ts"
import { capabilities } from "../../host/capability/mod.ts"
import { parseGrant } from "../../host/capability/grant.ts"
import { bytesText, countText } from "./quantity.ts"
// For the codes they define.
import "../../schemas/error/pool.ts"
import "../../schemas/error/network.ts"
import "../../schemas/error/author.ts"
import "../../schemas/error/billing.ts"
import "../../schemas/error/encode.ts"
import "../../schemas/error/fpga.ts"
import "../../schemas/error/generate.ts"
import "../../schemas/error/http.ts"
import "../../schemas/error/kernel.ts"
import "../../schemas/error/replacement.ts"
import "../../schemas/error/storage.ts"
import "../../schemas/error/wit-source.ts"
import "./report.ts"
import { columns, out, type Palette, printLine, table, wrap } from "./terminal.ts"

export interface ExplainFlags {
  readonly what: string
  readonly json: boolean
}

/** Explained twice: as lines and as data. */
interface Explanation {
  readonly json: unknown
  readonly lines: (colours: Palette, width: number) => ReadonlyArray<string>
}

/** Stands for any data of a reason: `<name>` in text, a list of it where the reason joins a list. */
const anyData = new Proxy({}, { get: (_, name) => [`<${String(name)}>`] })

function sample(write: (data: never) => string): string {
  try {
    return write(anyData as never)
  } catch {
    // A reason that computes with its data has no text without an occurrence.
    return ""
  }
}

const codeJson = (code: string, { family, reason, spec }: { readonly family: string; readonly reason: string; readonly spec: ReasonSpec<never> }) => ({
  code,
  family,
  reason,
  explanation: errorExplanation(spec.code, reason) ?? "",
  message: sample(spec.message),
  fix: sample(spec.fix),
  exitCode: spec.exit,
  status: spec.status,
  isRetryable: spec.isRetryable,
})

function explainCode(code: string): Explanation | undefined {
  const entry = catalogue.get(code)
  if (entry === undefined) return undefined
  const json = codeJson(code, entry)
  return {
    json,
    lines: ({ bold, dim }, width) => [
      `${bold(code)}  ${entry.family} ${entry.reason}`,
      ...wrap(json.explanation, width - 2).map((line) => `  ${line}`),
      "",
      ...table(
        [
          ["message", json.message],
          ["fix", json.fix],
          ["exit code", String(json.exitCode)],
          ["HTTP", String(json.status)],
          ["retry", json.isRetryable ? "may help" : "does not help"],
        ].filter(([, text]) => text !== ""),
        width,
        2,
        [dim],
      ),
    ],
  }
}

const defaultText = ({ unit, default: value }: (typeof limits)[LimitName]): string => (unit === "bytes" ? bytesText(value) : `${countText(value)} ${unit}`)

function explainLimit(name: string): Explanation | undefined {
  if (!Object.hasOwn(limits, name)) return undefined
  const limit = limits[name as LimitName]
  const meaning = limitMeanings[name as LimitName]
  const code = [...catalogue].find(([, { family, reason }]) => family === "LimitError" && reason === name)?.[0] ?? ""
  return {
    json: { limit: name, ...limit, meaning, code },
    lines: ({ bold, dim }, width) => [
      bold(name),
      ...wrap(`Bounds the ${meaning}.`, width - 2).map((line) => `  ${line}`),
      "",
      ...table(
        [
          ["unit", limit.unit],
          ["default", defaultText(limit)],
          ["error", `${code}, exit code 7`],
          ["set", `--limit ${name}=…, or limits: { ${name}: … }`],
        ],
        width,
        2,
        [dim],
      ),
    ],
  }
}

const granting = capabilities.filter(({ isInert }) => !isInert)

function explainGrant(text: string): Explanation | undefined {
  const name = text.split(":", 1)[0] as string
  const capability = granting.find((each) => each.name === name)
  if (capability === undefined) return undefined
  // A form such as `kv:read:PREFIX` is looked up; anything longer than a name has to be a grant.
  const isForm = text === name || capability.forms.includes(text)
  const grant = isForm ? undefined : parseGrant(text)
  const interfaces = capability.interfaces
    .map(({ name: full, version }) => (version === undefined ? full : `${full}@${version}`))
    .concat(capability.later?.names ?? [])
  return {
    json: { capability: name, ...(grant === undefined ? {} : { grant: grant.text }), forms: capability.forms, risk: capability.risk, interfaces },
    lines: ({ bold, dim }, width) => [
      bold(grant?.text ?? name),
      ...wrap(capability.risk, width - 2).map((line) => `  ${line}`),
      "",
      ...table(
        [
          ["forms", capability.forms.join(", ")],
          ["serves", interfaces.join(", ")],
          ["grant", `--grant ${grant?.text ?? capability.forms[0] ?? name}, or grants: ["…"]`],
        ],
        width,
        2,
        [dim],
      ),
    ],
  }
}

const tables: Readonly<Record<string, () => Explanation>> = {
  grants: () => ({
    json: granting.map(({ name, forms, risk }) => ({ capability: name, forms, risk })),
    lines: ({ bold, yellow, dim }, width) => [
      bold("Grants"),
      ...wrap(
        "Everything is denied unless a grant names it. A NAME, PREFIX or TOPIC may end in * for all that start so. read never implies write.",
        width - 2,
      ).map((line) => `  ${line}`),
      ...granting.flatMap(({ forms, risk }) => ["", ...forms.map((form) => `  ${yellow(form)}`), ...wrap(risk, width - 4).map((line) => dim(`    ${line}`))]),
    ],
  }),
  limits: () => ({
    json: Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, { ...limit, meaning: limitMeanings[name as LimitName] }])),
    lines: ({ bold, cyan }, width) => [
      bold("Limits, with their defaults"),
      ...table(
        Object.entries(limits).map(([name, limit]) => [name, defaultText(limit), limitMeanings[name as LimitName]]),
        width,
        2,
        [cyan],
      ),
    ],
  }),
  codes: () => ({
    json: [...catalogue].map(([code, entry]) => codeJson(code, entry)),
    lines: ({ bold, cyan }, width) => [
      bold("Error codes, with their exit codes"),
      ...table(
        [...catalogue]
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
          .map(([code, { reason, spec }]) => [code, String(spec.exit), errorExplanation(code, reason) ?? ""]),
        width,
        2,
        [cyan],
      ),
    ],
  }),
}

/** @throws ConfigError `Usage` for a word that names nothing */
export function explanationOf(what: string): Explanation {
  const found = Object.hasOwn(tables, what) ? tables[what]?.() : (explainCode(what.toUpperCase()) ?? explainLimit(what) ?? explainGrant(what))
  if (found !== undefined) return found
  const known = [...Object.keys(tables), ...catalogue.keys(), ...Object.keys(limits), ...granting.map(({ name }) => name)]
  const [near] = closest(what, known)
  throw new ConfigError("Usage", {
    detail: `Cannot explain ${quote(what)}: it is no error code, limit or grant`,
    advice: near === undefined ? "stele explain codes, limits or grants lists them" : `did you mean "${near}"`,
  })
}

export function explain({ what, json }: ExplainFlags): void {
  const explanation = explanationOf(what)
  if (json) return printLine(JSON.stringify(explanation.json))
  for (const line of explanation.lines(out, columns(process.stdout))) printLine(line)
}
