/** `stele serve FILE`: a component that exports `wasi:http/incoming-handler` as a server of this machine. */
import { SteleError } from "../../schemas/error/family.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/mod.ts"
import { serve } from "../http/serve.ts"
import { Host } from "../mod.ts"
import { handlerLimits, httpHandler } from "../serve/handler.ts"
import { servable } from "../serve/servable.ts"
import { type LoadFlags, loadOptions, nameOf } from "./call.ts"
import { type LinkFlags, loadLinks } from "./links.ts"
import { fill, portsFrom, type PortFlags, usageNotes } from "./ports.ts"
import { parseBytes, parseDuration } from "./quantity.ts"
import { at } from "./report.ts"
import { parseDirectory, parseVariable } from "./run.ts"
import { err, noteLine, printLine, withProgress } from "./terminal.ts"

export interface ServeFlags extends LoadFlags, LinkFlags, PortFlags {
  readonly file: string
  readonly port?: string | undefined
  readonly host?: string | undefined
  readonly deadline?: string | undefined
  readonly maxBody?: string | undefined
  readonly dir: ReadonlyArray<string>
  readonly env: ReadonlyArray<string>
  readonly storage?: string | undefined
  readonly objects?: string | undefined
  readonly storageKey?: string | undefined
  readonly json: boolean
}

const portDefault = 8_080

export function parsePort(text: string | undefined): number {
  if (text === undefined) return portDefault
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port >= 0 && port <= 65_535) return port
  throw new ConfigError("Option", { option: "--port", expected: "a port from 0 to 65535", actual: quote(text) })
}

/** Resolves when the process is told to end; told a second time it ends at once. */
export function untilTold(): Promise<void> {
  return new Promise((resolve) => {
    let isTold = false
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => {
        if (isTold) process.exit(130)
        isTold = true
        resolve()
      })
  })
}

/** Serves until the process is told to end, and then until what is under way is answered. */
export async function serveFile(flags: ServeFlags): Promise<void> {
  const { file } = flags
  const name = nameOf(file)
  const port = parsePort(flags.port)
  const deadlineMs = flags.deadline === undefined ? handlerLimits.deadlineMs : parseDuration("--deadline", flags.deadline)
  const requestBytesMax = flags.maxBody === undefined ? handlerLimits.requestBytesMax : parseBytes("--max-body", flags.maxBody)
  const directories = flags.dir.map(parseDirectory)
  const given = loadOptions(flags)
  const told = untilTold()
  const names = new Map<string, string>()
  const { ports } = await portsFrom(flags, (digest) => names.get(digest) ?? name)
  await using notes = usageNotes()
  await using host = await Host.open({
    ports,
    storage: flags.storage ?? "memory",
    objects: flags.objects,
    storageKey: flags.storageKey,
  })
  notes.observer = host.ports.observer
  await fill(host.ports.keyValue, flags)
  const options = {
    ...given,
    grants: [...flags.grant, ...directories.flatMap(({ host: path, isWritable }) => [`fs:read:${path}`, ...(isWritable ? [`fs:write:${path}`] : [])])],
    // The limit of a call is the handler's here, which a flag has set.
    limits: { deadlineMs, ...given.limits },
    wasi: {
      env: Object.fromEntries(flags.env.map(parseVariable)),
      directories: Object.fromEntries(directories.map(({ guest, host: path }) => [guest, path])),
    },
  }
  const links = await loadLinks(host, flags, given, names)
  const plugin = await at({ file }, () => withProgress(`Loading ${name}`, flags.json, () => host.load(file, { ...options, ...links })))
  const answer = await at({ file }, async () =>
    httpHandler(plugin, {
      deadlineMs,
      requestBytesMax,
      onError: (error, request) => {
        const { pathname } = new URL(request.url)
        const about = error instanceof SteleError ? `${error.code} ${error.message}` : error instanceof Error ? error.message : String(error)
        noteLine(`${err.yellow(request.method)} ${escapeText(pathname)} ${escapeText(about)}`)
      },
    }),
  )
  const limits = { headerBytesMax: handlerLimits.headerBytesMax, bodyMs: handlerLimits.bodyMs, requestBytesMax }
  const server = await serve(servable(answer, limits), { port, ...(flags.host === undefined ? {} : { hostname: flags.host }) })
  if (flags.json) printLine(JSON.stringify({ url: server.url, plugin: plugin.digest }))
  else noteLine(`Serving ${escapeText(name)} on ${server.url}`)
  await told
  await server.close()
}
