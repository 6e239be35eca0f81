/**
 * `stele/http`: a host's plugins over HTTP.
 *
 * ```ts
 * await using host = await Host.open({ storage: "sqlite:stele.db" })
 * await using http = await service(host, { token })
 * app.mount("/stele", http.fetch)                   // in a hono app, or any that takes a web-standard fetch
 * await using server = await serve(http)            // or on a socket of its own
 * ```
 */
import { ConfigError } from "../../schemas/error/config.ts"
import { Host } from "../../host/host.ts"
import { type Loaded, Plugins, pluginsMax } from "../service/plugins.ts"
import type { AcceleratorService, AcceleratorServiceOptions } from "./accel.ts"
import type { BillingService, BillingServiceOptions } from "./billing.ts"
import type { OtlpTelemetry } from "./otlp.ts"
import { type Service as Core, service as over, type ServiceOptions as CoreOptions } from "./service.ts"

export { HttpError, type RequestProblem } from "../../schemas/error/http.ts"
/** Telemetry as `OTEL_EXPORTER_OTLP_ENDPOINT` says; undefined where nothing is said. Loads Effect's exporter only then. */
export const telemetry = async (environment: Readonly<Record<string, string | undefined>>): Promise<OtlpTelemetry | undefined> =>
  (await import("./otlp.ts")).telemetry(environment)
export type { BillingService, BillingServiceLimits, BillingServiceOptions } from "./billing.ts"
/** Billing over HTTP, of an entity's books: usage, projected cost, invoices. Loads billing only then. @throws ConfigError for options */
export const billingService = async (options: BillingServiceOptions): Promise<BillingService> => (await import("./billing.ts")).billingService(options)
export type { AcceleratorService, AcceleratorServiceLimits, AcceleratorServiceOptions } from "./accel.ts"
/** Devices that compute, over HTTP: which there are and what they were measured to do. Loads it only then. @throws ConfigError for options; KernelError `Unknown` */
export const acceleratorService = async (options: AcceleratorServiceOptions): Promise<AcceleratorService> =>
  (await import("./accel.ts")).acceleratorService(options)
export { openapi } from "./openapi.ts"
export { type ProblemDetails } from "./problem.ts"
export { serve, type ServeOptions, type Server } from "./serve.ts"
export { type Peer, type ServiceLimits, serviceLimits, type Span, type Telemetry } from "./service.ts"
export { keepToken, makeToken, readToken } from "./token.ts"
export { parseTrace, type Trace } from "./trace.ts"
export { type Loaded, type OtlpTelemetry, Plugins }

export interface ServiceOptions extends CoreOptions {
  /** Most plugins at a time; default 1,000. */
  readonly pluginsMax?: number
  /** How often to look for what other processes have changed in the store, in ms; default 2,000, 0 never. */
  readonly syncMs?: number
}

export interface Service extends Core, AsyncDisposable {
  /** The plugins it serves, by name: the host's that are kept in its store, and what is put. */
  readonly plugins: Plugins
  /** Closes the plugins. The host stays open. */
  close(): Promise<void>
}

/** Looks for other processes' changes until it is told to stop; nobody's process is kept by it. */
export function following(plugins: Plugins, syncMs: number): () => void {
  if (syncMs === 0) return () => {}
  // A store that fails now is asked again the next time; what it fails with is whose request needs it.
  const timer = setInterval(() => void plugins.sync().catch(() => {}), syncMs)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * A service over the plugins that are kept in a host's store, which it loads.
 * @throws ConfigError for options; what the store fails with
 */
export async function service(host: Host, { pluginsMax: max = pluginsMax, syncMs = 2_000, ...options }: ServiceOptions): Promise<Service> {
  if (!(host instanceof Host)) throw new ConfigError("Option", { option: "host", expected: "an open host", actual: typeof host })
  for (const [option, value] of Object.entries({ pluginsMax: max, syncMs }))
    if (!Number.isInteger(value) || value < 0) throw new ConfigError("Option", { option, expected: "a whole number from 0", actual: String(value) })
  const plugins = new Plugins(host, { pluginsMax: max })
  const core = over(plugins, options)
  await plugins.sync()
  const stop = following(plugins, syncMs)
  const close = async (): Promise<void> => {
    stop()
    await plugins.close()
  }
  return {
    fetch: (request, peer) => core.fetch(request, peer),
    app: core.app,
    metrics: core.metrics,
    limits: core.limits,
    drain: (ms) => core.drain(ms),
    get isDraining() {
      return core.isDraining
    },
    get requests() {
      return core.requests
    },
    plugins,
    close,
    [Symbol.asyncDispose]: close,
  }
}
