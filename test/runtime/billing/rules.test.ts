/** Rules of an account's own, and rules that are stopped at every step: what they rate comes out the same, or nothing is written. */
import { readFile } from "node:fs/promises"
import t from "tap"
import {
  addCatalogue,
  type Billing,
  draftInvoice,
  type DraftValue,
  issue,
  lastNumber,
  openBilling,
  putAccount,
  record,
  runBilling,
  subscribe,
} from "../../../runtime/billing/mod.ts"
import { priceTable } from "../../../runtime/billing/catalogue.ts"
import { instantText } from "../../../schemas/billing/instant.ts"
import { mixed } from "./lists.ts"
import { at, calls, keep, openHost, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())
const ours = await readFile(new URL("../../../dist/plugins/billing.wasm", import.meta.url))
/** The same rules with another digest: a section that says nothing. */
const theirs = Buffer.concat([ours, Uint8Array.of(0, 5, 4, ...Buffer.from("mine"))])

async function opened(rules?: { readonly digest: string; readonly limits?: Readonly<Record<string, number>> }) {
  const store = storeAt("2026-01-10")
  // Pages so small that a month has many, and each is a batch of its own where rows are rated.
  const billing = openBilling({ host, store, entity: "acme", limits: { pageRecords: 64, batchRows: 32 } })
  const { digest } = await addCatalogue(billing, mixed)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", ...(rules === undefined ? {} : { rules }) })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01") })
  await issue(billing, "s")
  store.set("2026-02-01T01:00:00Z")
  await keep(store, "ada", calls("ada", "2026-01-02", "2026-02-01", 600, 1))
  for (let i = 0; i < 30; i++)
    await record(billing, { account: "ada", id: `p${i}`, at: at("2026-01-02") + BigInt(i) * 3_600_000_000n, name: "payment", quantity: `${10 + i}.5` })
  store.set("2026-02-01T03:00:00Z")
  return { billing, store, digest }
}
const textOf = (draft: DraftValue): string => JSON.stringify(draft, (_key, value: unknown) => (typeof value === "bigint" ? instantText(value) : value))

t.test("an account's own rules decide for it alone, under its own limits, and their digest is on its invoices", async (t) => {
  const digest = await host.store(theirs)
  const { billing, store } = await opened({ digest, limits: { memoryBytesMax: 64 << 20 } })
  const { invoice } = await issue(billing, "s")
  t.equal(invoice?.rules, digest)
  t.equal(invoice?.account.rules?.digest, digest)
  await putAccount(billing, { id: "eve", zone: "UTC", currency: "EUR" })
  await subscribe(billing, { id: "s2", account: "eve", catalogue: invoice?.catalogue.digest ?? "", plan: "small", start: at("2026-01-01") })
  const other = await issue(billing, "s2")
  t.not(other.invoice?.rules, digest)
  const missing = `sha256:${"0".repeat(64)}`
  await t.rejects(putAccount(billing, { id: "zoe", zone: "UTC", currency: "EUR", rules: { digest: missing } }), {
    code: "STELE-BIL-0022",
    message: /STELE-PLG-0008/,
  })
  const foreign = await host.store(await readFile(new URL("../../../plugins/examples/greeter/build/greeter.wasm", import.meta.url)))
  await t.rejects(putAccount(billing, { id: "zoe", zone: "UTC", currency: "EUR", rules: { digest: foreign } }), {
    code: "STELE-BIL-0022",
    message: /STELE-RPL-0002/,
  })
  await t.rejects(putAccount(billing, { id: "zoe", zone: "UTC", currency: "EUR", rules: { digest, limits: { memory: 1 } } }), {
    code: "STELE-BIL-0016",
    message: /memory/,
  })
  // Limits under which they cannot describe a list.
  await putAccount(billing, { id: "zoe", zone: "UTC", currency: "EUR", rules: { digest, limits: { outputBytesMax: 64 } } })
  await t.rejects(subscribe(billing, { id: "s3", account: "zoe", catalogue: invoice?.catalogue.digest ?? "", plan: "small", start: at("2026-01-01") }), {
    code: "STELE-BIL-0023",
  })
  t.equal(await lastNumber(billing, "INV"), 3)
  t.strictSame(await store.check(), [])
  await billing.close()
})

/** Ends the n-th call of the rules that has begun by a deadline that is over at once, which takes their instance and all it holds. */
async function stopping(billing: Billing, catalogue: string, times: number): Promise<{ at(n: number): void; readonly calls: number }> {
  const { rules } = await priceTable(billing, catalogue, { id: "ada" })
  const ask = rules.ask.bind(rules)
  let [left, calls] = [-1, 0]
  rules.ask = (async (method: never, args: never) => {
    calls++
    if (left >= 0 && left < times) {
      left--
      // `drop`s and the like have no name here: only calls that rate are stopped.
      // A short call may be over before a busy machine's watchdog looks: it is made until one is stopped, and the instance goes.
      if (left < 0 || times > 1) for (;;) await rules.plugin.call(`stele:billing/charging#${String(method)}` as never, args, { deadlineMs: 1e-9 })
    } else if (left >= times) left--
    return ask(method, args)
  }) as typeof rules.ask
  return {
    at(n) {
      left = n + times - 1
      calls = 0
    },
    get calls() {
      return calls
    },
  }
}

t.test("rules that are stopped at any call of a rating are made again, and the invoice is the same", async (t) => {
  const { billing, digest } = await opened()
  const wanted = textOf(await draftInvoice(billing, "s"))
  const stop = await stopping(billing, digest, 1)
  stop.at(1_000_000)
  await draftInvoice(billing, "s")
  const all = stop.calls
  t.comment(`${all} calls`)
  t.ok(all > 20)
  let same = 0
  for (let n = 0; n < all; n++) {
    stop.at(n)
    if (textOf(await draftInvoice(billing, "s")) === wanted) same++
  }
  t.equal(same, all)
  await billing.close()
})

t.test("rules that are stopped again and again bill nothing, and the run goes on with the others", async (t) => {
  const { billing, digest, store } = await opened()
  await putAccount(billing, { id: "eve", zone: "UTC", currency: "EUR", rules: { digest: await host.store(theirs) } })
  await subscribe(billing, { id: "t", account: "eve", catalogue: digest, plan: "small", start: at("2026-01-01") })
  const stop = await stopping(billing, digest, 1_000)
  stop.at(0)
  const report = await runBilling(billing)
  t.match(report, {
    issued: ["t.20260101T000000Z.0", "t.20260101T000000Z.1"],
    failed: [{ subscription: "s", error: { code: "STELE-BIL-0023", isRetryable: true } }],
  })
  t.equal(await lastNumber(billing, "INV"), 3, "one from before, and two")
  stop.at(1_000_000)
  t.match(await runBilling(billing), { issued: ["s.20260101T000000Z.1"], failed: [] })
  t.strictSame(await store.check(), [])
  await billing.close()
})
