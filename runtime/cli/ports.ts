/** The ports of a host that a person runs: guests' logs on stderr, settings and secrets from flags, usage kept for printing. */
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import {
  escapeText,
  type KeyValuePort,
  type LogPort,
  memoryConfig,
  memorySecret,
  type ObserverEvent,
  type ObserverPort,
  type Ports,
  tenantKey,
  type UsageRecord,
} from "../../host/port/mod.ts"
import { readInput } from "./argument.ts"
import { err, noteLine, type Palette } from "./terminal.ts"

/** Splits `NAME=VALUE` at the first `=`. */
export function parsePair(option: string, text: string, expected: string): readonly [name: string, value: string] {
  const at = text.indexOf("=")
  // The value is not quoted back: it may be a secret that was given in the wrong form.
  if (at < 1) throw new ConfigError("Option", { option, expected, actual: at === 0 ? "an empty name" : quote(text) })
  return [text.slice(0, at), text.slice(at + 1)]
}

/**
 * The value of `--secret NAME=env:VARIABLE` or `NAME=file:PATH`, the file's last line break left out. Never the value
 * itself: command lines are seen by other users and kept in histories.
 */
async function parseSecret(text: string): Promise<readonly [name: string, value: string]> {
  const expected = "NAME=env:VARIABLE or NAME=file:PATH"
  const [name, source] = parsePair("--secret", text, expected)
  if (source.startsWith("env:")) {
    const value = process.env[source.slice(4)]
    if (value === undefined)
      throw new ConfigError("Option", {
        option: `--secret ${name}`,
        expected: "a variable that is set",
        actual: `the unset variable ${quote(source.slice(4))}`,
      })
    return [name, value]
  }
  if (source.startsWith("file:")) return [name, new TextDecoder().decode(await readInput(source.slice(5))).replace(/\r?\n$/, "")]
  throw new ConfigError("Option", { option: `--secret ${name}`, expected, actual: "a value on the command line" })
}

const levelPaint = ({ dim, yellow, red }: Palette) => ({ trace: dim, debug: dim, info: (text: string) => text, warn: yellow, error: red, critical: red })

/** Writes each record as one line on stderr, tagged with the plugin's name and escaped. */
export function stderrLog(nameOf: (digest: string) => string): LogPort {
  const paints = levelPaint(err)
  return {
    write: ({ plugin, level, context, message, isTruncated }) => {
      const about = context === "" ? "" : `${escapeText(context)}: `
      noteLine(
        `${err.dim(`[${escapeText(nameOf(plugin))}]`)} ${paints[level](`${level} ${about}${escapeText(message)}`)}${isTruncated ? err.dim(" (cut)") : ""}`,
      )
    },
  }
}

/** Keeps the usage of the last call and what was denied since it was last asked. */
export function lastUsage(): ObserverPort & { take(): { readonly usage: UsageRecord | undefined; readonly denied: ReadonlyArray<string> } } {
  let usage: UsageRecord | undefined
  let denied = new Set<string>()
  return {
    dropped: 0,
    emit(event: ObserverEvent) {
      if (event.type === "usage") usage = event.record
      // The guest chooses the names in them: as many as a person reads.
      if (event.type === "denial" && denied.size < 8) denied.add(event.grant)
    },
    take() {
      const taken = { usage, denied: [...denied] }
      usage = undefined
      denied = new Set()
      return taken
    },
  }
}

export interface PortFlags {
  readonly tenant: string
  readonly config: ReadonlyArray<string>
  readonly secret: ReadonlyArray<string>
  readonly kv: ReadonlyArray<string>
}

/** Writes the values of `--kv` into a store; with `isNew`, only those that are not there yet. */
export async function fill(keyValue: KeyValuePort, { tenant, kv }: Pick<PortFlags, "tenant" | "kv">, isNew = false): Promise<void> {
  for (const pair of kv) {
    const [name, value] = parsePair("--kv", pair, "BUCKET/KEY=VALUE")
    const key = tenantKey(tenant, name)
    if (isNew && (await keyValue.has(key))) continue
    await keyValue.set(key, new TextEncoder().encode(value))
  }
}

/** The ports that come from flags; `fill` writes the stored values once the host has its storage. `nameOf` is what a plugin is called in its log lines. */
export async function portsFrom(flags: Pick<PortFlags, "config" | "secret">, nameOf: (digest: string) => string) {
  const observer = lastUsage()
  const config = memoryConfig({ shared: Object.fromEntries(flags.config.map((pair) => parsePair("--config", pair, "NAME=VALUE"))) })
  const secret = memorySecret({ shared: Object.fromEntries(await Promise.all(flags.secret.map(parseSecret))) })
  const ports: Partial<Ports> = { observer, config, secret, log: stderrLog(nameOf) }
  return { ports, observer }
}

/** Says, once the host is closed, what usage it could not record: declare it before the host. */
export function usageNotes(): AsyncDisposable & { observer: ObserverPort | undefined } {
  return {
    observer: undefined,
    async [Symbol.asyncDispose]() {
      const problem = (this.observer as { readonly problem?: Error } | undefined)?.problem
      if (problem !== undefined) noteLine(`${err.yellow("usage")} ${escapeText(problem.message)}`)
    },
  }
}
