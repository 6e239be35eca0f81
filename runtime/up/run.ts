/** The run that `stele up` starts with: every example plugin does what it is there to show, and what it cost is printed. */
import { CapabilityError } from "../../schemas/error/capability.ts"
import type { ErrorJson } from "../../schemas/error/family.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { answer } from "../../schemas/wit/tree.ts"
import { answerJson, type Invocation, usageJson, usageText } from "../cli/invoke.ts"
import { bytesText, timeText } from "../cli/quantity.ts"
import { errorJson, errorLines } from "../cli/report.ts"
import { type Palette, wrap } from "../cli/terminal.ts"
import { type Example, examples } from "./examples.ts"
import { pictureLines } from "./picture.ts"
import type { Loaded, Session } from "./session.ts"

/** What the store holds at first, for the plugin that reads a price. */
export const seeds: ReadonlyArray<string> = ["prices/tea=2.80 €"]

/** One example's part of the run, for machines. */
export interface Shown {
  readonly plugin: string
  readonly shows: Example["shows"]
  /** The example did what it is there to show. */
  readonly isAsShown: boolean
  readonly export: string
  readonly loadNs?: number
  readonly granted: ReadonlyArray<string>
  /** It was left with other grants, or is another plugin under the example's name: it is not called. */
  readonly isChanged?: true
  readonly result?: unknown
  readonly usage?: Record<string, unknown>
  readonly error?: ErrorJson & Record<string, unknown>
  /** Wall-clock time of the call that was stopped, and its deadline. */
  readonly wallNs?: number
  readonly deadlineMs?: number
  /** Time of another plugin's call right after the stop. */
  readonly nextCallNs?: number
}

export interface RunOptions {
  readonly print: (line: string) => void
  readonly colours: Palette
  readonly width: number
}

const callText = ({ call, words }: Example): string => `${call.export}(${words.join(", ")})`

/** Fuel is counted where there is a result to price; the endless one runs under the default, the deadline. */
const meteringOf = ({ shows }: Example) => (shows === "result" ? "fuel" : "deadline") as "fuel" | "deadline"

async function invokeExample(session: Session, { name, call }: Example): Promise<Invocation> {
  // As words, so that the run goes the way of every command: JSON by the parameter's type.
  const words = call.args.map((arg) => JSON.stringify(arg))
  return session.call(name, call.export, words, call.deadlineMs === undefined ? {} : { deadlineMs: call.deadlineMs })
}

/** Was a plugin that was loaded before this start changed by somebody since the run loaded it? */
function isChanged({ file, plugin }: Loaded, { name, grants }: Example): boolean {
  const { granted, revoked } = plugin.describe().grants
  // From another checkout or release it is the same example.
  const isExample = ["", "build/"].some((folder) => file.replaceAll("\\", "/").endsWith(`/examples/${name}/${folder}${name}.wasm`))
  return !isExample || revoked.length > 0 || granted.toSorted().join() !== grants.toSorted().join()
}

async function show(session: Session, example: Example, next: Example | undefined, { print, colours, width }: RunOptions): Promise<Shown> {
  const { bold, dim, green } = colours
  const row = (label: string, lines: ReadonlyArray<string>): void =>
    lines.forEach((line, i) => print(`  ${dim((i === 0 ? label : "").padEnd(9))}${line}`.trimEnd()))
  print("")
  print(`${bold(example.name)}  ${example.summary}`)
  const about = { plugin: example.name, shows: example.shows, export: example.call.export, granted: example.grants }
  const kept = session.loaded.get(example.name)
  if (kept !== undefined && isChanged(kept, example)) {
    const { granted } = kept.plugin.describe().grants
    row("kept", wrap(`as it was left: ${kept.file}, granted ${granted.join(", ") || "nothing"}; unload ${example.name} brings the example back`, width - 11))
    return { ...about, granted, isAsShown: true, isChanged: true }
  }
  let loadNs: number | undefined
  let startedMs = performance.now()
  try {
    const loaded = await session.load(example.file, { grants: example.grants, metering: meteringOf(example) }, example.name)
    loadNs = Math.round(loaded.loadNs)
    const { sizes, mechanisms } = loaded.plugin.describe()
    const facts = `${example.language}, ${bytesText(sizes.componentBytes)}, in ${timeText(loadNs)}, stopped by ${mechanisms.stop}, granted ${example.grants.join(", ") || "nothing"}`
    row("loaded", wrap(facts, width - 11))
    row("call", [callText(example)])
    startedMs = performance.now()
    const { exported, result, usage } = await invokeExample(session, example)
    const { ok } = answer(exported.type)
    if (ok !== undefined) row("answer", pictureLines(ok, result, colours, width - 11))
    row("cost", wrap(usageText(usage), width - 11))
    return { ...about, isAsShown: example.shows === "result", loadNs, result: answerJson(exported.type, result), usage: usageJson(usage) }
  } catch (error) {
    const wallNs = Math.round((performance.now() - startedMs) * 1e6)
    for (const line of errorLines(error, colours, width - 2)) print(`  ${line}`)
    const { error: json } = errorJson(error)
    const failed = { ...about, ...(loadNs === undefined ? {} : { loadNs }), error: json }
    if (error instanceof CapabilityError && example.shows === "denied") {
      row("refused", ["it was not granted what it asked for, so none of it ran"])
      return { ...failed, isAsShown: true }
    }
    if (!(error instanceof LimitError && error.reason._tag === "deadlineMs" && example.shows === "stopped")) return { ...failed, isAsShown: false }
    const deadlineMs = example.call.deadlineMs ?? 0
    row("stopped", [`after ${timeText(wallNs)}, with a deadline of ${deadlineMs} ms; this process and its thread went on`])
    const shown = { ...failed, isAsShown: true, wallNs, deadlineMs }
    if (next === undefined) return shown
    const { usage } = await invokeExample(session, next)
    row("next", [`${green("✓")} ${next.name} answered in ${timeText(usage.wallNs)}`])
    return { ...shown, nextCallNs: usage.wallNs }
  }
}

/** Runs all examples, one after the other. */
export async function run(session: Session, options: RunOptions): Promise<ReadonlyArray<Shown>> {
  const shown: Array<Shown> = []
  const all = await examples()
  const next = all.find(({ shows }) => shows === "result")
  for (const example of all) shown.push(await show(session, example, next, options))
  return shown
}
