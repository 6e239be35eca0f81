/** The HTTP service of `stele up`: where it listens, who may ask, and how it ends. */
import { ConfigError } from "../../schemas/error/config.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { quote } from "../../schemas/value/form.ts"
import { noteLine } from "../cli/terminal.ts"
import { following } from "../http/mod.ts"
import { announce } from "../http/running.ts"
import { defaultPort, serve, type Server } from "../http/serve.ts"
import { service } from "../http/service.ts"
import { keepToken, makeToken, tokenFile } from "../http/token.ts"
import type { Plugins } from "../service/plugins.ts"

export interface Serving {
  readonly url: string
  /** Where its token is; undefined for a user without a home. */
  readonly tokenFile: string | undefined
  /** The token, where nobody has seen it yet. */
  readonly newToken: string | undefined
  close(): Promise<boolean>
  destroy(): void
}

/** `none`, or a port; undefined where nothing is said. */
export function parsePort(text: string | undefined): number | "none" | undefined {
  if (text === undefined || text === "" || text === "none") return text === "none" ? text : undefined
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port >= 0 && port <= 65_535) return port
  throw new ConfigError("Option", { option: "--port", expected: "a port from 0 to 65535, or none", actual: quote(text) })
}

/** Listens on the port that was asked for; where none was, on the usual one or, where that is taken, on any. */
async function listen(http: Parameters<typeof serve>[0], port: number | undefined): Promise<Server> {
  try {
    return await serve(http, { port: port ?? defaultPort })
  } catch (error) {
    if (port !== undefined || !(error instanceof HttpError && error.reason._tag === "Listen")) throw error
    return serve(http, { port: 0 })
  }
}

export async function startServing(plugins: Plugins, storage: string, port: number | undefined): Promise<Serving> {
  const file = tokenFile(process.env)
  const { token, isNew } = file === undefined ? { token: makeToken(), isNew: true } : keepToken(file)
  const isTold = Object.keys(process.env).some((name) => /^OTEL_EXPORTER_OTLP_(?:\w+_)?ENDPOINT$/.test(name))
  const telemetry = isTold ? await (await import("../http/otlp.ts")).telemetry(process.env) : undefined
  const http = service(plugins, { token, hosts: [], log: noteLine, telemetry })
  const server = await listen(http, port)
  const unfollow = storage === "memory" ? () => {} : following(plugins, 2_000)
  const unsay = file === undefined ? () => {} : announce(storage, { url: server.url, tokenFile: file })
  return {
    url: server.url,
    tokenFile: file,
    newToken: isNew ? token : undefined,
    async close() {
      unsay()
      unfollow()
      const isWhole = await server.close()
      await telemetry?.close()
      return isWhole
    },
    destroy: () => server.destroy(),
  }
}
