/** Billing over HTTP, on a socket: who sees what, pages that hold whatever outsiders named, parts that add up, figures as the rim says them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createHash } from "node:crypto"
import { Hono } from "hono"
import t from "tap"
import {
  accountUsage,
  addCatalogue,
  type Behind,
  instantText,
  invoiceOf,
  issue,
  openBilling,
  openStores,
  projectionOf,
  putAccount,
  record,
  subscribe,
  usageBehind,
} from "../../../runtime/billing/mod.ts"
import { invoiceJson } from "../../../runtime/billing/json.ts"
import { bars, stepOf } from "../../../runtime/http/bars.ts"
import { type BillingServiceOptions, billingService, serve } from "../../../runtime/http/mod.ts"
import { at, calls, keep, openHost } from "../billing/usage.ts"
import { wellFormed } from "./well-formed.ts"

t.setTimeout(240_000)
const hostile = `<script>alert(1)</script>"'&<img src=x onerror=alert(2)>`
const month = { unit: "month", count: 1 }
const list = JSON.stringify({
  name: hostile.slice(0, 60),
  version: "1",
  currency: "EUR",
  units: { call: { exponent: 0 }, gb: { exponent: 9 }, gpu: { exponent: 2 } },
  meters: [
    { id: "calls", unit: "call", aggregation: "sum", event: "call" },
    { id: "peak", unit: "gb", aggregation: "max", event: "call", value: "gb" },
    { id: "exports", unit: "call", aggregation: "unique", event: "call", key: "export" },
    { id: "gpu", unit: "gpu", aggregation: "sum", event: "gpu-hours", attribute: "card" },
  ],
  plans: [
    {
      id: "team",
      interval: month,
      align: "calendar",
      charges: [
        { id: "base", title: "Team", price: { model: "flat", amount: "20" } },
        { id: "calls", title: `Calls ${hostile}`, meter: "calls", price: { model: "unit", price: "0.05" } },
        { id: "peak", title: "Peak", meter: "peak", price: { model: "unit", price: "1" } },
        { id: "exports", title: "Exports", meter: "exports", price: { model: "unit", price: "0.5" } },
        { id: "gpu", title: "GPU", meter: "gpu", price: { model: "unit", price: "1.5" } },
      ],
    },
  ],
})

const folder = await mkdtemp(join(tmpdir(), "stele-billing-http-"))
const stores = await openStores(`sqlite:${join(folder, "stele.db")}`)
const host = await openHost()
let now = at("2025-01-01")
const billing = openBilling({ host, store: stores.store, entity: "acme", clock: () => now })
t.teardown(async () => {
  await billing.close()
  await host[Symbol.asyncDispose]()
  await stores.close()
  await rm(folder, { recursive: true })
})

const { digest } = await addCatalogue(billing, list)
for (const id of ["ada", "bob"]) {
  await putAccount(billing, { id, title: `${id} ${hostile}`, zone: "UTC", currency: "EUR", taxes: [{ code: "vat", rate: "20", treatment: "standard" }] })
  await subscribe(billing, { id: `${id}-team`, account: id, catalogue: digest, plan: "team", start: at("2025-01-01") })
  await issue(billing, `${id}-team`)
}
const named = function* (from: string, to: string, count: number) {
  for (const one of calls("ada", from, to, count)) yield { ...one, ...(one.wallNs % 5 === 0 ? { export: `x/${hostile}#y` } : {}) }
}
await keep(stores.store, "ada", named("2025-01-01", "2025-01-31", 130))
await keep(stores.store, "bob", calls("bob", "2025-01-02", "2025-01-09", 10))
now = at("2025-02-01T03:00:00Z")
for (const id of ["one", hostile, "three"])
  await record(billing, { account: "ada", id, at: at("2025-01-20"), name: "gpu-hours", quantity: "2.5", properties: { card: hostile } })
for (const id of ["ada", "bob"]) await issue(billing, `${id}-team`)
await keep(stores.store, "ada", named("2025-02-01", "2025-02-11", 100))
const noon = at("2025-02-15")

const tokens = { ada_token_of_24_letters_: "ada", bob_token_of_24_letters_: "bob", all_token_of_24_letters_: "*", ghost_token_of_24_chars_: "ghost" }
const [adas, bobs, alls, ghosts] = Object.keys(tokens) as [string, string, string, string]

interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Record<string, unknown>
}

async function start(options: Partial<BillingServiceOptions> = {}) {
  const http = await billingService({ billing, tokens, clock: () => noon, log: () => {}, ...options })
  const server = await serve(http, { port: 0, noticeMs: 0 })
  t.teardown(async () => {
    server.destroy()
    await server.close()
  })
  const ask = async (path: string, token: string | undefined = adas, init: RequestInit = {}): Promise<Answered> => {
    const headers = { ...(token === "" ? {} : { authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string> | undefined) }
    const response = await fetch(path.startsWith("http") ? path : server.url + path, { ...init, headers })
    const text = await response.text()
    const isJson = (response.headers.get("content-type") ?? "").endsWith("json")
    return { status: response.status, headers: response.headers, text, json: isJson && text !== "" ? (JSON.parse(text) as Record<string, unknown>) : {} }
  }
  return { ask, http, server }
}
const { ask } = await start()
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? String(one) : one)))
interface Listed {
  readonly invoices: ReadonlyArray<{ readonly number: string; readonly id: string }>
  readonly next: string | null
}
const invoicesOf = async (token: string, account: string): Promise<Listed> => (await ask(`/accounts/${account}/invoices`, token)).json as unknown as Listed
const [, january] = (await invoicesOf(adas, "ada")).invoices
const number = january?.number ?? ""

t.test("a token is needed, and one for an account sees that account alone", async (t) => {
  for (const token of ["", "unknown_token_of_24_letters", `${adas}x`]) {
    const refused = await ask("/accounts/ada/usage", token)
    t.equal(refused.status, 401)
    t.equal(refused.json["code"], "STELE-HTP-0001")
    t.equal(refused.headers.get("www-authenticate"), 'Bearer realm="stele"')
  }
  const bobNumber = (await invoicesOf(bobs, "bob")).invoices[1]?.number ?? ""
  const paths = (account: string, invoice: string): ReadonlyArray<string> =>
    ["usage", "projection", "invoices", `invoices/${invoice}`, `invoices/${invoice}/lines/1/usage`].map((path) => `/accounts/${account}/${path}`)
  for (const path of paths("bob", bobNumber)) {
    t.equal((await ask(path, bobs)).status, 200, path)
    t.equal((await ask(path, alls)).status, 200, path)
    const foreign = await ask(path)
    t.equal(foreign.status, 404, path)
    t.equal(foreign.json["code"], "STELE-BIL-0014")
    t.notMatch(foreign.text, bobNumber === "" ? /./ : bobNumber, "nothing of it is told")
  }
  // Another's invoice under one's own account, and one that is not there, are answered alike.
  for (const path of [`invoices/${bobNumber}`, `invoices/${bobNumber}.html`, "invoices/INV-999999", "invoices/x", "invoices/bob-team.20250101T000000Z.1"]) {
    const foreign = await ask(`/accounts/ada/${path}`)
    t.equal(foreign.status, 404, path)
    t.equal(foreign.json["detail"], `Cannot find the invoice "${path.slice(9).replace(".html", "")}" in the books of "acme"`)
  }
  const unknown = await ask("/accounts/nobody/usage", alls)
  t.strictSame([unknown.status, unknown.json["code"]], [404, "STELE-BIL-0014"])
  t.equal((await ask("/accounts/ghost/usage", ghosts)).status, 404, "a token for nobody yet")
  t.strictSame((await ask("/", adas)).json["accounts"], [{ id: "ada", title: `ada ${hostile}` }])
  t.strictSame(
    ((await ask("/", alls)).json["accounts"] as ReadonlyArray<{ id: string }>).map(({ id }) => id),
    ["ada", "bob"],
  )
})

t.test("nothing can be changed, and what is no path or no question is told", async (t) => {
  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
    const refused = await ask("/accounts/ada/usage", adas, { method })
    t.strictSame([refused.status, refused.headers.get("allow")], [405, "GET, HEAD"], method)
  }
  const head = await ask("/accounts/ada/usage", adas, { method: "HEAD" })
  t.strictSame([head.status, head.text], [200, ""])
  t.strictSame([(await ask("/nowhere")).status, (await ask("/nowhere")).json["code"]], [404, "STELE-HTP-0002"])
  for (const query of [
    "from=2025-02-30",
    "from=2025-02-02&to=2025-02-01",
    "from=2020-01-01&to=2025-01-01",
    "from=x",
    "since=2025-01-01",
    "from=2025-01-01&from=2025-01-02",
  ]) {
    const refused = await ask(`/accounts/ada/usage?${query}`)
    t.strictSame([refused.status, refused.json["code"]], [400, "STELE-HTP-0005"], query)
  }
  for (const after of ["0.00", "9.00", `0.${"0".repeat(31)}x`, "", "7.00112233445566778899aabbccddeeff"])
    t.equal((await ask(`/accounts/ada/invoices/${number}/lines/1/usage?after=${after}`)).status, 400, after)
  for (const line of ["0", "99", "x", "1e1"]) t.equal((await ask(`/accounts/ada/invoices/${number}/lines/${line}/usage`)).status, 404, line)
})

t.test("JSON is what the rim says", async (t) => {
  const usage = (await ask("/accounts/ada/usage?from=2025-01-01&to=2025-02-28")).json
  const [fromDay, toDay] = [Number(at("2025-01-01") / 86_400_000_000n), Number(at("2025-02-28") / 86_400_000_000n)]
  t.strictSame(usage, { account: "ada", ...(plain(await accountUsage(billing, "ada", { fromDay, toDay })) as object) })
  t.equal((usage["total"] as { calls: string }).calls, "230", "130 calls in January, 100 in February")
  t.equal(((await ask("/accounts/ada/usage")).json["days"] as ReadonlyArray<unknown>).length, 15, "by default this month up to today")

  const { invoices } = await invoicesOf(adas, "ada")
  t.equal(invoices.length, 2)
  for (const one of invoices)
    for (const name of [one.number, one.id])
      t.strictSame((await ask(`/accounts/ada/invoices/${name}.json`)).json, plain(invoiceJson(await invoiceOf(billing, one.id))))
})

t.test("the projection carries sums forward, keeps the rest, and has its amounts from the rules", async (t) => {
  interface Quoted {
    readonly total: string
    readonly lines: ReadonlyArray<{ readonly charge: string; readonly quantity: string; readonly amount: string }>
  }
  const { json } = await ask("/accounts/ada/projection")
  const [one] = json["subscriptions"] as ReadonlyArray<{ readonly soFar: Quoted; readonly projected: Quoted; readonly until: string }>
  t.equal(one?.until, "2025-02-15T00:00:00Z")
  const of = (quoted: Quoted | undefined, charge: string): ReadonlyArray<string | undefined> => {
    const line = quoted?.lines.find((each) => each.charge === charge || each.charge.endsWith(`/${charge}`))
    return [line?.quantity, line?.amount]
  }
  t.strictSame(of(one?.soFar, "calls"), ["100", "5.00"])
  // 14 of February's 28 days are over.
  t.strictSame(of(one?.projected, "calls"), ["200", "10.00"])
  t.strictSame(of(one?.projected, "base"), ["1", "20.00"])
  t.strictSame(of(one?.projected, "peak"), of(one?.soFar, "peak"), "the greatest one stays")
  t.strictSame(of(one?.projected, "exports"), of(one?.soFar, "exports"), "so do different ones")
  t.strictSame(of(one?.projected, "exports"), ["4", "2.00"])
  const [same] = await projectionOf(billing, "ada", noon)
  t.strictSame(json["subscriptions"], plain([{ ...same, span: { start: "2025-02-01T00:00:00Z", end: "2025-03-01T00:00:00Z" }, until: instantText(noon) }]))
  const { text } = await ask("/accounts/ada/projection.html")
  t.match(text, "in proportion to the time of the period that is over")
  t.match(text, one?.projected.total ?? "no total")
})

t.test("lists come in parts that add up to all, each with where the next is", async (t) => {
  const few = await start({ limits: { pageMax: 1, tokenBurst: 1_000, addressBurst: 1_000 } })
  const some = await start({ limits: { pageMax: 13 } })
  const walk = async (
    on: typeof few,
    max: number,
    path: string,
    token: string,
    read: (answer: Answered) => ReadonlyArray<unknown>,
  ): Promise<ReadonlyArray<unknown>> => {
    const found: Array<unknown> = []
    for (let next: string | undefined = path; next !== undefined;) {
      const answer: Answered = await on.ask(next, token)
      t.equal(answer.status, 200, next)
      const part = read(answer)
      t.ok(part.length <= max)
      found.push(...part)
      next = /^<(.*)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1]
    }
    return found
  }
  const of = (name: string) => (answer: Answered) => answer.json[name] as ReadonlyArray<unknown>
  t.strictSame(await walk(few, 1, "/accounts/ada/invoices", adas, of("invoices")), (await invoicesOf(adas, "ada")).invoices)
  t.strictSame(await walk(few, 1, "/accounts", alls, of("accounts")), (await ask("/", alls)).json["accounts"])
  const { invoice } = await invoiceOf(billing, january?.id ?? "")
  for (const charge of ["calls", "gpu", "base"]) {
    const place = invoice.lines.findIndex((line) => line.charge === charge || line.charge.endsWith(`/${charge}`))
    const behind: Array<Behind> = []
    for await (const one of usageBehind(billing, invoice, place)) behind.push(one)
    t.equal(behind.length, { calls: 130, gpu: 3, base: 0 }[charge], charge)
    const path = `/accounts/ada/invoices/${number}/lines/${place + 1}/usage`
    const lines = await walk(some, 13, `${path}.jsonl`, adas, ({ text }) =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as unknown),
    )
    t.equal(lines.length, behind.length)
    t.equal(new Set(lines.map((line) => (line as { id: string }).id)).size, behind.length)
    t.strictSame((await walk(some, 13, path, adas, of("usage"))).length, behind.length)
  }
  // A page that reads less than it shows goes on where it stopped, also with nothing on it.
  const short = await start({ limits: { readMax: 20 } })
  const gpu = invoice.lines.findIndex((line) => line.charge.endsWith("gpu"))
  let [pages, count, next]: [number, number, string | null] = [0, 0, `/accounts/ada/invoices/${number}/lines/${gpu + 1}/usage`]
  while (next !== null) {
    const { json }: Answered = await short.ask(next)
    pages++
    count += (json["usage"] as ReadonlyArray<unknown>).length
    next = json["next"] as string | null
  }
  t.equal(count, 3)
  t.ok(pages > 5, `${pages} pages`)
})

t.test("pages hold what outsiders named as text, have no script, and a policy that lets none run", async (t) => {
  const pages = ["/accounts", "/accounts/ada/usage", "/accounts/ada/projection", "/accounts/ada/invoices", `/accounts/ada/invoices/${number}`]
  const { invoice } = await invoiceOf(billing, january?.id ?? "")
  const lines = invoice.lines.map((_, i) => `/accounts/ada/invoices/${number}/lines/${i + 1}/usage`)
  const empty = new Set(["meta", "br", "img"])
  for (const path of [...pages, ...lines]) {
    const { headers, status, text } = await ask(path, alls, { headers: { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" } })
    t.equal(status, 200, path)
    t.equal(headers.get("content-type"), "text/html; charset=utf-8")
    t.equal((await ask(`${path}.html`, alls)).text, text, `${path} by its ending`)
    const style = /<style>(.*?)<\/style>/s.exec(text)?.[1] ?? ""
    const hash = createHash("sha256").update(style).digest("base64")
    t.equal(
      headers.get("content-security-policy"),
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    t.strictSame([headers.get("x-content-type-options"), headers.get("cache-control"), headers.get("vary")], ["nosniff", "no-store", "accept, authorization"])
    const body = text.replace("<!doctype html>", "").replace(style, "")
    const { attributes, names } = wellFormed(body, empty)
    t.strictSame(
      [...names].filter((name) => /^(script|img|iframe|object|embed|link|base|form|input)$/.test(name)),
      [],
      path,
    )
    t.strictSame(
      [...attributes].filter((name) => /^(on.*|style|src|srcdoc)$/.test(name)),
      [],
      path,
    )
  }
  t.match((await ask("/accounts/ada/usage.html")).text, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;img")
  const page = (await ask(`/accounts/ada/invoices/${number}.html`)).text
  for (const [i, line] of invoice.lines.entries())
    if (line.meter !== undefined) t.match(page, `<a href="/accounts/ada/invoices/${number}/lines/${i + 1}/usage">`, "a line leads to its usage")
})

t.test("a page is answered to who prefers one, JSON to all others", async (t) => {
  for (const [accept, type] of [
    ["text/html", "text/html; charset=utf-8"],
    ["application/json", "application/json"],
    ["*/*", "application/json"],
    ["text/html;q=0.5, application/json", "application/json"],
    ["text/html;q=0", "application/json"],
    ["application/json;q=0.2,text/html", "text/html; charset=utf-8"],
  ] as const)
    t.equal((await ask("/accounts/ada/usage", adas, { headers: { accept } })).headers.get("content-type"), type, accept)
})

t.test("the chart is SVG of its own: titles, a bar a day, sizes in proportion", async (t) => {
  const { text } = await ask("/accounts/ada/usage.html?from=2025-01-01&to=2025-01-31")
  const [svg = "", events = ""] = text.match(/<svg.*?<\/svg>/gs) ?? []
  wellFormed(events, new Set())
  t.match(events, /aria-labelledby="events-title events-text"/, "single events have one of their own")
  wellFormed(svg, new Set())
  t.match(svg, 'role="img" aria-labelledby="chart-title chart-text"')
  t.match(svg, '<title id="chart-title">Calls a day, 2025-01-01 to 2025-01-31</title>')
  t.match(svg, '<desc id="chart-text">130 calls in 31 days')
  t.equal(svg.match(/<g><title>/g)?.length, 31)
  const cost = (await ask("/accounts/ada/projection.html")).text.match(/<svg.*?<\/svg>/gs) ?? []
  t.equal(cost.length, 1, "projected cost has one, of each subscription")
  wellFormed(cost[0] ?? "", new Set())
  t.match(cost[0], /aria-labelledby="cost-1-title cost-1-text".*<title>[^<]+: [\d.,]+ by now, [\d.,]+ by its end<\/title>/s)
  const drawn = bars(
    [
      { name: hostile, value: 10n, part: 0n },
      { name: "b", value: 5n, part: 5n },
      { name: "c", value: 2n ** 90n, part: 0n },
    ],
    { title: hostile, description: hostile, label: ({ name }) => name },
  )
  t.notMatch(wellFormed(drawn, new Set()).names.has("script"), true)
  const half = bars([{ name: "a", value: 100n, part: 50n }], { title: "", description: "", label: () => "" })
  const heights = [...half.matchAll(/<rect class="(bar|part)".*?height="([\d.]+)"/g)].map(([, name, height]) => [name, height])
  t.strictSame(heights, [
    ["bar", "100"],
    ["part", "100"],
  ])
  t.doesNotThrow(() => bars([], { title: "", description: "", label: () => "" }), "of nothing")
  for (const max of [0n, 1n, 4n, 5n, 9n, 100n, 101n, 12_345n, 10n ** 30n]) {
    const step = stepOf(max)
    t.ok(step * 4n >= max && (max < 5n || step < max), `${max}: ${step}`)
  }
})

t.test("it can be mounted, and its links say where", async (t) => {
  const mounted = await billingService({ billing, tokens, basePath: "/money/", clock: () => noon })
  const app = new Hono().route("/money", mounted.app)
  const asked = (path: string): Promise<Response> => Promise.resolve(app.request(path, { headers: { authorization: `Bearer ${alls}` } }))
  const page = await (await asked("/money/accounts/ada/invoices.html")).text()
  t.match(page, `href="/money/accounts/ada/invoices/${number}"`)
  t.equal((await asked(`/money/accounts/ada/invoices/${number}`)).status, 200)
  const bare = await mounted.fetch(new Request("http://x/accounts/ada/usage", { headers: { authorization: `Bearer ${adas}` } }))
  t.equal(bare.status, 200)
})

t.test("options, rates, headers and the end are as those of the service of plugins", async (t) => {
  for (const options of [
    { tokens: {} },
    { tokens: { short: "ada" } },
    { tokens: { [adas]: "../ada" } },
    { tokens, token: "x" },
    { tokens, limits: { pageMax: -1 } },
  ])
    await t.rejects(billingService({ billing, ...options } as never), { name: "ConfigError" }, JSON.stringify(options))
  const few = await start({ limits: { tokenRate: 1, tokenBurst: 1, headerBytesMax: 4_000 } })
  const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await few.ask("/accounts")).status))
  t.ok(statuses.includes(429), statuses.join())
  t.equal((await few.ask("/accounts", bobs)).status, 200, "each token has a rate of its own")
  const long = await few.http.fetch(new Request("http://x/", { headers: { authorization: `Bearer ${alls}`, x: "y".repeat(5_000) } }))
  t.equal(long.status, 431)
  t.equal(await few.http.drain(1_000), true)
  t.equal((await few.http.fetch(new Request("http://x/", { headers: { authorization: `Bearer ${bobs}` } }))).status, 503)
})
