/** `stele dev`: a plugin that is built, tested and loaded anew with each change, and called by lines of input. */
import { createInterface } from "node:readline"
import { AuthorError } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { Dev, type Turn } from "../author/dev.ts"
import { projectFolder } from "../author/project.ts"
import { openTools } from "../author/tools.ts"
import { watchProject } from "../author/watch.ts"
import { splitWords } from "../up/words.ts"
import { outcomeLines, problemLines, type ProjectFlags, withPlaces } from "./author.ts"
import { answerJson, answerLines, invoke } from "./invoke.ts"
import { stderrLog } from "./ports.ts"
import { bytesText, timeText } from "./quantity.ts"
import { errorJson, errorLines } from "./report.ts"
import { columns, err, noteLine, out, printLine } from "./terminal.ts"

export interface DevFlags extends ProjectFlags {
  readonly once: boolean
}

function turnLines({ asked, component, exports, outcomes, used }: Turn, tookMs: number): ReadonlyArray<string> {
  const failed = outcomes.filter(({ passed }) => !passed)
  const unused = asked.filter((grant) => !used.includes(grant))
  return [
    ...failed.flatMap(outcomeLines),
    `${failed.length === 0 ? out.green("ok") : out.red("FAIL")} ${outcomes.length - failed.length} passed, ${failed.length} failed ${out.dim(`in ${timeText(tookMs * 1e6)}`)}`,
    out.dim(`   ${bytesText(component.length)}; exports ${exports.join(", ")}`),
    out.dim(`   asks for ${asked.length === 0 ? "nothing" : asked.join(", ")}${unused.length === 0 ? "" : `; no test uses ${unused.join(", ")}`}`),
  ]
}

function show(error: unknown, json: boolean): void {
  if (json) printLine(JSON.stringify(errorJson(error)))
  else for (const line of errorLines(error, out, columns(process.stdout))) printLine(line)
}

export async function devCommand(flags: DevFlags, signal: AbortSignal): Promise<void> {
  const { json } = flags
  const folder = await projectFolder(flags.project ?? process.cwd(), flags.project !== undefined)
  await using tools = openTools()
  await using dev = new Dev(
    folder,
    tools,
    stderrLog(() => "plugin"),
  )
  /** Builds, tests and says how it went. @throws AuthorError `TestsFailed`, and whatever a build refuses */
  const turn = async (startedMs: number): Promise<void> => {
    const turned = await dev.turn()
    const tookMs = performance.now() - startedMs
    const of = turned.outcomes.length
    const failed = turned.outcomes.filter(({ passed }) => !passed).length
    if (json)
      printLine(
        JSON.stringify({
          ms: Math.round(tookMs),
          bytes: turned.component.length,
          passed: of - failed,
          failed,
          exports: turned.exports,
          capabilities: { asked: turned.asked, used: turned.used },
        }),
      )
    else for (const line of turnLines(turned, tookMs)) printLine(line)
    if (failed > 0) throw new AuthorError("TestsFailed", { failed, of })
  }
  if (flags.once) return await withPlaces(json, () => turn(performance.now()))
  using watcher = watchProject(folder)
  /** A turn among many: what is wrong is shown, and is no end. */
  const tried = async (startedMs: number): Promise<void> => {
    try {
      await turn(startedMs)
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      // Its lines were shown.
      if (error instanceof AuthorError && error.reason._tag === "TestsFailed") return
      if (error instanceof AuthorError && error.reason._tag === "File" && !json)
        for (const problem of error.reason.problems) for (const line of problemLines(problem, out)) printLine(line)
      show(error, json)
    }
  }
  await tried(performance.now())
  using _lines = commandLines(dev, json)
  const end = new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }))
  if (!json) noteLine(err.dim("Watching; a line calls an export: NAME ARGS. Ctrl-C ends it."))
  for (;;) {
    const changedMs = await Promise.race([watcher.changed(), end])
    if (changedMs === undefined) return
    await tried(changedMs)
  }
}

/** Calls the plugin with each line of standard input. */
function commandLines(dev: Dev, json: boolean): Disposable {
  const input = createInterface({ input: process.stdin })
  const call = async (line: string): Promise<void> => {
    try {
      const [name, ...words] = splitWords(line)
      if (name === undefined) return
      if (dev.plugin === undefined) return noteLine("There is no build that works yet")
      const { exported, result } = await invoke(dev.plugin, "plugin", name, words, {})
      if (json) printLine(JSON.stringify({ result: answerJson(exported.type, result) }))
      else for (const text of answerLines(exported.type, result, out, columns(process.stdout))) printLine(text)
    } catch (error) {
      show(error, json)
    }
  }
  input.on("line", (line) => void call(line))
  return { [Symbol.dispose]: () => input.close() }
}
