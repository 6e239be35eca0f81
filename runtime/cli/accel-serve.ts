/** `stele accel serve`: devices that compute and what they were measured to do, as a page for this machine. */
import { ConfigError } from "../../schemas/error/config.ts"
import { openAccelerator } from "../accel/mod.ts"
import { acceleratorService } from "../http/accel.ts"
import { serve } from "../http/serve.ts"
import { keepToken, tokenFile } from "../http/token.ts"
import { modeOf } from "./accel.ts"
import { withPassword } from "./password.ts"
import { parsePort, untilTold } from "./serve.ts"
import { noteLine, printLine } from "./terminal.ts"

export interface ServeAccelFlags {
  readonly port: string | undefined
  readonly host: string | undefined
  readonly mode: string | undefined
  readonly operations: string | undefined
  readonly json: boolean
}

/** Listens at once, and measures meanwhile; then when somebody asks for it. */
export async function serveAccelerator(flags: ServeAccelFlags): Promise<void> {
  const port = parsePort(flags.port)
  const mode = modeOf(flags.mode ?? "fast")
  const file = tokenFile(process.env)
  if (file === undefined)
    throw new ConfigError("Usage", { detail: "This user has no data folder for a token", advice: "name a file for it: STELE_TOKEN_FILE=PATH" })
  const told = untilTold()
  await using accelerator = await openAccelerator({ mode })
  await using pages = acceleratorService({
    ...{ accelerator, mode, tokens: [keepToken(file).token], log: noteLine },
    ...(flags.operations === undefined ? {} : { operations: flags.operations.split(",") }),
  })
  const server = await serve(withPassword(pages), { port, ...(flags.host === undefined ? {} : { hostname: flags.host }) })
  void pages.measure()
  if (flags.json) printLine(JSON.stringify({ url: server.url, tokenFile: file }))
  else noteLine(`Serving devices on ${server.url}; a browser asks for a password: the token in ${file}`)
  await told
  await server.close()
}
