/** The world around a plugin in one test: ports with nothing of the machine behind them. */
import { SeededBytes } from "../../host/capability/chacha20.ts"
import {
  type HttpRequest,
  type KeyValuePort,
  manualMonotonicClock,
  memoryConfig,
  memoryHttp,
  memoryKeyValue,
  memoryLog,
  memoryObserver,
  memorySecret,
  type Ports,
  tenantKey,
  tenantPrefix,
} from "../../host/port/mod.ts"
import { AuthorError } from "../../schemas/error/author.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { fromBase64 } from "../../schemas/value/base64.ts"
import type { Bytes, Fakes } from "../../schemas/manifest/test.ts"
import type { Located } from "./located.ts"

/** Whom tests' calls are for. */
export const tenant = "test"
/** Unexpected requests that a test tells. */
const unexpectedMax = 20
const startDefault = "2026-01-01T00:00:00Z"

function decoded(text: string): Uint8Array {
  const bytes = fromBase64(text)
  if (bytes === undefined) throw new RangeError("not base64")
  return bytes
}

/** @throws RangeError for what is not base64 */
export const bytesOf = (bytes: Bytes): Uint8Array => (typeof bytes === "string" ? new TextEncoder().encode(bytes) : decoded(bytes.base64))

export interface World {
  readonly ports: Partial<Ports>
  readonly log: ReturnType<typeof memoryLog>
  readonly observer: ReturnType<typeof memoryObserver>
  /** Requests that no answer of the test was for, as sentences; the first of them, where a plugin asks without end. */
  readonly unexpected: ReadonlyArray<string>
  /** All that the store holds, by BUCKET/KEY. */
  stored(): Promise<ReadonlyMap<string, Uint8Array>>
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, at) => byte === b[at])

function http(answers: NonNullable<Fakes["http"]>, unexpected: Array<string>) {
  const known = answers.map((answer) => ({ ...answer, method: answer.method ?? "GET", url: new URL(answer.url).href }))
  return memoryHttp((request: HttpRequest, body: Uint8Array) => {
    const found = known.find(
      ({ method, url, requestBody }) =>
        method === request.method && url === new URL(request.url).href && (requestBody === undefined || equal(bytesOf(requestBody), body)),
    )
    if (found === undefined) {
      if (unexpected.length < unexpectedMax)
        unexpected.push(`${request.method} ${request.url}${body.length === 0 ? "" : ` with a body of ${body.length} bytes`}`)
      throw new NetworkError("Unreachable", { host: new URL(request.url).host, detail: "no answer of this test is for it" })
    }
    const headers = Object.entries(found.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const)
    const isJson = Object.hasOwn(found, "json")
    if (isJson && !headers.some(([name]) => name === "content-type")) headers.push(["content-type", "application/json"])
    return {
      status: found.status ?? 200,
      headers,
      body: isJson ? new TextEncoder().encode(JSON.stringify(found.json)) : found.body === undefined ? new Uint8Array() : bytesOf(found.body),
    }
  })
}

/** Ports for one test. What the test says and cannot be used is a problem at its place under `path`. */
export async function fakeWorld(fakes: Fakes, located: Located, path: ReadonlyArray<PropertyKey>): Promise<World> {
  const refuse = (at: ReadonlyArray<PropertyKey>, message: string, fix: string): never => {
    throw new AuthorError("File", { file: located.file, problems: [located.problem([...path, ...at], message, { fix })] })
  }
  const attempt = <A>(at: ReadonlyArray<PropertyKey>, what: string, fix: string, work: () => A): A => {
    try {
      return work()
    } catch {
      return refuse(at, `Cannot use ${what}`, fix)
    }
  }
  const start = fakes.clock?.now ?? startDefault
  const startMs = Date.parse(start)
  if (Number.isNaN(startMs) || startMs < 0)
    refuse(["clock", "now"], `Cannot use ${JSON.stringify(start)} as a time`, "write it as 2026-01-31T12:00:00Z, from 1970 on")
  const stepNs = BigInt(Math.round((fakes.clock?.stepMs ?? 0) * 1e6))
  const monotonic = manualMonotonicClock()
  const step = (): bigint => {
    const now = monotonic.nowNs()
    monotonic.advance(stepNs)
    return now
  }
  const random = new SeededBytes(String(fakes.random?.seed ?? 0), 0)
  const keyValue: KeyValuePort = memoryKeyValue()
  for (const [name, value] of Object.entries(fakes.keyValue ?? {})) {
    if (!name.includes("/")) refuse(["keyValue", name], `Cannot store under ${JSON.stringify(name)}`, "name it BUCKET/KEY")
    await keyValue.set(
      tenantKey(tenant, name),
      attempt(["keyValue", name], "the value", "write text, or base64 with padding", () => bytesOf(value)),
    )
  }
  for (const [index, answer] of (fakes.http ?? []).entries()) {
    attempt(["http", index, "url"], `${JSON.stringify(answer.url)} as a URL`, "write all of it: https://api.example.com/path", () => new URL(answer.url))
    if (answer.body !== undefined) attempt(["http", index, "body"], "the body", "write text, or base64 with padding", () => bytesOf(answer.body as Bytes))
    if (answer.body !== undefined && Object.hasOwn(answer, "json")) refuse(["http", index, "json"], "An answer has one body", 'leave out "body" or "json"')
  }
  const unexpected: Array<string> = []
  const log = memoryLog({ recordsMax: 10_000 })
  const observer = memoryObserver()
  return {
    log,
    observer,
    unexpected,
    async stored() {
      const all = new Map<string, Uint8Array>()
      const prefix = tenantPrefix(tenant)
      for (let after: string | undefined; ;) {
        const keys = await keyValue.list(prefix, after, 1_000)
        for (const key of keys) all.set(key.slice(prefix.length), (await keyValue.get(key)) ?? new Uint8Array())
        after = keys.at(-1)
        if (after === undefined) return all
      }
    },
    ports: {
      keyValue,
      log,
      observer,
      // Both clocks are one time: what a guest waits for passes on either.
      wallClock: { nowNs: () => BigInt(startMs) * 1_000_000n + step(), resolutionNs: 1n },
      monotonicClock: { ...monotonic, nowNs: step },
      random: {
        limits: { bytesMax: 1 << 20 },
        bytes: (length) => random.fill(new Uint8Array(length)),
      },
      config: memoryConfig({ shared: fakes.config ?? {} }),
      secret: memorySecret({ shared: fakes.secret ?? {} }),
      http: http(fakes.http ?? [], unexpected),
    },
  }
}
