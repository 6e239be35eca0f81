/** The prompt of `stele up`: commands on the loaded plugins, with editing, history and completion on a terminal, and plain lines elsewhere. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { createInterface } from "node:readline"
import { isatty } from "node:tty"
import { existsSync } from "node:fs"
import { ConfigError } from "../../schemas/error/config.ts"
import { grantForms } from "../../host/capability/grant.ts"
import { type ReadInput, readInput } from "../cli/argument.ts"
import { loadOptions, nameOf } from "../cli/call.ts"
import { action, Debug, isOn, Json, linkFlags, loadFlags, text } from "../cli/flag.ts"
import { execute, type Showing, showError } from "../cli/execute.ts"
import { descriptionJson, overview } from "../cli/inspect.ts"
import { answerJson, answerLines, usageJson, usageText } from "../cli/invoke.ts"
import { bytesText, countText, parseCount, parseDuration, timeText } from "../cli/quantity.ts"
import { columns, out, printLine, table } from "../cli/terminal.ts"
import { examples } from "./examples.ts"
import type { Loaded, Session } from "./session.ts"
import { splitWords } from "./words.ts"

/** Standard input carries the commands. */
const readFileOnly: ReadInput = async (source) => {
  if (source === "-")
    throw new ConfigError("Usage", { detail: "Cannot read an argument from standard input: the commands come from there", advice: "use @FILE" })
  return readInput(source)
}

/** The path of `word`: a file, or the name of an example plugin. */
async function fileOf(word: string): Promise<string> {
  if (existsSync(word)) return word
  return (await examples()).find(({ name }) => name === word)?.file ?? word
}

function grantsText({ plugin }: Loaded): string {
  const { granted, revoked } = plugin.describe().grants
  return `${granted.join(", ") || "nothing"}${revoked.length === 0 ? "" : `, without ${revoked.join(", ")}`}`
}

function usageRows(plugins: ReadonlyArray<Loaded>): ReadonlyArray<ReadonlyArray<string>> {
  const head = ["plugin", "calls", "failed", "fuel", "time", "memory", "grants used"]
  return [
    head,
    ...plugins.map(({ name, totals: { calls, failed, fuel, wallNs, memoryPeakBytes, hostCalls } }) => [
      name,
      countText(calls),
      countText(failed),
      fuel === 0n ? "-" : countText(fuel),
      timeText(wallNs),
      bytesText(memoryPeakBytes),
      [...hostCalls].map(([grant, count]) => `${grant} ${countText(count)}×`).join(", ") || "none",
    ]),
  ]
}

const usageOf = ({ name, totals, plugin }: Loaded) => {
  const { granted, revoked, used, denied } = plugin.describe().grants
  return { plugin: name, ...totals, fuel: totals.fuel.toString(), hostCalls: Object.fromEntries(totals.hostCalls), grants: { granted, revoked, used, denied } }
}

/** The commands of the prompt. They share their flags, help and errors with the program's own. */
function commands(session: Session, end: () => void) {
  const name = Argument.String("NAME").pipe(Argument.withDescription("A loaded plugin"))
  /** Results as lines, or as one line of JSON. */
  const answering = <F extends object>(work: (flags: F) => Promise<{ readonly json: unknown; readonly lines: () => ReadonlyArray<string> }>) =>
    action<F>(async (flags) => {
      const { json, lines } = await work(flags)
      if (flags.json) printLine(JSON.stringify(json))
      else for (const line of lines()) printLine(line)
    })
  const width = columns(process.stdout)
  const loadedAnswer = (loaded: Loaded) => ({
    json: {
      loaded: loaded.name,
      file: loaded.file,
      digest: loaded.plugin.digest,
      loadNs: Math.round(loaded.loadNs),
      granted: loaded.plugin.describe().grants.granted,
      revoked: loaded.plugin.describe().grants.revoked,
    },
    lines: () => [`loaded ${loaded.name} in ${timeText(loaded.loadNs)}, granted ${grantsText(loaded)}`],
  })
  const grantsAnswer = (loaded: Loaded) => {
    const { granted, revoked } = loaded.plugin.describe().grants
    return {
      json: { plugin: loaded.name, granted, revoked },
      lines: () => [`${loaded.name} is granted ${grantsText(loaded)}`],
    }
  }

  const load = Command.make(
    "load",
    {
      file: Argument.String("FILE").pipe(Argument.withDescription("A component, or the name of an example")),
      as: text("as", "NAME", "What to call it; default: its file's name"),
      ...loadFlags,
      ...linkFlags,
    },
    answering(async (flags) => loadedAnswer(await session.load(await fileOf(flags.file), loadOptions(flags), flags.as ?? nameOf(flags.file), flags))),
  ).pipe(
    Command.withDescription("Load a component with the grants you name"),
    Command.withExamples([{ command: "load snoop --grant log --grant 'kv:write:prices/*'" }]),
  )

  const call = Command.make(
    "call",
    {
      name,
      export: Argument.String("EXPORT").pipe(Argument.withDescription("Full name, interface#function, or the function alone")),
      args: Argument.String("ARGS").pipe(Argument.withDescription("JSON or WAVE; a string needs no quotes; @FILE reads a file"), Argument.variadic()),
      deadline: text("deadline", "TIME", "When it is stopped: 500ms, 2s"),
      fuel: text("fuel", "N", "Most fuel; for plugins loaded with --metering fuel"),
      usage: isOn("usage", "Print what it cost"),
    },
    answering(async (flags) => {
      const options = {
        ...(flags.deadline === undefined ? {} : { deadlineMs: parseDuration("--deadline", flags.deadline) }),
        ...(flags.fuel === undefined ? {} : { fuel: parseCount("--fuel", flags.fuel) }),
      }
      const { exported, result, ...cost } = await session.call(flags.name, flags.export, flags.args, options, readFileOnly)
      const usage = flags.usage ? await cost.ended : cost.usage
      return {
        json: { result: answerJson(exported.type, result), usage: usageJson(usage) },
        lines: () => [...answerLines(exported.type, result, out, width), ...(flags.usage ? [out.dim(usageText(usage))] : [])],
      }
    }),
  ).pipe(Command.withDescription("Call an export of a loaded plugin"), Command.withExamples([{ command: 'call greeter greet {name: "Ada"} --usage' }]))

  const inspect = Command.make(
    "inspect",
    { name },
    answering(async (flags) => {
      const { file, plugin } = session.get(flags.name)
      const description = plugin.describe()
      return { json: descriptionJson(file, description, await plugin.schemas()), lines: () => overview(file, description, out, width) }
    }),
  ).pipe(Command.withDescription("Show what a loaded plugin asks for, was granted and offers"))

  const grantArgument = Argument.String("GRANT").pipe(Argument.withDescription("Such as log or kv:read:prices/*"))
  const grant = Command.make(
    "grant",
    { name, grant: grantArgument },
    answering(async (flags) => {
      return grantsAnswer(await session.grant(flags.name, flags.grant))
    }),
  ).pipe(Command.withDescription("Add a grant; the next operation sees it"), Command.withExamples([{ command: "grant greeter kv:read:prices/*" }]))

  const revoke = Command.make(
    "revoke",
    { name, grant: grantArgument },
    answering(async (flags) => {
      const loaded = session.get(flags.name)
      if (!(await session.revoke(flags.name, flags.grant))) {
        throw new ConfigError("Usage", { detail: `Nothing of "${flags.grant}" is in force for "${flags.name}"`, advice: `it is granted ${grantsText(loaded)}` })
      }
      return grantsAnswer(loaded)
    }),
  ).pipe(Command.withDescription("Take a grant back; the next operation sees it"), Command.withExamples([{ command: "revoke greeter kv:read:prices/*" }]))

  const reload = Command.make(
    "reload",
    { name },
    answering(async (flags) => loadedAnswer(await session.reload(flags.name))),
  ).pipe(Command.withDescription("Load the same file again, as it is now, with the grants in force"))

  const unload = Command.make(
    "unload",
    { name },
    answering(async (flags) => {
      await session.unload(flags.name)
      return { json: { unloaded: flags.name }, lines: () => [`unloaded ${flags.name}; what it stored stays`] }
    }),
  ).pipe(Command.withDescription("Close a plugin and forget it"))

  const usage = Command.make(
    "usage",
    { names: Argument.String("NAME").pipe(Argument.withDescription("Loaded plugins; default: all"), Argument.variadic()) },
    answering(async (flags) => {
      const plugins = flags.names.length === 0 ? [...session.loaded.values()] : flags.names.map((each) => session.get(each))
      return { json: { usage: plugins.map(usageOf) }, lines: () => table(usageRows(plugins), width, 0, [out.cyan]) }
    }),
  ).pipe(Command.withDescription("Show calls, fuel, time, memory and grants used so far"))

  const leave = Command.make("exit", {}, () => Effect.sync(end)).pipe(Command.withDescription("Leave (also Ctrl-D)"), Command.withAlias("quit"))
  const all = [load, call, inspect, grant, revoke, reload, unload, usage, leave]
  const help = Command.make(
    "help",
    {},
    answering(async () => {
      const rows = [...all, help].map((command) => [command.name, command.description ?? ""])
      return {
        json: { commands: Object.fromEntries(rows) },
        lines: () => [
          ...table(rows, width, 2, [out.cyan]),
          "",
          "COMMAND --help shows its flags.",
          `Loaded: ${[...session.loaded.keys()].join(", ") || "nothing"}`,
        ],
      }
    }),
  ).pipe(Command.withDescription("Show these commands")) as Command.Command<"help", object, object, unknown>

  return {
    names: [...all.map((command): string => command.name), "help"],
    root: Command.make("stele").pipe(
      Command.withDescription("Commands on the loaded plugins."),
      Command.withGlobalFlags([Json, Debug]),
      Command.withSubcommands([...all, help]),
    ),
  }
}

/** Words that may stand where the cursor is. */
function candidates(session: Session, names: ReadonlyArray<string>, line: string): ReadonlyArray<string> {
  const before = line.split(/\s+/).slice(0, -1)
  const [command, plugin] = before
  if (command === undefined) return names
  if (before.length === 1) return command === "load" ? [] : [...session.loaded.keys()]
  const loaded = plugin === undefined ? undefined : session.loaded.get(plugin)
  if (loaded === undefined || before.length > 2) return []
  const { exports, grants } = loaded.plugin.describe()
  if (command === "call") return exports.map(({ name }) => name.slice(name.indexOf("#") + 1))
  if (command === "revoke") return grants.granted
  return command === "grant" ? grantForms.map((form) => form.replace(/[A-Z]+$/, "")) : []
}

/**
 * Takes commands until the input ends, `exit` is given, or `told` says so.
 *
 * @returns what the process should end with: the code of the last command that failed, 0 when none did, 130 after Ctrl-C.
 */
export async function prompt(session: Session, showing: Showing, told?: AbortSignal): Promise<number> {
  const isTerminal = isatty(0) && isatty(1) && !showing.isJson
  let code = 0
  let isInterrupted = false
  let isEnded = false
  const { root, names } = commands(session, () => {
    isEnded = true
    reader.close()
  })
  const reader = createInterface({
    input: process.stdin,
    ...(isTerminal ? { output: process.stdout } : {}),
    terminal: isTerminal,
    prompt: out.bold("stele> "),
    historySize: 500,
    removeHistoryDuplicates: true,
    completer: (line: string): [Array<string>, string] => {
      const word = line.slice(line.search(/\S*$/))
      const found = candidates(session, names, line).filter((each) => each.startsWith(word))
      // What ends in ":" waits for its scope; anything else is whole, and the next word follows.
      return [found.length === 1 ? found.map((each) => (each.endsWith(":") ? each : `${each} `)) : found, word]
    },
  })
  reader.on("SIGINT", () => {
    isInterrupted = true
    process.stdout.write("\n")
    reader.close()
  })
  told?.addEventListener("abort", () => {
    isEnded = true
    reader.close()
  })
  if (isTerminal) reader.prompt()
  for await (const line of reader) {
    if (line.trim() !== "" && !line.trimStart().startsWith("#")) {
      // In raw mode Ctrl-C is a byte that nobody reads while a guest holds the thread; otherwise the system ends the process.
      if (isTerminal) process.stdin.setRawMode(false)
      const failed = await executeLine(root, line, showing)
      if (isTerminal && !isEnded) process.stdin.setRawMode(true)
      // On a terminal the person saw it; a script's exit code has to say it.
      if (failed !== 0 && !isTerminal) code = failed
    }
    // Lines that were read ahead are not taken after the end.
    if (isEnded || isInterrupted) break
    if (isTerminal) reader.prompt()
  }
  return isInterrupted ? 130 : told?.aborted === true ? 0 : code
}

async function executeLine(root: Command.Command.Any, line: string, showing: Showing): Promise<number> {
  let words: ReadonlyArray<string>
  try {
    words = splitWords(line.trim())
  } catch (error) {
    return showError(error, showing)
  }
  // `help call` is what many type for `call --help`.
  if (words[0] === "help" && words[1] !== undefined && !words[1].startsWith("-")) words = [words[1], "--help"]
  return execute(
    root,
    showing.isJson ? ["--json", ...words] : words,
    { isJson: showing.isJson || words.includes("--json"), isDebug: showing.isDebug || words.includes("--debug") },
    true,
  )
}
