/**
 * What people and machines see of an error: at most a screen, with its code, where it happened, what was granted and
 * what to do. Never a stack trace, unless `--debug` asks for it.
 *
 *     error[STELE-CAP-0003]: Plugin asked for a capability it was not granted: …
 *       --> snoop.wasm  "wasi:keyvalue/store@0.2.0-draft"
 *        = granted: log
 *        = fix:     add the grant: …
 */
import { CapabilityError } from "../../schemas/error/capability.ts"
import { type ErrorJson, family, reason, SteleError } from "../../schemas/error/family.ts"
import { LimitError, type LimitName, limits } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { toJson } from "../../schemas/value/json.ts"
import type { ValueType } from "../../schemas/wit/model.ts"
import { escapeText } from "../../host/port/log.ts"
import { refusalOf } from "../refusal.ts"
import { colourWave, prettyLines } from "./pretty.ts"
import { type Palette, wrap } from "./terminal.ts"

/** Whatever is not a typed refusal is a mistake of ours. */
export class BugError extends family("BugError", {
  Unexpected: reason<{ readonly detail: string }>({
    code: "STELE-BUG-0001",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `This is a bug in stele: ${d.detail}`,
    fix: () => "report it with the command and this text; --debug adds the stack",
  }),
}) {}

/** What is known of an error's place that the error itself does not carry. */
export interface Place {
  /** The component's path, URL or digest, as it was written. */
  readonly file?: string
  /** Import, export, flag or argument concerned. */
  readonly about?: string
  /** How the command line grants something to this plugin; default `--grant `. */
  readonly grantFlag?: string
  /** Type of the payload of a guest's error. */
  readonly payload?: ValueType | undefined
}

const places = new WeakMap<object, Place>()
const placeOf = (thrown: unknown): Place => (typeof thrown === "object" && thrown !== null ? places.get(thrown) : undefined) ?? {}

/** Runs `work`; an error that leaves it is known to be about `place`. What was noted further inside wins. */
export async function at<A>(place: Place, work: () => A | Promise<A>): Promise<A> {
  try {
    return await work()
  } catch (error) {
    if (typeof error === "object" && error !== null) places.set(error, { ...place, ...placeOf(error) })
    throw error
  }
}

export const asSteleError = (error: unknown): SteleError =>
  error instanceof SteleError
    ? error
    : (refusalOf(error) ?? new BugError("Unexpected", { detail: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }, { cause: error }))

/** Frames and lines of a payload that a report shows. */
const framesMax = 10
const payloadLinesMax = 12
const grantsMax = 40

const limitFlags: Partial<Record<LimitName, string>> = { deadlineMs: "--deadline ", fuel: "--fuel ", memoryBytesMax: "--memory " }

/** A flag that would have been enough: what was asked for where that is known, else ten times the limit. */
function limitFlag(name: LimitName, limit: number, actual: number | undefined): string {
  const enough = actual ?? Math.max(1, limit * 10)
  const { unit } = limits[name]
  const scales = unit === "bytes" ? { GiB: 2 ** 30, MiB: 2 ** 20, KiB: 2 ** 10 } : unit === "ms" ? { h: 3600e3, s: 1e3, ms: 1 } : { G: 1e9, M: 1e6 }
  const scale = Object.entries(scales).find(([, of]) => enough % of === 0)
  const value = scale === undefined ? String(enough) : `${enough / scale[1]}${scale[0]}`
  return `${limitFlags[name] ?? `--limit ${name}=`}${value}`
}

/** `fix` as this command line would do it; the error's own words are for every embedder. */
function fixOf(error: SteleError, { grantFlag = "--grant " }: Place): string {
  if (error instanceof CapabilityError && error.reason._tag === "Denied") return `${grantFlag}${error.reason.grant}`
  if (error instanceof CapabilityError && error.reason._tag === "Missing") return error.reason.needed.map((grant) => `${grantFlag}${grant}`).join(" ")
  if (error instanceof LimitError) {
    const { _tag, limit, actual } = error.reason
    return `${limitFlag(_tag, limit, actual)} raises it, if the plugin is trusted with that much`
  }
  return error.fix
}

const details = (error: SteleError, place: Place, colours: Palette, width: number): ReadonlyArray<readonly [label: string, lines: ReadonlyArray<string>]> => {
  const rows: Array<readonly [string, ReadonlyArray<string>]> = []
  const data = error.reason as { readonly _tag: string; readonly granted?: ReadonlyArray<string>; readonly candidates?: ReadonlyArray<string> }
  if (data.granted !== undefined)
    rows.push(["granted", wrap(data.granted.length === 0 ? "nothing" : data.granted.slice(0, grantsMax).map(escapeText).join(", "), width - 14)])
  if (error instanceof PluginError && error.reason._tag === "Guest" && place.payload !== undefined) {
    const lines = prettyLines(place.payload, error.reason.payload, width - 14)
    const cut = lines.length > payloadLinesMax ? [...lines.slice(0, payloadLinesMax), "…"] : lines
    rows.push(["payload", cut.map((line) => colourWave(line, colours))])
  }
  if (error instanceof PluginError && error.reason._tag === "Trap" && error.reason.frames.length > 0) {
    const { frames } = error.reason
    const more = frames.length > framesMax ? [`… ${frames.length - framesMax} more`] : []
    rows.push(["frames", [...frames.slice(0, framesMax).map(escapeText), ...more]])
  }
  if ((data.candidates?.length ?? 0) > 1) rows.push(["near", data.candidates ?? []])
  return rows
}

/** Subject of the `-->` line when the caller did not note one. */
function aboutOf(error: SteleError): string | undefined {
  const data = error.reason as { readonly import?: string; readonly export?: string; readonly path?: string }
  return data.import ?? data.export ?? data.path
}

/** Lines of an error for people, at most `width` columns wide where its own words allow that. */
export function errorLines(thrown: unknown, colours: Palette, width: number, isDebug = false): ReadonlyArray<string> {
  const error = asSteleError(thrown)
  const place = placeOf(thrown)
  const [first = "", ...rest] = error.message.split("\n").map(escapeText)
  const lines = [`${colours.red(colours.bold(`error[${error.code}]`))}${colours.bold(`: ${first}`)}`, ...rest]
  const about = place.about ?? aboutOf(error)
  const shown = [place.file, about === undefined || about === place.file ? undefined : JSON.stringify(about)].filter((part) => part !== undefined)
  if (place.file !== undefined) lines.push(`  ${colours.blue("-->")} ${shown.map(escapeText).join("  ")}`)
  const rows = [...details(error, place, colours, width), ["fix", wrap(escapeText(fixOf(error, place)), width - 14)] as const]
  const labels = Math.max(...rows.map(([label]) => label.length)) + 2
  for (const [label, [head = "", ...more]] of rows) {
    lines.push(`   ${colours.blue("=")} ${`${label}:`.padEnd(labels)}${head}`, ...more.map((line) => " ".repeat(5 + labels) + line))
  }
  if (error instanceof BugError) lines.push(`     ${process.release?.name ?? "engine"} ${process.version}, ${process.platform} ${process.arch}`)
  if (isDebug) lines.push("", colours.dim((thrown instanceof Error ? thrown.stack : undefined) ?? String(thrown)), ...causes(thrown).map(colours.dim))
  return lines
}

function causes(error: unknown): ReadonlyArray<string> {
  const out: Array<string> = []
  for (let cause = error instanceof Error ? error.cause : undefined; cause instanceof Error && out.length < 8; cause = cause.cause)
    out.push(`caused by ${cause.stack ?? cause.message}`)
  return out
}

/** The JSON form: the error's own, its payload in the JSON form of its type, and where it happened. */
export function errorJson(thrown: unknown, isDebug = false): { readonly error: ErrorJson & Record<string, unknown> } {
  const error = asSteleError(thrown)
  const place = placeOf(thrown)
  const json = error.toJSON()
  const isTyped = error instanceof PluginError && error.reason._tag === "Guest" && place.payload !== undefined
  return {
    error: {
      ...json,
      ...(isTyped
        ? { data: { ...json.data, payload: toJson(place.payload as ValueType, (error.reason as { readonly payload: unknown }).payload, "payload") } }
        : {}),
      exitCode: error.exitCode,
      ...(place.file === undefined ? {} : { file: place.file }),
      ...(isDebug && thrown instanceof Error ? { stack: thrown.stack } : {}),
    },
  }
}
