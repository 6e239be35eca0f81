/**
 * Devices that compute, over HTTP: which there are, what each was measured to do by size, and who serves from which size on, as a page and as JSON.
 *
 * Measuring takes the machine for seconds, so no page asks for it: `measure` does, or a POST by whoever has a token, one at a time and with a pause between.
 */
import { type Context, Hono } from "hono"
import { ConfigError } from "../../schemas/error/config.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { KernelError } from "../../schemas/error/kernel.ts"
import { limitsFrom } from "../../host/port/port.ts"
import type { Accelerator } from "../../kernels/accelerate/accelerator.ts"
import { operationOf } from "../../kernels/accelerate/operation.ts"
import { type Mode, modes } from "../../kernels/kernels.ts"
import { type Measured, measured } from "../accel/measured.ts"
import { acceleratorPage } from "./accel-page.ts"
import { preferredForm } from "./accept.ts"
import { Admission, type AdmissionLimits } from "./admission.ts"
import { commonHeaders, knownMethod, problemAnswer } from "./refusal.ts"
import { shownError } from "./problem.ts"
import { type Peer, peerOf } from "./service.ts"

export const acceleratorServiceLimits = {
  /** Operations that are measured. */
  operationsMax: 16,
  /** How long one size of one operation is measured on one device, in ms. */
  sizeMs: 20,
  /** The longest run that is begun, as it is predicted, in ms: other requests wait for it. */
  runMsMax: 250,
  /** From the end of one measurement until the next may be asked for, in ms. */
  pauseMs: 10_000,
  headerBytesMax: 16 << 10,
  requestsMax: 64,
  tokenRate: 50,
  tokenBurst: 100,
  addressRate: 100,
  addressBurst: 200,
}
export type AcceleratorServiceLimits = AdmissionLimits & typeof acceleratorServiceLimits

export interface AcceleratorServiceOptions {
  /** Stays open. */
  readonly accelerator: Accelerator
  /** Of 16 characters at least; who has one sees all, and may have it measured anew. */
  readonly tokens: ReadonlyArray<string>
  /** What is measured; default matmul, conv2d, softmax, add. */
  readonly operations?: ReadonlyArray<string>
  /** Default `fast`, which shows every device. */
  readonly mode?: Mode
  /** Where it is mounted, for links: `/accelerator`. Default none. */
  readonly basePath?: string
  readonly limits?: Partial<AcceleratorServiceLimits>
  /** Told of each incident, in a line. Default: stderr. */
  readonly log?: (line: string) => void
  /** Finds whose address asks, behind a proxy that says so. Default: the connection's. */
  readonly addressOf?: (request: Request, peer: Peer) => string | undefined
}

const optionKeys: ReadonlyArray<string> = ["accelerator", "tokens", "operations", "mode", "basePath", "limits", "log", "addressOf"]

/** An operation as it was measured, or why it was not. */
export type Shown = Measured | { readonly operation: string; readonly error: { readonly code?: string; readonly message: string } }

/** One measurement of all operations. */
export interface Round {
  readonly at: string
  readonly tookMs: number
  readonly operations: ReadonlyArray<Shown>
}

export interface AcceleratorService extends AsyncDisposable {
  /** Answers a request. `peer` is what the server knows of the connection. */
  fetch(request: Request, peer?: Peer): Promise<Response>
  /** The same as a hono app: `app.route("/accelerator", service.app)`. */
  readonly app: Hono
  /** Those of the service, and of what `serve` bounds: no body of a request is read. */
  readonly limits: AcceleratorServiceLimits & { readonly bodyMs: number; readonly bodyBytesMax: number; readonly componentBytesMax: number }
  /** Measures all operations; resolves with what is shown from then on. One that is under way is waited for, and no other begun. */
  measure(): Promise<Round | undefined>
  /** Refuses what comes from now on; resolves when what is under way has ended, or after `ms`: false then. */
  drain(ms: number): Promise<boolean>
  /** Ends a measurement that is under way after the operation that it is at. */
  close(): Promise<void>
}

const fixes: Readonly<Record<string, string>> = {
  Unauthorized: "send the header authorization: Bearer TOKEN, with a token that the service was given",
  NoRoute: "GET / is the page, GET /index.json the same as JSON, POST /measure has it measured anew",
  Origin: "send it from the service's own page, or from a program that sends no header origin",
}

class HttpAccelerator implements AcceleratorService {
  readonly app = new Hono()
  readonly limits: AcceleratorService["limits"]
  readonly #options: AcceleratorServiceOptions
  readonly #operations: ReadonlyArray<string>
  readonly #mode: Mode
  readonly #base: string
  readonly #admission: Admission
  #round: Round | undefined
  #running: Promise<Round | undefined> | undefined
  #endedMs = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(options: AcceleratorServiceOptions) {
    for (const key of Object.keys(options)) if (!optionKeys.includes(key)) throw new ConfigError("UnknownOption", { option: key, known: optionKeys })
    const { accelerator, addressOf, basePath = "", limits, mode = "fast", operations = ["matmul", "conv2d", "softmax", "add"], tokens } = options
    this.limits = {
      ...limitsFrom("acceleratorService", acceleratorServiceLimits, limits ?? {}),
      ...{ bodyMs: 10_000, bodyBytesMax: 0, componentBytesMax: 0 },
    }
    if (!modes.includes(mode)) throw new KernelError("Unknown", { what: "mode", name: mode, known: modes.join(", ") })
    const names = new Set(operations)
    for (const name of names) operationOf(name)
    const { operationsMax } = this.limits
    if (names.size === 0 || names.size > operationsMax)
      throw new ConfigError("Option", {
        option: "operations",
        expected: `names of operations, from 1 to ${operationsMax} ("operationsMax")`,
        actual: String(names.size),
      })
    this.#options = { ...options, accelerator }
    this.#operations = [...names]
    this.#mode = mode
    this.#base = basePath.replace(/\/+$/, "")
    this.#admission = new Admission(tokens, this.limits, addressOf)
    this.#route("/", ["GET", "HEAD"], (c) => this.#show(preferredForm(c.req.raw.headers.get("accept"))))
    this.#route("/index.html", ["GET", "HEAD"], () => this.#show("html"))
    this.#route("/index.json", ["GET", "HEAD"], () => this.#show("json"))
    this.#route("/measure", ["POST"], (c) => this.#anew(c.req.raw))
    this.app.notFound((c) =>
      this.#answer(c, () => {
        throw new HttpError("NoRoute", { path: c.req.path.slice(0, 200) })
      }),
    )
    this.app.onError((error, c) => this.#answer(c, () => Promise.reject(error)))
  }

  async fetch(request: Request, peer: Peer = {}): Promise<Response> {
    return this.app.fetch(request, { peer })
  }

  drain(ms: number): Promise<boolean> {
    return this.#admission.inFlight.drain(ms)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#running
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  measure(): Promise<Round | undefined> {
    return (this.#running ??= this.#measured().finally(() => {
      this.#running = undefined
      this.#endedMs = performance.now()
    }))
  }

  /** What was shown before is shown until all is measured; a round that was ended early is none. */
  async #measured(): Promise<Round | undefined> {
    const { runMsMax, sizeMs } = this.limits
    const [at, startMs] = [new Date().toISOString(), performance.now()]
    const operations: Array<Shown> = []
    for (const operation of this.#operations) {
      if (this.#isClosed) return this.#round
      try {
        operations.push(await measured(this.#options.accelerator, operation, { mode: this.#mode, budgetMs: sizeMs, runMsMax }))
      } catch (thrown) {
        // A device that fails leaves the others' operations as they are.
        const { code, message } = thrown as Error & { readonly code?: unknown }
        operations.push({ operation, error: { ...(typeof code === "string" ? { code } : {}), message: String(message) } })
      }
    }
    return (this.#round = { at, tookMs: performance.now() - startMs, operations })
  }

  #route(path: string, allowed: ReadonlyArray<string>, work: (c: Context) => Promise<Response>): void {
    this.app.all(path, (c) =>
      this.#answer(c, () => {
        if (!allowed.includes(c.req.method))
          throw new HttpError("Method", { method: knownMethod(c.req.method), path: c.req.path.slice(0, 200), allowed: [...allowed] })
        return work(c)
      }),
    )
  }

  async #answer(c: Context, work: () => Promise<Response>): Promise<Response> {
    this.#admission.inFlight.begin()
    try {
      this.#admission.admit(c.req.raw, peerOf(c))
      return await work()
    } catch (thrown) {
      return problemAnswer(thrown, shownError(thrown), { log: this.#options.log, fixes })
    } finally {
      this.#admission.inFlight.end()
    }
  }

  async #show(form: "html" | "json"): Promise<Response> {
    const seen = { mode: this.#mode, devices: this.#options.accelerator.status(), isMeasuring: this.#running !== undefined, measured: this.#round }
    const headers = { ...commonHeaders, vary: "accept, authorization" }
    if (form === "json")
      return new Response(JSON.stringify({ ...seen, measured: seen.measured ?? null }), { headers: { ...headers, "content-type": "application/json" } })
    const { body, policy } = acceleratorPage(this.#base, seen)
    // Its own form is sent with where it is from, and nothing else is.
    const own = { "content-security-policy": policy, "content-type": "text/html; charset=utf-8", "referrer-policy": "same-origin" }
    return new Response(body, { headers: { ...headers, ...own } })
  }

  /** A browser sends what it keeps for a site with the forms of others, too: they are told from its own. */
  #checkOrigin({ headers, url }: Request): void {
    const origin = headers.get("origin")
    if (headers.get("sec-fetch-site") === "same-origin" || origin === null || origin === new URL(url).origin) return
    throw new HttpError("Origin", { origin: origin.slice(0, 200) })
  }

  async #anew(request: Request): Promise<Response> {
    this.#checkOrigin(request)
    const { pauseMs } = this.limits
    const waitMs = Math.ceil(this.#endedMs + pauseMs - performance.now())
    if (this.#running === undefined && waitMs > 0) throw new HttpError("Rate", { whose: "measurement", perSecond: 1_000 / pauseMs, waitMs })
    await this.measure()
    if (preferredForm(request.headers.get("accept")) === "json") return this.#show("json")
    return new Response(null, { status: 303, headers: { ...commonHeaders, location: `${this.#base}/` } })
  }
}

/**
 * Makes a service over an accelerator. Paths: `/` as a page or as JSON by the header `accept`, `/index.html`, `/index.json`, and POST `/measure`.
 * Nothing is measured before `measure` is called, or that is asked for.
 * @throws ConfigError for options; KernelError `Unknown` operation, mode
 */
export const acceleratorService = (options: AcceleratorServiceOptions): AcceleratorService => new HttpAccelerator(options)
