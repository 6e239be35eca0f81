/** `stele up`: the main job. A run over the example plugins, then a prompt on what is loaded. Needs no network and no server. */
import { StorageError } from "../../schemas/error/storage.ts"
import { errorLines } from "../cli/report.ts"
import { columns, err, noteLine, out, printLine } from "../cli/terminal.ts"
import { version } from "../cli/version.ts"
import { platform } from "../../host/platform/mod.ts"
import { defaultStorage } from "../storage/default.ts"
import { prompt } from "./prompt.ts"
import { run, seeds } from "./run.ts"
import { Session } from "./session.ts"

export interface UpFlags {
  /** Where plugins and their data are kept; default: a file in the user's data folder. */
  readonly storage: string | undefined
  /** Where blobs are kept; default: beside the store. */
  readonly objects: string | undefined
  /** What stored values are sealed by. */
  readonly storageKey: string | undefined
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

export async function up({ storage, objects, storageKey, once, json, debug }: UpFlags): Promise<void> {
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
  if (json) printLine(JSON.stringify({ stele: version(), platform: platform.name, storage: address, restored, isOk, wallMs, plugins: shown }))
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
  print(`Loaded: ${[...session.loaded.keys()].join(", ")}. Try: call greeter greet {name: "Ada"}   revoke greeter kv:read:prices/*   help`)
  const code = await prompt(session, { isJson: json, isDebug: debug })
  if (code !== 0) process.exitCode = code
}
