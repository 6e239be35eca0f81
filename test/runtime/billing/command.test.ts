/** From a price list to a verified invoice by the command line alone, on a store with a month of calls. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { book } from "../../../runtime/billing/ledger.ts"
import { jsonError, main, stele as run } from "../command-line.ts"
import { calls, keep } from "./usage.ts"

t.setTimeout(240_000)
const folder = await mkdtemp(join(tmpdir(), "stele-billing-"))
t.teardown(() => rm(folder, { recursive: true }))
const path = join(folder, "books.db")
const store = await SqliteStore.open(path)
// A month that is over, whenever this runs; one is billed two hours after it.
const now = new Date(Date.now() - 3 * 3_600_000)
const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 2, 1))
const next = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1))
const day = (date: Date): string => date.toISOString().slice(0, 10)
await keep(store, "ada", calls("ada", day(month), day(next), 1_500))
await store.close()

const stele = (...args: ReadonlyArray<string>) => run(args, { env: { STELE_STORAGE: `sqlite:${path}` }, cwd: process.cwd() })
/** A command that goes on, and the first line that it says. */
function begin(...args: ReadonlyArray<string>) {
  const env = { ...process.env, STELE_STORAGE: `sqlite:${path}`, STELE_TOKEN_FILE: join(folder, "token") }
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "inherit"], env })
  return { child, line: once(child.stdout, "data").then(([data]) => String(data)) }
}
const json = (...args: ReadonlyArray<string>): Readonly<Record<string, unknown>> => {
  const ended = stele(...args, "--json")
  if (ended.code !== 0) throw new Error(`${args.join(" ")}: ${ended.stdout}${ended.stderr}`)
  return JSON.parse(ended.stdout) as Readonly<Record<string, unknown>>
}

t.test("prices, an account and a subscription are added, and shown again", async (t) => {
  t.match(json("prices", "add", "executions-2025"), { added: { name: "executions-2025", digest: /^sha256:/ } })
  t.match(stele("prices", "list").stdout, /^executions-2025\s+1\s+USD\s+[0-9a-f]{12}\s+community, professional,\s+enterprise$/m)
  t.match(json("account", "add", "ada", "--currency", "USD", "--tax", "vat=20", "--dry-run"), { wouldAdd: { id: "ada" } })
  t.equal(stele("account", "list").stdout, "No accounts\n", "a dry run keeps nothing")
  t.match(json("account", "add", "ada", "--currency", "USD", "--title", "Ada & Co", "--tax", "vat=20"), { added: { id: "ada", zone: "UTC", tenants: ["ada"] } })
  t.match(jsonError(stele("account", "subscribe", "ada", "--prices", "nothing", "--plan", "professional", "--start", day(month), "--json")), {
    code: "STELE-CFG-0003",
  })
  const agreed = ["account", "subscribe", "ada", "--prices", "executions-2025", "--plan", "professional", "--start", day(month)] as const
  t.match(json(...agreed, "--dry-run"), { wouldSubscribe: { id: "ada-professional" } })
  t.match(json(...agreed), {
    subscription: { id: "ada-professional", plan: "professional", sequence: 0 },
  })
  t.match(stele("account", "show", "ada").stdout, /^ada-professional professional: .* is next, invoice 0$/m)
  const add = (...args: ReadonlyArray<string>) => stele("account", "add", "ada", "--dry-run", ...args)
  t.match(stele("account", "add", "eve", "--currency", "eur"), { code: 2, stderr: /a code of ISO 4217 such as EUR, or the unit of a price list/ })
  t.match(stele("account", "add", "eve", "--currency", "EUR", "--tax", "vat=-20"), { code: 2, stderr: /PERCENT from 0 to 100/ })
  t.equal(add("--zone", "Europe/Vienna", "--tax", "none").stdout, "Would change ada: zone UTC -> Europe/Vienna, taxes vat 20 % -> none\n")
  t.equal(add("--currency", "USD").stdout, "ada is so already\n", "what is not given stays as it is")
  t.match(stele(...agreed, "--as", "x", "--quantity", "seats=3"), { code: 2, stderr: /no charge "seats" with a number/ })
  t.match(stele("account", "show", "eve"), { code: 4, stderr: /Cannot find the account "eve".*stele account list/s })
})

t.test("invoices are issued, listed, shown down to the records behind a line", async (t) => {
  t.match(json("invoice", "issue", "ada-professional"), { isNew: true, invoice: { number: "INV-000001", totals: { payable: "118.80" } } })
  t.match(stele("invoice", "issue", "ada-professional").stdout, /^Issued INV-000002: /)
  const { invoices } = json("invoice", "list") as { readonly invoices: ReadonlyArray<object> }
  t.match(invoices, [{ number: "INV-000001", account: "ada", status: "issued" }, { number: "INV-000002" }])
  const shown = stele("invoice", "show", "INV-000002").stdout
  t.match(shown, /^account\s+Ada & Co$/m)
  t.match(shown, /^vat 20 %\s+[\d.,]+ USD$/m)
  const line = json("invoice", "show", "INV-000002", "--line", "5") as { readonly explanation: ReadonlyArray<string>; readonly usage: object }
  t.ok(line.explanation.length > 0, line.explanation.join("; "))
  t.match(line.usage, { records: 1_500, events: 0 })
  const records = stele("invoice", "show", "INV-000002", "--line", "5", "--records").stdout.trimEnd().split("\n")
  t.equal(records.length, 1_500)
  t.match(JSON.parse(records[0] as string), { tenant: "ada", export: /^acme:/, at: new RegExp(`^${day(month)}`) })
  t.match(stele("invoice", "show", "INV-000002", "--line", "99"), { code: 2, stderr: /a line's number from 1 to/ })
  t.match(stele("invoice", "show", "INV-000009"), { code: 4 })
})

t.test("a draft is shown and issued as it was shown; money moves once, and a dry run moves none", async (t) => {
  t.match(json("account", "add", "bob", "--currency", "USD"), { added: { id: "bob" } })
  json("account", "subscribe", "bob", "--prices", "executions-2025", "--plan", "professional", "--start", day(month))
  const { digest } = json("invoice", "issue", "bob-professional", "--dry-run") as { readonly digest: string }
  t.match(json("invoice", "issue", "bob-professional", "--draft", digest), { isNew: true, invoice: { number: "INV-000003" } })
  const credit = ["invoice", "credit", "INV-000003", "--line", "1=9", "--as", "gift", "--reason", "A gift"] as const
  t.match(json(...credit, "--dry-run"), { wouldCredit: { total: "9.00", settled: "9.00", wallet: "0.00", lines: [{ line: 1 }] } })
  t.match(json(...credit), { credit: { number: "CN-INV-000001", total: "9.00" } })
  t.match(json("invoice", "show", "CN-INV-000001"), { number: "CN-INV-000001", invoiceNumber: "INV-000003", total: "9.00" })
  t.match(stele("invoice", "show", "INV-000003").stdout, /credited +9\.00 USD by CN-INV-000001/)
  const beyond = (line: string) => stele("invoice", "credit", "INV-000003", "--line", line, "--as", "more", "--reason", "More").stderr
  t.match(beyond("1=500"), /90(\.00)? that are left of line 1$/m)
  t.match(beyond("99=1"), /Cannot use 99 as "--line": expected a line's number from 1 to/)
  const pay = ["invoice", "pay", "INV-000003", "--provider", "test"] as const
  t.match(stele(...pay, "--dry-run").stdout, /^Would charge 90.00 USD for INV-000003 by the provider "test"$/m)
  t.match(stele(...pay).stdout, /^Charged 90.00 USD .*which moves no money$/m)
  // 500 of the smallest unit are 500 yen, and no unit of a price list has digits that everybody knows.
  const books = await SqliteStore.open(path)
  const postings = [
    { account: "cash/test", currency: "JPY", amount: 500n },
    { account: "payable/eve", currency: "JPY", amount: -500n },
  ] as const
  await book({ store: books, entity: "default" }, { id: "yen", at: 1n, memo: "", reference: { kind: "adjustment", id: "yen" }, postings })
  await books.close()
  const payout = ["payout", "--provider", "test", "--dry-run"] as const
  t.match(json(...payout, "--currency", "JPY"), { wouldPayOut: [{ creator: "eve", amount: "500" }] })
  t.match(stele(...payout, "--currency", "credits"), { code: 2, stderr: /--exponent/ })
})

t.test("a subscription is changed by a command, first as a trial", async (t) => {
  t.match(json("prices", "add", "units-2025"), { added: { name: "units-2025" } })
  const bob = ["account", "change", "bob-professional"] as const
  t.match(stele(...bob, "--resume"), { code: 2, stderr: /bob-professional is not paused then/ })
  t.match(
    stele(...bob, "--cancel", "--at-period-end", "--at", day(next), "--dry-run").stdout,
    /^Would change .* is next, invoice 1, cancelled, ends at [-\d]+T00:00:00Z$/m,
  )
  const move = ["account", "change", "bob-professional", "--prices", "units-2025", "--plan", "starter", "--at-period-end"] as const
  const at = ["--at", day(next)] as const
  t.match(json(...move, ...at, "--dry-run"), { wouldEnd: { successor: "bob-professional.2" }, successor: { plan: "starter", predecessor: "bob-professional" } })
  t.match(stele(...move, ...at).stdout, /^Changed bob-professional to units-2025 starter as bob-professional\.2, from .* on$/m)
  t.match(stele("account", "show", "bob").stdout, /goes on as bob-professional\.2$/m)
})

t.test("`stele invoice run` issues what is due, and says what that is before", async (t) => {
  const { wouldBill } = json("invoice", "run", "--dry-run") as { readonly wouldBill: ReadonlyArray<{ readonly subscription: string }> }
  t.strictSame(
    wouldBill.map(({ subscription }) => subscription),
    ["ada-professional", "bob-professional", "bob-professional.2"],
  )
  const { failed, issued } = json("invoice", "run") as { readonly issued: ReadonlyArray<string>; readonly failed: ReadonlyArray<object> }
  t.strictSame(failed, [])
  t.strictSame([...new Set(issued.map((id) => id.replace(/\.\d+T.*$/, "")))].toSorted(), wouldBill.map(({ subscription }) => subscription).toSorted())
})

t.test("`stele usage --account` says what was used by day, and what it will have cost", async (t) => {
  const found = json("usage", "--account", "ada", "--from", day(month), "--to", day(next)) as { readonly days: ReadonlyArray<object>; readonly method: string }
  t.match(found, {
    account: "ada",
    zone: "UTC",
    total: { calls: "1500", events: "0" },
    events: [],
    subscriptions: [{ subscription: "ada-professional", currency: "USD" }],
  })
  t.match(found.method, /estimate/)
  const shown = stele("usage", "--account", "ada", "--from", day(month), "--to", day(next)).stdout
  t.match(shown, /^all\s+1,500/m)
  t.match(shown, /^ada-professional professional, .* in USD$/m)
})

t.test("a store or an account that is not there is no empty one, and is not made; what is wrong in stele.json is shown where", async (t) => {
  const typo = join(folder, "typo.db")
  t.match(stele("invoice", "list", "--storage", `sqlite:${typo}`), { code: 69, stderr: /typo\.db/ })
  const month10 = ["--plan", "professional", "--month", "2026-10", "--tenant", "ada"]
  t.match(stele("prices", "simulate", "executions-2025", ...month10, "--storage", `sqlite:${typo}`), { code: 69, stderr: /typo\.db/ })
  await t.rejects(readFile(typo), { code: "ENOENT" })
  t.match(stele("invoice", "list", "--account", "nope"), { code: 4, stderr: /Cannot find the account "nope"/ })
  await writeFile(join(folder, "stele.json"), '{"plugins":{"billing":5}}')
  const broken = run(["prices", "check", "executions-2025"], { cwd: folder })
  t.match(broken, { code: 3, stderr: /^stele\.json:1:\d+ .*AUT-0001/s })
  await rm(join(folder, "stele.json"))
})

t.test("`stele invoice serve` shows the books to whoever has a token, by a browser's password, too", async (t) => {
  const file = join(folder, "ada.token")
  const server = begin("invoice", "serve", "--port", "0", "--account", `ada=${file}`, "--json")
  t.teardown(() => void server.child.kill())
  const { tokenFile, url } = JSON.parse(await server.line) as { readonly url: string; readonly tokenFile: string }
  const get = (path: string, authorization?: string) =>
    fetch(url + path, { headers: { accept: "text/html", ...(authorization === undefined ? {} : { authorization }) } })
  const refused = await get("/")
  t.match([refused.status, refused.headers.get("www-authenticate")], [401, /^Basic /])
  const basic = (token: string): string => `Basic ${Buffer.from(`anybody:${token}`).toString("base64")}`
  const adas = (await readFile(file, "utf8")).trim()
  const own = await get("/accounts/ada/invoices", basic(adas))
  t.match([own.status, await own.text()], [200, /INV-000002/])
  t.equal((await get("/accounts/bob/invoices", basic(adas))).status, 404)
  const all = await get("/", basic((await readFile(tokenFile, "utf8")).trim()))
  t.match([all.status, await all.text()], [200, /bob/])
  server.child.kill("SIGTERM")
  t.equal((await once(server.child, "exit"))[0], 0)
})

t.test("an invoice is exported as JSON, CSV, HTML and a bundle, and verified", async (t) => {
  t.match(JSON.parse(stele("invoice", "export", "INV-000002").stdout), { number: "INV-000002", state: { status: "issued" } })
  const csv = stele("invoice", "export", "INV-000002", "--as", "csv").stdout.trimEnd().split("\r\n")
  t.equal(csv[0], "number,line,charge,attribute,title,from,to,quantity,amount,currency,meter")
  t.match(csv[1], /^"INV-000002",1,"professional\/base",,"Professional",/)
  const html = join(folder, "invoice.html")
  t.equal(stele("invoice", "export", "INV-000002", "--as", "html", "-o", html).code, 0)
  const page = await readFile(html, "utf8")
  t.match(page, /<h1>Invoice INV-000002<\/h1>.*<dd>Ada &amp; Co<\/dd>/s)
  t.notMatch(page, /<script|https?:/)
  const bundle = join(folder, "2.bundle")
  const { digest } = json("invoice", "export", "INV-000002", "--as", "bundle", "-o", bundle) as { readonly digest: string }
  t.match(json("invoice", "verify", bundle, "--digest", digest), { verified: true, digest, invoice: { number: "INV-000002" }, sums: 4 })
  t.match(stele("invoice", "verify", bundle).stdout, /^verified invoice INV-000002, /)
  const bytes = await readFile(bundle)
  bytes[700] = (bytes[700] as number) ^ 1
  await writeFile(bundle, bytes)
  t.match(jsonError(stele("invoice", "verify", bundle, "--json")), { code: "STELE-BIL-0029" })
  t.match(stele("invoice", "export", "INV-000002", "-o", join(folder, "no/such.html")), { code: 2, stderr: /CFG-0002.*its folder is not there/s })
  t.match(stele("invoice", "export", "INV-000002", "-o", folder), { code: 2, stderr: /CFG-0002.*it is a folder/s })
  t.match(stele("invoice", "verify", join(folder, "none.bundle")), { code: 4, stderr: /PLG-0008.*fix: +check the path$/ms })
  t.match(stele("invoice", "verify", folder), { stderr: /PLG-0013.*it is a folder/s })
  t.match(stele("invoice", "serve", "--account", `carl=${join(folder, "no/such.token")}`), { code: 2, stderr: /its folder is not there/ })
  t.match(stele("invoice", "export", "INV-000002", "--as", "bundle"), { code: 2, stderr: /-o INV-000002\.bundle/ })
})

t.test("`stele estimate` says what usage would cost, and what is beyond a bound", async (t) => {
  t.match(json("estimate", "executions-2025", "--plan", "professional", "--meter", "executions=120000", "--meter", "compute=600"), {
    currency: "USD",
    total: "304.00",
    lines: [{ charge: "professional/base", amount: "99.00" }, { amount: "200.00" }, { amount: "5.00" }, {}, {}],
  })
  t.match(
    stele("estimate", "executions-2025", "--plan", "community", "--meter", "executions=1500").stdout,
    /community\/executions: 500 beyond 1,000, which would be refused/,
  )
  t.match(stele("estimate", "executions-2025", "--plan", "professional", "--meter", "execution=1"), { code: 2, stderr: /did you mean "executions"/ })
  t.match(jsonError(stele("estimate", "executions-2025", "--plan", "gold", "--json")), {
    code: "STELE-BIL-0002",
    message: /community, professional, enterprise$/,
  })
  const professional = ["estimate", "executions-2025", "--plan", "professional"] as const
  t.match(stele(...professional, "--meter", "executions=-5"), { code: 2, stderr: /of 0 or more/ })
  t.match(stele(...professional, "--quantity", "seats=3"), { code: 2, stderr: /no charge "seats" with a number.*it has base/s })
})

t.test("`stele prices simulate` rates a stored month and events of a file, and tells two lists apart", async (t) => {
  const before = (json("invoice", "list") as { readonly invoices: ReadonlyArray<object> }).invoices.length
  const stored = json(
    "prices",
    "simulate",
    "executions-2025",
    "--plan",
    "professional",
    "--month",
    day(month).slice(0, 7),
    "--storage",
    `sqlite:${path}`,
    "--tenant",
    "ada",
  )
  const { invoices } = json("invoice", "list") as { readonly invoices: ReadonlyArray<{ readonly number: string }> }
  t.equal(invoices.length, before, "nothing was issued")
  const { lines } = JSON.parse(stele("invoice", "export", "INV-000002").stdout) as {
    readonly lines: ReadonlyArray<{ readonly charge: string; readonly amount: string; readonly rating: number }>
  }
  const amounts = (all: ReadonlyArray<{ readonly charge: string; readonly amount: string }>) =>
    all.flatMap(({ amount, charge }) => (charge.endsWith("/base") ? [] : [`${charge} ${amount}`]))
  t.strictSame(amounts(stored["lines"] as never), amounts(lines), "the usage costs what its invoice says")
  const csv = join(folder, "events.csv")
  await writeFile(csv, 'name,at,id,quantity,region\nworkflow-execution,2026-10-03T00:00:00Z,a,120000,"eu, west"\nnetwork-bandwidth,2026-10-04,b,150.5,eu\n')
  const month10 = ["--plan", "professional", "--month", "2026-10", "--events", csv]
  t.match(json("prices", "simulate", "executions-2025", ...month10, "--against", "executions-2025", "--against-plan", "community"), {
    total: "304.05",
    events: 2,
    against: { plan: "community", total: "0.00" },
    difference: "-304.05",
  })
  const ndjson = join(folder, "events.jsonl")
  await writeFile(
    ndjson,
    '{"name":"workflow-execution","at":"2026-10-03","id":"a","quantity":"120000"}\n{"name":"workflow-execution","at":"2026-09-30","id":"b","quantity":"9"}\n',
  )
  t.match(
    json("prices", "simulate", "executions-2025", "--plan", "professional", "--month", "2026-10", "--events", ndjson),
    { total: "299.00" },
    "what is of another month is not in it",
  )
  const weekly = join(folder, "weekly.json")
  const charges = [
    { id: "base", price: { model: "flat", amount: "7" } },
    { id: "runs", meter: "runs", price: { model: "unit", price: "1" } },
  ]
  const meters = [{ id: "runs", unit: "run", aggregation: "sum", event: "workflow-execution" }]
  const plans = [{ id: "w", interval: { unit: "week", count: 1 }, align: "calendar", charges }]
  await writeFile(weekly, JSON.stringify({ name: "weekly", version: "1", currency: "USD", units: { run: { exponent: 0 } }, meters, plans }))
  await writeFile(
    ndjson,
    '{"name":"workflow-execution","at":"2026-10-06","id":"a","quantity":"3"}\n{"name":"workflow-execution","at":"2026-11-01","id":"b","quantity":"2"}\n',
  )
  t.match(
    json("prices", "simulate", weekly, "--plan", "w", "--month", "2026-10", "--events", ndjson),
    { total: "33.00", events: 2, periods: [{ start: "2026-10-05T00:00:00Z" }, {}, {}, { start: "2026-10-26T00:00:00Z", end: "2026-11-02T00:00:00Z" }] },
    "four weeks begin in October, each whole",
  )
  await writeFile(csv, "name,at\ncall,yesterday\n")
  t.match(jsonError(stele("prices", "simulate", "executions-2025", ...month10, "--json")), { code: "STELE-BIL-0006", data: { line: 2 } })
  t.match(stele("prices", "simulate", "executions-2025", "--plan", "professional", "--month", "2026-13", "--events", csv), {
    code: 2,
    stderr: /a month such as 2026-10/,
  })
  t.match(stele("prices", "simulate", "executions-2025", "--plan", "professional", "--month", "2026-10"), { code: 2, stderr: /--events FILE/ })
})
