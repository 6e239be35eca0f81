/**
 * Billing over HTTP: what an account used, what its period will cost, its invoices down to the records behind each line, as JSON and as pages. A token is for
 * one account, or for all of them; nothing can be changed, and nothing is written.
 */
import { type Context, Hono } from "hono"
import * as Schema from "effect/Schema"
import { readInstant } from "../../schemas/billing/instant.ts"
import { RecordId } from "../../schemas/billing/account.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import type { SteleError } from "../../schemas/error/family.ts"
import { HttpError, invalidRequest } from "../../schemas/error/http.ts"
import { limitsFrom } from "../../host/port/port.ts"
import { type AccountValue, accountOf, accountsPart } from "../billing/account.ts"
import type { Billing } from "../billing/billing.ts"
import { recordLine } from "../billing/bundle.ts"
import { type Behind, usageBehindPart } from "../billing/drill.ts"
import { type InvoiceAndState, invoiceNumbered, invoicesPart } from "../billing/invoice.ts"
import { invoiceJson, invoiceSummary, projectionJson } from "../billing/json.ts"
import { invoicePage, type Page } from "../billing/page.ts"
import { daysOf, shownOf } from "../billing/shown.ts"
import { projectionMethod, projectionOf } from "../billing/projection.ts"
import { kinds } from "../billing/record.ts"
import { accountUsage, dayInZone } from "../billing/usage.ts"
import { dayText } from "../port/usage.ts"
import { textOf } from "../port/place.ts"
import { accountPath, accountsPage, invoicesPage, projectionPage, recordsPage, usagePage, type Where } from "./billing-page.ts"
import { preferredForm } from "./accept.ts"
import { Admission } from "./admission.ts"
import { shownError } from "./problem.ts"
import { decodeQuery } from "./query.ts"
import { commonHeaders, knownMethod, problemAnswer } from "./refusal.ts"
import { type Peer, peerOf } from "./service.ts"
import { checkTokens } from "./token.ts"

export const billingServiceLimits = {
  /** Days of one answer about usage. */
  daysMax: 400,
  /** Accounts, invoices, or usage records on one page. */
  pageMax: 100,
  /** Usage records that are read for one page of those behind a line. */
  readMax: 100_000,
  /** Bytes of a request's headers. */
  headerBytesMax: 16 << 10,
  /** Requests that are answered at a time. */
  requestsMax: 64,
  /** Requests a second with one token, and at once after a pause. */
  tokenRate: 50,
  tokenBurst: 100,
  /** Requests a second from one address, and at once after a pause. */
  addressRate: 100,
  addressBurst: 200,
}
export type BillingServiceLimits = typeof billingServiceLimits

export interface BillingServiceOptions {
  /** An entity's books, open. They stay open. */
  readonly billing: Billing
  /** Who may see what: tokens of 16 characters at least, each for the account of an id, or for all (`"*"`). */
  readonly tokens: Readonly<Record<string, string>>
  /** Where it is mounted, for links: `/billing`. Default none. */
  readonly basePath?: string
  /** What is taken for the time, µs since 1970: no amount and no date of a document depends on it. Default: this process's. */
  readonly clock?: () => bigint
  readonly limits?: Partial<BillingServiceLimits>
  /** Told of each incident, in a line. Default: stderr. */
  readonly log?: (line: string) => void
  /** Finds whose address asks, behind a proxy that says so. Default: the connection's. */
  readonly addressOf?: (request: Request, peer: Peer) => string | undefined
}

const optionKeys: ReadonlyArray<string> = ["billing", "tokens", "basePath", "clock", "limits", "log", "addressOf"]

export interface BillingService {
  /** Answers a request. `peer` is what the server knows of the connection. */
  fetch(request: Request, peer?: Peer): Promise<Response>
  /** The same as a hono app: `app.route("/billing", service.app)`. */
  readonly app: Hono
  /** Those of the service, and of what `serve` bounds: no request has a body. */
  readonly limits: BillingServiceLimits & { readonly bodyMs: number; readonly bodyBytesMax: number; readonly componentBytesMax: number }
  /** Refuses what comes from now on; resolves when what is under way has ended, or after `ms`: false then. */
  drain(ms: number): Promise<boolean>
}

type Form = "html" | "json" | "jsonl"
interface Answer {
  readonly page: () => Page
  readonly json: () => unknown
  /** One value a line. */
  readonly lines?: () => string
  /** Where the next page is. */
  readonly next?: string | undefined
}

interface Asking {
  readonly form: Form
  readonly query: URLSearchParams
  /** An account's id, or `"*"`. */
  readonly sees: string
  readonly param: (name: string) => string
}

const described = <S extends Schema.Top>(schema: S, expected: string, is: (text: string) => boolean): S =>
  schema.pipe(Schema.check(Schema.makeFilter((text: unknown) => (typeof text === "string" && is(text) ? undefined : expected)))) as unknown as S
const Day = described(Schema.String, "a day such as 2026-11-01", (text) => text.length === 10 && readInstant(text) !== undefined)
const PageQuery = Schema.Struct({ after: Schema.optionalKey(described(Schema.String, "what the page before has named", (text) => text.length <= 1_200)) })
const UsageQuery = Schema.Struct({ from: Schema.optionalKey(Day), to: Schema.optionalKey(Day) })
const NoQuery = Schema.Struct({})

const dayUs = 86_400_000_000n
const dayNumber = (text: string): number => Number((readInstant(text) as bigint) / dayUs)

/** What somebody asking about his own account may read of billing's errors: others are of the books themselves. */
const shownReasons: ReadonlySet<string> = new Set(["Unknown", "Input", "Rules", "RulesStopped", "Rate", "Zone"])
const shown = (error: unknown): SteleError | undefined =>
  error instanceof BillingError ? (shownReasons.has(error.reason._tag) ? error : undefined) : shownError(error)

/** What to do, where this service has something else to say than the one of plugins. */
const fixes: Readonly<Record<string, string>> = {
  Unauthorized: "send the header authorization: Bearer TOKEN, with a token that the service was given",
  NoRoute: "GET / lists the accounts; each has /accounts/ID/usage, /accounts/ID/projection and /accounts/ID/invoices",
  Invalid: "correct the places that the problems name",
}

const texts = (of: object): object => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, String(value)]))
const behindLine = (one: Behind): string => ("record" in one ? recordLine(one.record) : textOf(kinds.event.encode(one.event)))

class HttpBilling implements BillingService {
  readonly app = new Hono()
  readonly limits: BillingService["limits"]
  readonly #billing: Billing
  readonly #options: BillingServiceOptions
  readonly #base: string
  readonly #accounts: ReadonlyArray<string>
  readonly #admission: Admission

  constructor(options: BillingServiceOptions) {
    for (const key of Object.keys(options)) if (!optionKeys.includes(key)) throw new ConfigError("UnknownOption", { option: key, known: optionKeys })
    const tokens = Object.keys(options.tokens ?? {})
    checkTokens("tokens", tokens)
    this.#accounts = Object.values(options.tokens)
    for (const account of this.#accounts)
      if (account !== "*" && !Schema.is(RecordId)(account))
        throw new ConfigError("Option", { option: "tokens", expected: 'an account\'s id, or "*" for all', actual: JSON.stringify(account) ?? typeof account })
    this.limits = { ...limitsFrom("billingService", billingServiceLimits, options.limits ?? {}), bodyMs: 10_000, bodyBytesMax: 0, componentBytesMax: 0 }
    this.#billing = options.billing
    this.#options = options
    this.#base = (options.basePath ?? "").replace(/\/+$/, "")
    this.#admission = new Admission(tokens, this.limits, options.addressOf)
    this.#route("/", [""], (asking) => this.#list(asking))
    this.#route("/accounts", ["", ".html", ".json"], (asking) => this.#list(asking))
    const account = "/accounts/:account"
    this.#route(`${account}/usage`, ["", ".html", ".json"], (asking) => this.#usage(asking))
    this.#route(`${account}/projection`, ["", ".html", ".json"], (asking) => this.#projection(asking))
    this.#route(`${account}/invoices`, ["", ".html", ".json"], (asking) => this.#invoices(asking))
    // No number and no id of an invoice ends so.
    this.#route(`${account}/invoices/:number`, [""], (asking) => this.#invoice(asking))
    this.#route(`${account}/invoices/:number/lines/:line/usage`, ["", ".html", ".json", ".jsonl"], (asking) => this.#behind(asking))
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

  #route(path: string, endings: ReadonlyArray<string>, work: (asking: Asking) => Promise<Answer>): void {
    for (const ending of endings) {
      this.app.get(path + ending, (c) => this.#answer(c, work, ending))
      this.app.all(path + ending, (c) =>
        this.#answer(c, () => {
          throw new HttpError("Method", { method: knownMethod(c.req.method), path: c.req.path.slice(0, 200), allowed: ["GET", "HEAD"] })
        }),
      )
    }
  }

  /** The one way of a request: who may see what, the work, and an answer whatever happens. */
  async #answer(c: Context, work: (asking: Asking) => Promise<Answer>, ending = ""): Promise<Response> {
    const request = c.req.raw
    this.#admission.inFlight.begin()
    try {
      const sees = this.#accounts[this.#admission.admit(request, peerOf(c))] as string
      const number = c.req.param("number") ?? ""
      const own = /\.(html|json)$/.exec(c.req.param("line") === undefined ? number : "")
      const form = (own?.[1] ?? (ending === "" ? preferredForm(request.headers.get("accept")) : ending.slice(1))) as Form
      const param = (name: string): string => (name === "number" && own !== null ? number.slice(0, own.index) : (c.req.param(name) ?? ""))
      return this.#show(form, await work({ form, query: new URL(request.url).searchParams, sees, param }))
    } catch (thrown) {
      return problemAnswer(thrown, shown(thrown), { log: this.#options.log, fixes })
    } finally {
      this.#admission.inFlight.end()
    }
  }

  #show(form: Form, answer: Answer): Response {
    const headers: Record<string, string> = { ...commonHeaders, vary: "accept, authorization" }
    if (answer.next !== undefined) headers["link"] = `<${answer.next}>; rel="next"`
    if (form === "html") {
      const { body, policy } = answer.page()
      return new Response(body, { headers: { ...headers, "content-security-policy": policy, "content-type": "text/html; charset=utf-8" } })
    }
    if (form === "jsonl" && answer.lines !== undefined)
      return new Response(answer.lines(), { headers: { ...headers, "content-type": "application/jsonl; charset=utf-8" } })
    return new Response(JSON.stringify(answer.json()), { headers: { ...headers, "content-type": "application/json" } })
  }

  #now(): bigint {
    return this.#options.clock?.() ?? BigInt(Date.now()) * 1_000n
  }

  /** The account that is asked for. One that the token is not for is as unknown as one that is not there. */
  async #account({ param, sees }: Asking): Promise<AccountValue> {
    const id = param("account")
    if ((sees !== "*" && sees !== id) || !Schema.is(RecordId)(id))
      throw new BillingError("Unknown", { what: "account", id: id.slice(0, 64), entity: this.#billing.entity })
    return accountOf(this.#billing, id)
  }

  #where({ id, title }: AccountValue, { sees }: Asking): Where {
    return { base: this.#base, account: id, title: title ?? id, isOperator: sees === "*" }
  }

  /** The same path and form, after a place. */
  #next(path: string, { form }: Asking, after: string | undefined, isSuffixed = true): string | undefined {
    return after === undefined ? undefined : `${path}${isSuffixed && form !== "html" ? `.${form}` : ""}?after=${encodeURIComponent(after)}`
  }

  async #list(asking: Asking): Promise<Answer> {
    const { after } = decodeQuery(PageQuery, asking.query, [])
    const part =
      asking.sees === "*"
        ? await accountsPart(this.#billing, { after, countMax: this.limits.pageMax })
        : { accounts: [await accountOf(this.#billing, asking.sees)], next: undefined }
    const found = part.accounts.map(({ id, title }) => ({ id, title: title ?? id }))
    const next = this.#next(`${this.#base}/accounts`, asking, part.next)
    return { page: () => accountsPage(this.#base, found, next), json: () => ({ accounts: found, next: next ?? null }), next }
  }

  async #usage(asking: Asking): Promise<Answer> {
    const account = await this.#account(asking)
    const { from, to } = decodeQuery(UsageQuery, asking.query, [])
    const toDay = to === undefined ? dayInZone(await this.#billing.zone(account.zone), this.#now()) : dayNumber(to)
    const fromDay = dayNumber(from ?? `${dayText(toDay).slice(0, 8)}01`)
    if (fromDay > toDay || toDay - fromDay >= this.limits.daysMax)
      throw invalidRequest(
        [{ path: "query.from", expected: `a day up to "to", and ${this.limits.daysMax} days at most`, actual: `${toDay - fromDay + 1} days` }],
        false,
      )
    const usage = await accountUsage(this.#billing, account.id, { fromDay, toDay })
    return {
      page: () => usagePage(this.#where(account, asking), usage),
      json: () => ({
        account: account.id,
        zone: usage.zone,
        days: usage.days.map(texts),
        total: texts(usage.total),
        events: usage.events.map(texts),
      }),
    }
  }

  async #projection(asking: Asking): Promise<Answer> {
    const account = await this.#account(asking)
    decodeQuery(NoQuery, asking.query, [])
    const found = await projectionOf(this.#billing, account.id, this.#now())
    const days = await daysOf(this.#billing, account.zone)
    return {
      page: () => projectionPage(this.#where(account, asking), found, days),
      json: () => ({ account: account.id, method: projectionMethod, subscriptions: found.map(projectionJson) }),
    }
  }

  async #invoices(asking: Asking): Promise<Answer> {
    const account = await this.#account(asking)
    const { after } = decodeQuery(PageQuery, asking.query, [])
    const part = await invoicesPart(this.#billing, account.id, { after, countMax: this.limits.pageMax })
    const next = this.#next(`${accountPath(this.#base, account.id)}/invoices`, asking, part.next)
    const days = await daysOf(this.#billing, account.zone)
    return {
      page: () => invoicesPage(this.#where(account, asking), part.invoices, days, next),
      json: () => ({ invoices: part.invoices.map(invoiceSummary), next: next ?? null }),
      next,
    }
  }

  /** An invoice of this account: another's is as unknown as none. */
  async #found({ id }: AccountValue, { param }: Asking): Promise<InvoiceAndState> {
    const number = param("number")
    const unknown = new BillingError("Unknown", { what: "invoice", id: number.slice(0, 200), entity: this.#billing.entity })
    if (number.length > 200) throw unknown
    const found = await invoiceNumbered(this.#billing, number).catch((error: unknown) => {
      throw error instanceof BillingError && error.reason._tag === "Unknown" ? unknown : error
    })
    if (found.invoice.account.id !== id) throw unknown
    return found
  }

  async #invoice(asking: Asking): Promise<Answer> {
    const account = await this.#account(asking)
    decodeQuery(NoQuery, asking.query, [])
    const found = await this.#found(account, asking)
    const seen = await shownOf(this.#billing, found)
    return { page: () => invoicePage(seen, (line) => this.#usagePath(found, line)), json: () => invoiceJson(found) }
  }

  #usagePath({ invoice }: InvoiceAndState, line: number): string {
    return `${accountPath(this.#base, invoice.account.id)}/invoices/${encodeURIComponent(invoice.number)}/lines/${line + 1}/usage`
  }

  async #behind(asking: Asking): Promise<Answer> {
    const account = await this.#account(asking)
    const found = await this.#found(account, asking)
    const { after } = decodeQuery(PageQuery, asking.query, [])
    const line = asking.param("line")
    const place = /^[1-9]\d{0,5}$/.test(line) ? Number(line) - 1 : -1
    if (found.invoice.lines[place] === undefined)
      throw new BillingError("Unknown", { what: "line", id: `${found.invoice.number}#${line.slice(0, 20)}`, entity: this.#billing.entity })
    const part = await usageBehindPart(this.#billing, found.invoice, place, { after, countMax: this.limits.pageMax, readMax: this.limits.readMax })
    const path = this.#usagePath(found, place)
    const next = this.#next(path, asking, part.next)
    return {
      page: () => recordsPage(this.#where(account, asking), found, place, part.found, { lines: `${path}.jsonl`, next }),
      json: () => ({
        invoice: found.invoice.number,
        line: place + 1,
        usage: part.found.map((one) => JSON.parse(behindLine(one)) as unknown),
        next: next ?? null,
      }),
      lines: () => part.found.map((one) => `${behindLine(one)}\n`).join(""),
      next,
    }
  }
}

/**
 * Makes a service over an entity's billing. Paths: `/`, `/accounts/ID/usage`, `/accounts/ID/projection`, `/accounts/ID/invoices`, `…/invoices/NUMBER` and
 * `…/invoices/NUMBER/lines/N/usage`; each as a page or as JSON by the header `accept`, or by its ending `.html`, `.json` (and `.jsonl` for usage).
 * @throws ConfigError for options
 */
export const billingService = (options: BillingServiceOptions): BillingService => new HttpBilling(options)
