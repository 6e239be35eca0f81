/** `stele up`: the main job. A run over the example plugins, then a prompt on what is loaded. Needs no network and no server. */
import { fstatSync } from "node:fs"
import { isatty } from "node:tty"
import { StorageError } from "../../schemas/error/storage.ts"
import { errorLines } from "../cli/report.ts"
import { columns, err, noteLine, out, printLine } from "../cli/terminal.ts"
import { version } from "../cli/version.ts"
import { platform } from "../../host/platform/mod.ts"
import { defaultStorage } from "../storage/default.ts"
import { prompt } from "./prompt.ts"
import { run, seeds } from "./run.ts"
import type { Serving } from "./serving.ts"
import { Session } from "./session.ts"

export interface UpFlags {
  /** Where plugins and their data are kept; default: a file in the user's data folder. */
  readonly storage: string | undefined
  /** Where blobs are kept; default: beside the store. */
  readonly objects: string | undefined
  /** What stored values are sealed by. */
  readonly storageKey: string | undefined
  /** Where the HTTP service listens: a port, or `none`; default: the usual port, or any that is free. */
  readonly port: string | undefined
  readonly once: boolean
  readonly json: boolean
  readonly debug: boolean
}

const restoredText = (names: ReadonlyArray<string>): string => (names.length === 0 ? "" : `; loaded again as they were: ${names.join(", ")}`)

/** The store that is asked for, or the user's own. Where that cannot be made, nothing is kept, and that is said. */
async function open({
  storage,
  objects,
  storageKey,
}: Pick<UpFlags, "storage" | "objects" | "storageKey">): Promise<{ readonly session: Session; readonly address: string }> {
  const address = storage ?? defaultStorage(process.env) ?? "memory"
  try {
    return { session: await Session.open({ storage: address, objects, storageKey }, seeds), address }
  } catch (error) {
    const isOurChoice = storage === undefined && (process.env["STELE_STORAGE"] ?? "") === ""
    if (!isOurChoice || !(error instanceof StorageError) || error.reason._tag !== "Unreachable") throw error
    for (const line of errorLines(error, err, columns(process.stderr))) noteLine(line)
    noteLine("Nothing will be kept when this ends. --storage sqlite:PATH names a file of yours, --storage memory says that this is meant.")
    return { session: await Session.open({ storage: "memory" }, seeds), address: "memory" }
  }
}

/** Standard input that nothing ever comes from, and that is not closed by anybody either: a service's, a container's. */
const isNobodyThere = (): boolean => !isatty(0) && fstatSync(0).isCharacterDevice()

/** Told to end by a signal: the first is heeded in order, a second one ends the process at once. */
function untilTold(signals: ReadonlyArray<NodeJS.Signals>): AbortSignal {
  const told = new AbortController()
  for (const name of signals)
    process.on(name, () => {
      // As a shell says it of a process that the signal ended.
      if (told.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143)
      told.abort()
    })
  return told.signal
}

async function startService(session: Session, storage: string, asked: string | undefined): Promise<Serving | undefined> {
  const { parsePort, startServing } = await import("./serving.ts")
  const port = parsePort(asked ?? process.env["STELE_PORT"])
  return port === "none" ? undefined : startServing(session.plugins, storage, port)
}

export async function up({ storage, objects, storageKey, port, once, json, debug }: UpFlags): Promise<void> {
  const { session: opened, address } = await open({ storage, objects, storageKey })
  await using session = opened
  const failures = await session.restore()
  const restored = [...session.loaded.keys()]
  const print = json ? () => {} : printLine
  print(`${out.bold(`Stele ${version()}`)} on ${platform.name}: plugins nobody vouches for, denied by default, metered, stoppable`)
  print(out.dim(address === "memory" ? "Nothing is kept when this ends: --storage memory" : `Kept in ${address}${restoredText(restored)}`))
  for (const [name, error] of failures) {
    noteLine(`Cannot load "${name}" again, which was loaded when this store was last used; unload ${name} forgets it`)
    for (const line of errorLines(error, err, columns(process.stderr))) noteLine(line)
  }
  const startedMs = performance.now()
  const shown = await run(session, { print, colours: out, width: columns(process.stdout) })
  const isOk = shown.every(({ isAsShown }) => isAsShown)
  const wallMs = Math.round(performance.now() - startedMs)
  const serving = once ? undefined : await startService(session, address, port)
  const service = serving === undefined ? {} : { service: { url: serving.url, tokenFile: serving.tokenFile } }
  if (json) printLine(JSON.stringify({ stele: version(), platform: platform.name, storage: address, restored, isOk, wallMs, plugins: shown, ...service }))
  if (!isOk) {
    noteLine(
      `Not as it should be: ${shown
        .filter(({ isAsShown }) => !isAsShown)
        .map(({ plugin }) => plugin)
        .join(", ")}`,
    )
    process.exitCode = 1
  }
  if (once) return
  print("")
  if (serving !== undefined) {
    const { url, tokenFile, newToken } = serving
    print(`Serving ${out.bold(url)}: curl ${url}/docs${tokenFile === undefined ? "" : `; the token is in ${tokenFile}`}`)
    if (newToken !== undefined && !json) noteLine(`${err.bold("Token")}, shown this once: ${newToken}`)
  }
  const told = serving === undefined ? undefined : untilTold(isatty(0) ? ["SIGTERM"] : ["SIGTERM", "SIGINT"])
  try {
    if (serving !== undefined && isNobodyThere()) {
      print("Nobody is at standard input: SIGTERM ends this")
      await new Promise<void>((resolve) => told?.addEventListener("abort", () => resolve()))
      return
    }
    print(`Loaded: ${[...session.loaded.keys()].join(", ")}. Try: call greeter greet {name: "Ada"}   revoke greeter kv:read:prices/*   help`)
    const code = await prompt(session, { isJson: json, isDebug: debug }, told)
    if (code !== 0) process.exitCode = code
  } finally {
    if (serving !== undefined) {
      // Whoever leaves the prompt waits for nobody's answer for long.
      const isWhole = await serving.close()
      if (!isWhole) noteLine("Some requests were cut off: they took longer than 10 s to end")
    }
  }
}
