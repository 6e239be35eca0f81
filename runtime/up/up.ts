/** `stele up`: the main job. A run over the example plugins, then a prompt on what is loaded. Needs no network and no server. */
import { columns, noteLine, out, printLine } from "../cli/terminal.ts"
import { version } from "../cli/version.ts"
import { platform } from "../../host/platform/mod.ts"
import { prompt } from "./prompt.ts"
import { run, seeds } from "./run.ts"
import { Session } from "./session.ts"

export interface UpFlags {
  /** Where plugins' data is kept: `memory` or `sqlite:PATH`. */
  readonly storage: string | undefined
  readonly once: boolean
  readonly json: boolean
  readonly debug: boolean
}

export async function up({ storage = "memory", once, json, debug }: UpFlags): Promise<void> {
  await using session = await Session.open(storage, seeds)
  const print = json ? () => {} : printLine
  print(`${out.bold(`Stele ${version()}`)} on ${platform.name}: plugins nobody vouches for, denied by default, metered, stoppable`)
  const startedMs = performance.now()
  const shown = await run(session, { print, colours: out, width: columns(process.stdout) })
  const isOk = shown.every(({ isAsShown }) => isAsShown)
  const wallMs = Math.round(performance.now() - startedMs)
  if (json) printLine(JSON.stringify({ stele: version(), platform: platform.name, isOk, wallMs, plugins: shown }))
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
