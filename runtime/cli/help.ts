/**
 * Help and usage errors in our form: examples first, at most 80 columns; a typo is two lines and not the whole help.
 * Effect's parser decides what is wrong; this file decides how it is said.
 */
import type { CliError } from "effect/cli/CliError"
import type * as CliOutput from "effect/cli/CliOutput"
import type { FlagDoc, HelpDoc } from "effect/cli/HelpDoc"
import * as Option from "effect/Option"
import { ConfigError } from "../../schemas/error/config.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import { type Palette, table, wrap } from "./terminal.ts"

const width = 80

/** The choices of a flag are in its description; beside the name they would take half of the width. */
const flagRow = ({ name, aliases, type, description }: FlagDoc): readonly [string, string] => [
  [...aliases, `--${name}`].join(", ") + (type === "boolean" ? "" : ` ${type.includes("|") ? "CHOICE" : type}`),
  Option.getOrElse(description, () => ""),
]

/** `stele call FILE EXPORT [ARGS…] [flags]` from the parts of the page. */
function usageOf(doc: HelpDoc, path: ReadonlyArray<string>): string {
  const args = (doc.args ?? []).map(({ name, required, variadic }) => {
    const word = variadic ? `${name}…` : name
    return required ? word : `[${word}]`
  })
  return [...path, ...(doc.subcommands === undefined ? [] : ["COMMAND"]), ...args, "[flags]"].join(" ")
}

/** The lines of a help page. */
export function helpLines(doc: HelpDoc, path: ReadonlyArray<string>, { bold, dim, cyan }: Palette): ReadonlyArray<string> {
  const lines: Array<string> = [...wrap(doc.description, width), ""]
  const section = (title: string, rows: ReadonlyArray<readonly [string, string]>): void => {
    if (rows.length > 0) lines.push(bold(title), ...table(rows, width, 2, [cyan]), "")
  }
  if (doc.examples !== undefined) {
    lines.push(bold("Examples"))
    for (const { command, description } of doc.examples) lines.push(...(description === undefined ? [] : [dim(`  # ${description}`)]), `  ${command}`)
    lines.push("")
  }
  lines.push(bold("Usage"), `  ${usageOf(doc, path)}`, "")
  section(
    "Commands",
    (doc.subcommands ?? []).flatMap(({ commands }) =>
      commands.map(({ name, shortDescription, description }) => [name, shortDescription ?? description] as const),
    ),
  )
  section(
    "Arguments",
    (doc.args ?? []).map(({ name, description }) => [name, Option.getOrElse(description, () => "")] as const),
  )
  section("Flags", doc.flags.map(flagRow))
  section("Flags of every command", (doc.globalFlags ?? []).map(flagRow))
  while (lines.at(-1) === "") lines.pop()
  return lines
}

const flagNames = (doc: HelpDoc): ReadonlyArray<string> => [...doc.flags, ...(doc.globalFlags ?? [])].map(({ name }) => `--${name}`)

/** The first mistake of a command line as one of our errors. */
export function usageError(errors: ReadonlyArray<CliError>, doc: HelpDoc, path: ReadonlyArray<string>): ConfigError {
  const command = path.join(" ")
  const help = command === "" ? "help" : `${command} --help`
  const [error] = errors
  const usage = (detail: string, advice: string) => new ConfigError("Usage", { detail, advice })
  const meant = (near: string | undefined, otherwise: string) => (near === undefined ? otherwise : `did you mean "${near}"`)
  switch (error?._tag) {
    case "UnrecognizedOption": {
      const near = error.suggestions[0] ?? closest(error.option, flagNames(doc))[0]
      return usage(
        `Unknown flag ${quote(error.option)}${command === "" ? "" : ` of "${command}"`}`,
        meant(near, `${help} lists the flags; arguments that start with - go after --`),
      )
    }
    case "UnknownSubcommand": {
      const names = (doc.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
      return usage(`Unknown command ${quote(error.subcommand)}`, meant(error.suggestions[0] ?? closest(error.subcommand, names)[0], help))
    }
    case "MissingArgument":
      return usage(`Missing argument ${error.argument}`, `${usageOf(doc, path)}   (${help})`)
    case "MissingOption":
      return usage(`Missing flag --${error.option}`, help)
    case "UnexpectedArgument":
      return usage(`Unexpected argument ${quote(error.arguments.join(" "))}`, `${usageOf(doc, path)}   (${help})`)
    case "InvalidValue": {
      const flag = error.kind === "flag" ? `--${error.option}` : error.option
      if (error.value === "")
        return usage(`Missing value of "${flag}"`, `${flag} takes ${error.expected.toLowerCase()}; write ${flag}=VALUE if it starts with -`)
      return new ConfigError("Option", { option: flag, expected: error.expected, actual: quote(error.value) })
    }
    default:
      return usage(error === undefined ? "Cannot read the command line" : (error.message.split("\n", 1)[0] ?? ""), help)
  }
}

export interface Rendering {
  readonly write: (lines: ReadonlyArray<string>) => void
  readonly fail: (error: ConfigError) => void
  readonly version: () => string
}

/** What Effect's parser wants shown, shown by `rendering`. */
export function present(event: CliOutput.Presenter.Event, colours: Palette, rendering: Rendering): void {
  switch (event._tag) {
    case "Help":
      return rendering.write(helpLines(event.helpDoc, event.commandPath, colours))
    case "Version":
      return rendering.write([rendering.version()])
    case "InvalidInvocation":
      return rendering.fail(usageError(event.errors, event.helpDoc, event.commandPath))
  }
}
