/**
 * Telemetry by OTLP over HTTP, with Effect's own exporter: a server span for each request and the time of each, as OpenTelemetry's
 * conventions for HTTP name them. Loaded when an endpoint is named in the environment, and by nothing else.
 *
 * `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`, `…_METRICS_ENDPOINT`), `…_PROTOCOL` (http/protobuf or http/json), `…_HEADERS`;
 * `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say who sends.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { ConfigError } from "../../schemas/error/config.ts"
import { version } from "../cli/version.ts"
import { secondsBounds } from "./metrics.ts"
import type { Span, Telemetry } from "./service.ts"

type Attributes = Readonly<Record<string, string | number>>
type Environment = Readonly<Record<string, string | undefined>>

export interface OtlpTelemetry extends Telemetry {
  /** Sends what waits, for a few seconds at most, and nothing from then on. */
  close(): Promise<void>
}

/** Sends what it has each 5 s, metrics each 10 s. */
const intervals = { traces: "5 seconds", metrics: "10 seconds", close: "3 seconds" } as const

const set = (environment: Environment, name: string): string | undefined => (environment[name] === "" ? undefined : environment[name])

/** Where one signal goes: its own endpoint as it is, else the common one with the signal's path. */
function endpoint(environment: Environment, signal: "traces" | "metrics"): string | undefined {
  const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`
  const [name, text] =
    set(environment, own) === undefined ? ["OTEL_EXPORTER_OTLP_ENDPOINT", set(environment, "OTEL_EXPORTER_OTLP_ENDPOINT")] : [own, set(environment, own)]
  if (text === undefined) return undefined
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new ConfigError("Option", { option: name, expected: "an http or https URL", actual: JSON.stringify(text.slice(0, 200)) })
  return name === own ? text : `${text.replace(/\/+$/, "")}/v1/${signal}`
}

/** `name=value,…`, percent-encoded, as for W3C baggage. */
function headersOf(text: string | undefined): Record<string, string> {
  const pairs = (text ?? "").split(",").flatMap((pair) => {
    const at = pair.indexOf("=")
    return at < 1 ? [] : [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())] as const]
  })
  return Object.fromEntries(pairs)
}

const nowNanos = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000)) * 1_000n

/**
 * Telemetry as the environment says; undefined where it names no endpoint.
 * @throws ConfigError for a protocol or URL that is none
 */
export async function telemetry(environment: Environment): Promise<OtlpTelemetry | undefined> {
  const [traces, metrics] = [endpoint(environment, "traces"), endpoint(environment, "metrics")]
  if ((traces === undefined && metrics === undefined) || set(environment, "OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined
  const protocol = set(environment, "OTEL_EXPORTER_OTLP_PROTOCOL") ?? "http/protobuf"
  if (protocol !== "http/protobuf" && protocol !== "http/json")
    throw new ConfigError("Option", {
      option: "OTEL_EXPORTER_OTLP_PROTOCOL",
      expected: "http/protobuf or http/json",
      actual: JSON.stringify(protocol.slice(0, 40)),
    })
  const name = set(environment, "OTEL_SERVICE_NAME")
  const common = {
    resource: { serviceName: name ?? "stele", serviceVersion: version() },
    headers: headersOf(set(environment, "OTEL_EXPORTER_OTLP_HEADERS")),
    shutdownTimeout: intervals.close,
  }
  const layers = Layer.mergeAll(
    traces === undefined ? Layer.empty : OtlpTracer.layer({ ...common, url: traces, exportInterval: intervals.traces }),
    metrics === undefined ? Layer.empty : OtlpMetrics.layer({ ...common, url: metrics, exportInterval: intervals.metrics }),
  ).pipe(Layer.provide([FetchHttpClient.layer, protocol === "http/json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf]))
  const runtime = ManagedRuntime.make(layers)
  const context = (await runtime.context()) as Context.Context<never>
  const tracer = await runtime.runPromise(Effect.tracer)
  const seconds = Metric.histogram("http.server.request.duration", {
    description: "Time from a request's head to its answer, in seconds",
    boundaries: secondsBounds,
  })
  const series = new Map<string, Metric.Histogram<number>>()
  const none = Context.empty() as Context.Context<never>

  /** By what is bounded: methods, routes and statuses of the service. */
  function seriesOf(attributes: Readonly<Record<string, string | number>>): Metric.Histogram<number> {
    const of = {
      "http.request.method": String(attributes["http.request.method"]),
      "http.route": String(attributes["http.route"]),
      "http.response.status_code": String(attributes["http.response.status_code"]),
    }
    const key = Object.values(of).join(" ")
    let found = series.get(key)
    if (found === undefined) series.set(key, (found = Metric.withAttributes(seconds, of) as Metric.Histogram<number>))
    return found
  }

  /** `ended` is told of a span's attributes once it has ended. */
  function begin(name: string, kind: Tracer.SpanKind, parent: Tracer.AnySpan | undefined, isSampled: boolean, ended: (attributes: Attributes) => void): Span {
    const span = tracer.span({
      name,
      parent: parent === undefined ? Option.none() : Option.some(parent),
      annotations: none,
      links: [],
      startTime: nowNanos(),
      kind,
      root: parent === undefined,
      sampled: isSampled,
    })
    return {
      traceId: span.traceId,
      spanId: span.spanId,
      isSampled: span.sampled,
      end(attributes, isError) {
        for (const [key, value] of Object.entries(attributes)) span.attribute(key, value)
        const what = attributes["error.type"] ?? `status ${attributes["http.response.status_code"]}`
        span.end(nowNanos(), isError ? Exit.fail(new Error(String(what))) : Exit.void)
        ended(attributes)
      },
      child: (of) => begin(of, "internal", span, span.sampled, () => {}),
    }
  }

  return {
    begin(name, trace) {
      const startedMs = performance.now()
      const parent = trace === undefined ? undefined : Tracer.externalSpan({ traceId: trace.traceId, spanId: trace.parentId, sampled: trace.isSampled })
      return begin(name, "server", parent, trace?.isSampled ?? true, (attributes) =>
        seriesOf(attributes).updateUnsafe((performance.now() - startedMs) / 1_000, context),
      )
    },
    close: () => runtime.dispose(),
  }
}
