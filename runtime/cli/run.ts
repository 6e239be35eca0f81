/** `stele run FILE [ARGS…]`: a command as a program of this terminal. */
import { writeSync } from "node:fs"
import { basename, resolve } from "node:path"
import { isatty } from "node:tty"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import type { LoadOptions } from "../../host/options.ts"
import { escapeText, memoryMonotonicClock } from "../../host/port/mod.ts"
import { Host } from "../mod.ts"
import { loadOptions, type LoadFlags, nameOf } from "./call.ts"
import { usageText } from "./invoke.ts"
import { fill, parsePair, portsFrom, type PortFlags, usageNotes } from "./ports.ts"
import { parseCount, parseDuration } from "./quantity.ts"
import { at } from "./report.ts"
import { standardInput } from "./stdin.ts"
import { err, noteLine, withProgress } from "./terminal.ts"

export interface RunFlags extends LoadFlags, PortFlags {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly dir: ReadonlyArray<string>
  readonly env: ReadonlyArray<string>
  readonly allowHttp: ReadonlyArray<string>
  readonly deadline?: string | undefined
  readonly engine?: string | undefined
  readonly storage?: string | undefined
  readonly objects?: string | undefined
  readonly storageKey?: string | undefined
  readonly usage: boolean
  readonly raw: boolean
  readonly json: boolean
}

/** The longest deadline there is. A program that a person runs ends when it is done, or when it is interrupted. */
const dayMs = 86_400_000

export interface Directory {
  readonly host: string
  readonly guest: string
  readonly isWritable: boolean
}

/** `HOST[::GUEST][:ro]`: `.`, `./data::/data`, `/etc/config:ro`. */
export function parseDirectory(text: string): Directory {
  const isWritable = !text.endsWith(":ro")
  const rest = isWritable ? text : text.slice(0, -":ro".length)
  const at = rest.indexOf("::")
  const [host, guest] = at < 0 ? [rest, rest] : [rest.slice(0, at), rest.slice(at + 2)]
  if (host === "" || guest === "")
    throw new ConfigError("Option", { option: "--dir", expected: "HOST, HOST::GUEST, or either with :ro behind it", actual: quote(text) })
  return { host: resolve(host), guest, isWritable }
}

/** `NAME=VALUE`, or `NAME` for what it is here. */
export function parseVariable(text: string): readonly [string, string] {
  if (text.includes("=")) return parsePair("--env", text, "NAME=VALUE, or NAME to pass on what is set here")
  const value = process.env[text]
  if (value === undefined)
    throw new ConfigError("Option", { option: "--env", expected: "a variable that is set, or NAME=VALUE", actual: `the unset ${quote(text)}` })
  return [text, value]
}

/** Writes all of it. A pipe that is full for now is waited for; a reader that is gone ends the program, as it ends any. */
function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === "EPIPE") process.exit(0)
      if (code !== "EAGAIN") throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
  }
}

/** Output for one of our streams. On a terminal only text: what a program prints must not steer it. */
export function writer(
  fd: 1 | 2,
  isRaw: boolean,
  write: (fd: 1 | 2, bytes: Uint8Array) => void = writeAll,
  isTerminal = isatty(fd),
): (bytes: Uint8Array) => void {
  if (isRaw || !isTerminal) return (bytes) => write(fd, bytes)
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  return (bytes) => {
    // A line's end may come as both; alone, a carriage return would write over the line.
    const lines = decoder.decode(bytes, { stream: true }).split(/\r?\n/)
    write(fd, encoder.encode(lines.map(escapeText).join("\n")))
  }
}

/** The options that flags stand for. Limits on what a call moves are for services: a program may write as much as it likes. */
export function programOptions(flags: RunFlags, directories: ReadonlyArray<Directory>): LoadOptions {
  const given = loadOptions(flags)
  return {
    ...given,
    grants: [
      ...flags.grant,
      ...flags.allowHttp.map((pattern) => `http:*:${pattern}`),
      ...directories.flatMap(({ host, isWritable }) => [`fs:read:${host}`, ...(isWritable ? [`fs:write:${host}`] : [])]),
    ],
    limits: { deadlineMs: dayMs, liftBytesMax: Number.MAX_SAFE_INTEGER, hostCallsMax: Number.MAX_SAFE_INTEGER, ...given.limits },
    ...(flags.engine === undefined ? {} : { engine: flags.engine as NonNullable<LoadOptions["engine"]> }),
    wasi: {
      args: [basename(flags.file.replace(/[?#].*$/, "")), ...flags.args],
      env: Object.fromEntries(flags.env.map(parseVariable)),
      directories: Object.fromEntries(directories.map(({ guest, host }) => [guest, host])),
      stdin: standardInput(),
      stdout: writer(1, flags.raw),
      stderr: writer(2, flags.raw),
      terminals: ([0, 1, 2] as const).filter((fd) => isatty(fd)).map((fd) => (["stdin", "stdout", "stderr"] as const)[fd]),
    },
  }
}

/** What a program exits with, where a process has one byte for it: what is not 0 stays so. */
const exitCodeOf = (status: number): number => (status !== 0 && (status & 0xff) === 0 ? 1 : status & 0xff)

/** Runs the program; resolves when it has ended. Its exit code is the process's. */
export async function run(flags: RunFlags): Promise<void> {
  const { file } = flags
  const name = nameOf(file)
  if (flags.deadline !== undefined && flags.metering === "off")
    throw new ConfigError("Usage", { detail: "Cannot enforce --deadline with --metering off: nothing stops the program", advice: "leave out one of the two" })
  const directories = flags.dir.map(parseDirectory)
  const options = programOptions(flags, directories)
  const callOptions = {
    ...(flags.deadline === undefined ? {} : { deadlineMs: parseDuration("--deadline", flags.deadline) }),
    ...(flags.fuel === undefined ? {} : { fuel: parseCount("--fuel", flags.fuel) }),
  }
  const { ports, observer } = await portsFrom(flags, () => name)
  await using notes = usageNotes()
  await using host = await Host.open({
    ports: { ...ports, monotonicClock: memoryMonotonicClock({ waitMsMax: dayMs }) },
    storage: flags.storage ?? "memory",
    objects: flags.objects,
    storageKey: flags.storageKey,
    upkeep: false,
  })
  notes.observer = host.ports.observer
  await fill(host.ports.keyValue, flags)
  const plugin = await at({ file }, () => withProgress(`Loading ${name}`, flags.json, () => host.load(file, options)))
  const exports = plugin.describe().exports.map((exported) => exported.name)
  if (!exports.some((exported) => /^wasi:cli\/run(?:@[^#]*)?#run$/.test(exported)))
    throw new ConfigError("Usage", {
      detail: `"${name}" is no program: it exports no wasi:cli/run and no _start`,
      advice: `stele call ${file} calls its exports`,
    })
  try {
    const { exitCode } = await at({ file, about: "wasi:cli/run" }, () => plugin.run(callOptions))
    process.exitCode = exitCodeOf(exitCode)
  } finally {
    const { usage, denied } = observer.take()
    for (const grant of denied.map(escapeText)) noteLine(`${err.yellow("denied")} ${grant}${err.dim(`   --grant ${grant} allows it`)}`)
    if (flags.usage && usage !== undefined) noteLine(err.dim(usageText(usage)))
  }
}
