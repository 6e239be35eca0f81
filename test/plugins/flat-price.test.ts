/** Somebody else's billing rules, the example of sixty lines: in the place of ours for a host, by a command's flag, by `stele.json`, for one account alone. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { addCatalogue, draftInvoice, invoiceOf, issue, openBilling, putAccount, subscribe } from "../../runtime/billing/mod.ts"
import { trialBalance } from "../../runtime/billing/ledger.ts"
import { Rules } from "../../runtime/billing/rules.ts"
import { build } from "../../runtime/author/build.ts"
import { openProject } from "../../runtime/author/project.ts"
import { openTools } from "../../runtime/author/tools.ts"
import { Host } from "../../runtime/mod.ts"
import { at, calls, keep, storeAt } from "../runtime/billing/usage.ts"
import { root, stele } from "../runtime/command-line.ts"

t.setTimeout(240_000)

const folder = await mkdtemp(join(tmpdir(), "stele-flat-"))
const project = join(folder, "flat-price")
await cp(join(root, "plugins/examples/flat-price"), project, { recursive: true, filter: (path) => !/[/\\](?:build|bindings)$/u.test(path) })
await symlink(join(root, "node_modules"), join(folder, "node_modules"))
const tools = openTools()
const component = await build(await openProject(project), tools)
await tools[Symbol.asyncDispose]()
const path = join(folder, "rules.wasm")
const list = join(folder, "flat.txt")
await writeFile(path, component)
// Two cents a call, a thousand are free.
await writeFile(list, "EUR 2 1000")
t.teardown(() => rm(folder, { recursive: true }))

const month = 30n * 86_400_000_000n

t.test("it has sixty lines of its own", async (t) => {
  const source = await readFile(join(project, "src/plugin.as.ts"), "utf8")
  const lines = source.split("\n").filter((line) => !/^\s*(?:\/\/.*|\/\*\*.*|import .*)?$/.test(line))
  t.ok(lines.length <= 60, `${lines.length} lines besides imports and comments`)
})

t.test("a host's replacement bills usage, period after period, and what came late", async (t) => {
  await using host = await Host.open({ plugins: { billing: component } })
  const store = storeAt("2026-01-01")
  await using billing = openBilling({ host, store, entity: "acme" })
  await putAccount(billing, { id: "ada", zone: "Europe/Vienna", currency: "EUR" })
  const { description, digest } = await addCatalogue(billing, "EUR 2 1000")
  t.match(description, { name: "flat-price", currency: "EUR", plans: ["flat"] })
  await t.rejects(addCatalogue(billing, "EUR 2.5 1000"), { code: "STELE-BIL-0017" }, "its own mistakes are told")
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "flat", start: at("2026-01-01") })
  t.equal((await issue(billing, "s")).invoice, undefined, "nothing is due in advance")
  const end = at("2026-01-01") + month
  store.set("2026-01-31T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-01-01", "2026-01-31", 1_500))
  const { invoice } = await issue(billing, "s")
  t.match(invoice, {
    period: { start: at("2026-01-01"), end },
    totals: { net: "10.00", tax: "0.00", payable: "10.00" },
    lines: [{ charge: "flat/calls", quantity: "1500", amount: "10.00" }],
  })
  t.equal((await invoiceOf(billing, invoice?.id ?? "")).state.status, "issued")
  t.strictSame(
    (await trialBalance(billing)).balances.map(({ account, amount }) => `${account} ${amount}`),
    ["receivable/ada 1000", "revenue/sales -1000"],
  )
  // A hundred more of the first period, and two of the second.
  store.set("2026-03-02T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-01-10T00:00:00.001Z", "2026-01-11", 100, 7))
  await keep(store, "ada", calls("ada", "2026-02-05", "2026-02-06", 1_002, 8))
  const next = await draftInvoice(billing, "s")
  t.strictSame(
    next.lines.map(({ amount, quantity }) => `${quantity} ${amount}`),
    ["1600 2.00", "1002 0.04"],
  )
})

t.test("it may have one account alone, beside our rules", async (t) => {
  await using host = await Host.open()
  const rules = { digest: await host.store(component) }
  const store = storeAt("2026-01-01")
  await using billing = openBilling({ host, store, entity: "acme" })
  const flat = await addCatalogue(billing, "EUR 3 10", { rules })
  const ours = await addCatalogue(billing, await readFile(join(root, "schemas/billing/executions-2025.json"), "utf8"))
  await putAccount(billing, { id: "flat", zone: "UTC", currency: "EUR", rules })
  await putAccount(billing, { id: "usual", zone: "UTC", currency: "USD" })
  await subscribe(billing, { id: "a", account: "flat", catalogue: flat.digest, plan: "flat", start: at("2026-01-01") })
  await subscribe(billing, { id: "b", account: "usual", catalogue: ours.digest, plan: "professional", start: at("2026-01-01") })
  await issue(billing, "a")
  await issue(billing, "b")
  store.set("2026-02-01T03:00:00Z")
  for (const tenant of ["flat", "usual"]) await keep(store, tenant, calls(tenant, "2026-01-01", "2026-01-30", 110))
  const [a, b] = [await issue(billing, "a"), await issue(billing, "b")]
  t.equal(a.invoice?.totals.payable, "3.00")
  t.equal(a.invoice?.rules, rules.digest)
  t.not(b.invoice?.rules, rules.digest)
})

t.test("what it does not offer is refused, and nothing is changed", async (t) => {
  await using host = await Host.open({ plugins: { billing: component } })
  const rules = await Rules.open(host)
  const catalogue = await rules.compile("EUR 2 1000")
  const none = { quantities: [], billed: [] }
  const start = at("2026-01-01")
  const subscription = { id: "s", plan: "flat", start, trialEnd: undefined, anchorDay: undefined, zone: "UTC", quantities: [], changes: [] }
  const unsupported = { code: "STELE-BIL-0002", reason: { kind: "unsupported" } }
  await t.rejects(rules.ask("[method]catalogue.estimate", [catalogue, "flat", [], [], none, false]), unsupported)
  await t.rejects(rules.ask("[method]catalogue.allocate", [catalogue, { high: 0n, low: 1n, scale: 2 }, []]), unsupported)
  const rater = await rules.ask("[static]rater.start", [catalogue, subscription, { start, end: start + month }, [], none])
  const sums = (low: bigint) => [{ meter: 0, attribute: undefined, quantity: { high: 0n, low, scale: 0 }, events: low }]
  await rules.ask("[method]rater.add-aggregates", [rater, sums(1_100n)])
  await t.rejects(rules.ask("[method]rater.add-aggregates", [rater, sums(2n ** 63n)]), { code: "STELE-BIL-0002", reason: { kind: "limit" } })
  const again = await rules.ask("[static]rater.restore", [catalogue, await rules.ask("[method]rater.snapshot", [rater])])
  const finished = async (one: typeof rater) => (await rules.ask("[method]rater.finish", [one, true])).map(({ amount, quantity }) => [quantity.low, amount.low])
  t.strictSame(await finished(rater), [[1_100n, 200n]])
  t.strictSame(await finished(again), await finished(rater), "from its snapshot")
})

t.test("a command's flag and `stele.json` put it in our place", async (t) => {
  const byFlag = stele(["prices", "check", list, "--plugin", `billing=${path}`])
  t.match(byFlag, { code: 0, stdout: /flat-price 1, EUR: flat/ })
  await writeFile(join(folder, "stele.json"), JSON.stringify({ plugins: { billing: "./rules.wasm" } }))
  t.match(stele(["prices", "check", list], { cwd: folder }), { code: 0, stdout: /flat-price 1, EUR: flat/ })
  t.match(stele(["prices", "check", list]), { code: 3 }, "ours cannot read its list")
})
