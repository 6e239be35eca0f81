/** `stele call FILE EXPORT [ARGS…]`. */
import { basename } from "node:path"
import { isatty } from "node:tty"
import { ConfigError } from "../../schemas/error/config.ts"
import { answer } from "../../schemas/wit/tree.ts"
import type { LoadOptions } from "../../host/options.ts"
import { escapeText } from "../../host/port/log.ts"
import { Host } from "../mod.ts"
import { answerJson, answerLines, invoke, usageJson, usageText } from "./invoke.ts"
import type { ReadInput } from "./argument.ts"
import { isTextFunction, textOf } from "./extism.ts"
import { type LinkFlags, loadLinks } from "./links.ts"
import { sourceOf } from "./manifest.ts"
import { fill, portsFrom, type PortFlags, usageNotes } from "./ports.ts"
import { parseBytes, parseCount, parseDuration, parseLimit } from "./quantity.ts"
import { at } from "./report.ts"
import { columns, err, noteLine, out, printLine, withProgress } from "./terminal.ts"

/** What loading takes from the command line; absent flags are absent. */
export interface LoadFlags {
  readonly grant: ReadonlyArray<string>
  readonly memory?: string | undefined
  readonly limit: ReadonlyArray<string>
  readonly metering?: string | undefined
  readonly fuel?: string | undefined
  readonly tenant: string
}

export interface CallFlags extends LoadFlags, LinkFlags, PortFlags {
  readonly file: string
  readonly export: string
  readonly args: ReadonlyArray<string>
  readonly input?: string | undefined
  readonly deadline?: string | undefined
  readonly storage?: string | undefined
  readonly objects?: string | undefined
  readonly storageKey?: string | undefined
  readonly usage: boolean
  readonly raw: boolean
  readonly json: boolean
}

/** Flags → options of `host.load`. A fuel budget implies the tier that counts fuel. */
export function loadOptions(flags: LoadFlags): LoadOptions {
  const limits = Object.fromEntries(flags.limit.map(parseLimit))
  const metering = flags.metering ?? (flags.fuel === undefined ? undefined : "fuel")
  return {
    grants: flags.grant,
    tenant: flags.tenant,
    limits: { ...limits, ...(flags.memory === undefined ? {} : { memoryBytesMax: parseBytes("--memory", flags.memory) }) },
    // What is not one of the tiers is refused by the host, which names those that exist.
    ...(metering === undefined ? {} : { metering: metering as NonNullable<LoadOptions["metering"]> }),
  }
}

/** The name a plugin goes by in logs and at the prompt: its file's, without folder and ending. */
export const nameOf = (file: string): string => basename(file.replace(/[?#].*$/, "")).replace(/\.(?:wasm|json)$/, "") || file

/** A `string` or `list<u8>` as it is; text is escaped on a terminal, line by line. */
function writeRaw(result: unknown): void {
  const isTerminal = isatty(1)
  if (typeof result === "string") return void process.stdout.write(isTerminal ? `${result.split("\n").map(escapeText).join("\n")}\n` : result)
  if (result instanceof Uint8Array && !isTerminal) return void process.stdout.write(result)
  if (result instanceof Uint8Array)
    throw new ConfigError("Option", { option: "--raw", expected: "a file or pipe as standard output for bytes", actual: "a terminal" })
  throw new ConfigError("Option", { option: "--raw", expected: "an export that answers with a string or list<u8>", actual: "another answer" })
}

/** `--input` stands for the one argument, as it is: as standard input would, whatever its first character. */
function inputWords({ args }: CallFlags, input: string): ReadonlyArray<string> {
  if (args.length > 0)
    throw new ConfigError("Usage", { detail: `Cannot give --input and ${args.length === 1 ? "an argument" : "arguments"}`, advice: "leave out one of the two" })
  return input === "" ? [""] : ["-"]
}
const literal =
  (input: string): ReadInput =>
  async () =>
    new TextEncoder().encode(input)

export async function call(flags: CallFlags): Promise<void> {
  const name = nameOf(flags.file)
  const options = loadOptions(flags)
  if (flags.deadline !== undefined && flags.metering === "off")
    throw new ConfigError("Usage", { detail: "Cannot enforce --deadline with --metering off: nothing stops the plugin", advice: "leave out one of the two" })
  const callOptions = {
    ...(flags.deadline === undefined ? {} : { deadlineMs: parseDuration("--deadline", flags.deadline) }),
    ...(flags.fuel === undefined ? {} : { fuel: parseCount("--fuel", flags.fuel) }),
  }
  const names = new Map<string, string>()
  const { ports, observer } = await portsFrom(flags, (digest) => names.get(digest) ?? name)
  await using notes = usageNotes()
  // Nobody waits for upkeep here: each write removes some of what has ended, and garbage costs room but no time (`stele storage collect`).
  await using host = await Host.open({ ports, storage: flags.storage ?? "memory", objects: flags.objects, storageKey: flags.storageKey, upkeep: false })
  notes.observer = host.ports.observer
  await fill(host.ports.keyValue, flags)
  const { file } = flags
  const links = await withProgress("Loading what is linked", flags.json, () => loadLinks(host, flags, options, names))
  const plugin = await at({ file }, async () => {
    const load = await sourceOf(file, options)
    return withProgress(`Loading ${name}`, flags.json, () => host.load(load.source, { ...load.options, ...links }))
  })
  let isAnswered = false
  try {
    const { exported, result, ended } = await (flags.input === undefined
      ? invoke(plugin, file, flags.export, flags.args, callOptions)
      : invoke(plugin, file, flags.export, inputWords(flags, flags.input), callOptions, literal(flags.input)))
    const text = isTextFunction(exported.type) ? textOf(result) : undefined
    if (flags.json)
      printLine(
        JSON.stringify({
          result: answerJson(exported.type, result),
          ...(text === undefined ? {} : { text }),
          ...(flags.usage ? { usage: usageJson(await ended) } : {}),
        }),
      )
    else if (flags.raw && answer(exported.type).ok !== undefined) writeRaw(result)
    else for (const line of answerLines(exported.type, result, out, columns(process.stdout))) printLine(line)
    isAnswered = true
    // Then what it cost is all that it did.
    if (flags.usage) await ended
  } finally {
    const { usage, denied } = observer.take()
    // An interface may answer a denial with its own error, which the plugin may swallow: then this is all that shows it.
    if (isAnswered) for (const grant of denied.map(escapeText)) noteLine(`${err.yellow("denied")} ${grant}${err.dim(`   --grant ${grant} allows it`)}`)
    if (flags.usage && !flags.json && usage !== undefined) noteLine(err.dim(usageText(usage)))
  }
}
