/** Runs one command line: parses it, runs its command, shows results, help and errors, and says how it ended. */
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ExitCode } from "../../schemas/error/family.ts"
import { present } from "./help.ts"
import { columns, err, noteLine, out, printLine } from "./terminal.ts"
import { version } from "./version.ts"

/** How results and errors are shown. */
export interface Showing {
  readonly isJson: boolean
  readonly isDebug: boolean
}

/** Flags that stand alone. The parser would take a following `true` for the flag's value, so it is written out for them. */
const switches: ReadonlySet<string> = new Set([
  "--json",
  "--debug",
  "--usage",
  "--raw",
  "--once",
  "--keep",
  "--wit",
  "--schema",
  "--dry-run",
  "--records",
  "--early",
  "--follow",
  "--replace",
  "--skip-drill",
  "--help",
  "-h",
  "--version",
  "-v",
])

const endOf = (words: ReadonlyArray<string>): number => (words.includes("--") ? words.indexOf("--") : words.length)

/** What the words ask for before they are parsed, so that errors of parsing are shown so, too. */
export function showingOf(words: ReadonlyArray<string>): Showing {
  const flags = words.slice(0, endOf(words))
  return { isJson: flags.includes("--json"), isDebug: flags.includes("--debug") }
}

/** Shows an error: a box on stderr, or JSON on stdout. Loaded when needed: a good call shows none. */
export async function showError(error: unknown, { isJson, isDebug }: Showing): Promise<ExitCode> {
  const { asSteleError, errorJson, errorLines } = await import("./report.ts")
  if (isJson) {
    printLine(JSON.stringify(errorJson(error, isDebug)))
    return asSteleError(error).exitCode
  }
  // Places in files, such as those of a stele.json that a command on books has read.
  if (asSteleError(error).code === "STELE-AUT-0001") (await import("./author.ts")).showPlaces(error)
  for (const line of errorLines(error, err, columns(process.stderr), isDebug)) noteLine(line)
  return asSteleError(error).exitCode
}

/**
 * Runs `command` on `words`. Never rejects: what fails is shown.
 *
 * @param isInside the command line stands at a prompt of ours, where the program's name is not part of it.
 */
export async function execute(command: Command.Command.Any, words: ReadonlyArray<string>, showing: Showing, isInside = false): Promise<ExitCode | 0> {
  const end = endOf(words)
  let usageError: unknown
  const presenter: CliOutput.Presenter = {
    present: (event) =>
      Effect.sync(() =>
        present("commandPath" in event && isInside ? { ...event, commandPath: event.commandPath.slice(1) } : event, out, {
          write: (lines) => lines.forEach(printLine),
          fail: (error) => void (usageError = error),
          version: () => (showing.isJson ? JSON.stringify({ stele: version() }) : `stele ${version()}`),
        }),
      ),
  }
  const builtIns = isInside ? [GlobalFlag.Help] : [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]
  const program = Command.runWith(command as Command.Command<string, unknown, unknown, unknown>, { version: "" })(
    words.map((word, i) => (i < end && switches.has(word) ? `${word}=true` : word)),
  ).pipe(Effect.provideService(CliOutput.Presenter, presenter), Effect.provideService(CliConfig.CliConfig, CliConfig.make({ builtIns })))
  // The parser's type asks for files, a terminal and processes, for flags that read files or prompt. There are none here.
  const exit = await Effect.runPromiseExit(program as Effect.Effect<void, unknown>)
  if (usageError !== undefined) return showError(usageError, showing)
  if (Exit.isSuccess(exit)) return 0
  const error = Cause.squash(exit.cause)
  // Without a command there is nothing wrong: the page of all commands was shown.
  return CliError.isCliError(error) && error._tag === "ShowHelp" ? 0 : showError(error, showing)
}
