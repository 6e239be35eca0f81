/** Hard caps of a price list on a running host: calls are admitted, settled and refused by what their account's plan bounds; what a call would cost. */
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host } from "../../../host/mod.ts"
import { cappedAdmission, type CapWarning } from "../../../runtime/billing/admission.ts"
import { costOfCall } from "../../../runtime/billing/call-cost.ts"
import { priceTable } from "../../../runtime/billing/catalogue.ts"
import { decimal, decimalText, readDecimal } from "../../../runtime/billing/decimal.ts"
import { addCatalogue, type Billing, changeSubscription, openBilling, putAccount, subscribe } from "../../../runtime/billing/mod.ts"
import { checkCaps, Reserver, useOfCap } from "../../../runtime/billing/reserve.ts"
import { PluginError } from "../../../schemas/error/plugin.ts"
import { writeGuests } from "../../host/embedding-guests.ts"
import { at, calls, keep, openHost, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const core = await openHost()
t.teardown(() => core[Symbol.asyncDispose]())
const folder = await mkdtemp(join(tmpdir(), "stele-admission-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)
const text = await readFile(fileURLToPath(new URL("../../../schemas/billing/executions-2025.json", import.meta.url)), "utf8")

/** The list with other bounds of its free plan. */
function bounded(upTo: Readonly<Record<string, string>>, policy: "block" | "warn" = "block"): string {
  const list = JSON.parse(text) as { plans: Array<{ id: string; charges: Array<{ id: string; overage?: { upTo: string; policy: string } }> }> }
  for (const { charges, id } of list.plans)
    if (id === "community")
      for (const { id: charge, overage } of charges) if (overage !== undefined) Object.assign(overage, { upTo: upTo[charge] ?? overage.upTo, policy })
  return JSON.stringify(list)
}

async function opened(upTo: Readonly<Record<string, string>>, before?: (billing: Billing) => Promise<void>, onWarning?: (warning: CapWarning) => void) {
  const store = storeAt("2026-01-10")
  const billing = openBilling({ host: core, store, entity: "acme" })
  const { digest } = await addCatalogue(billing, bounded(upTo, onWarning === undefined ? "block" : "warn"))
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD", tenants: ["ada-1", "ada-2"] })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "community", start: at("2026-01-01") })
  await before?.(billing)
  const reserver = new Reserver(billing, { flushMs: 20, idleMs: 40 })
  const host = await Host.open({ cache: false, ports: { admission: cappedAdmission(billing, reserver, onWarning === undefined ? {} : { onWarning }) } })
  const load = (tenant: string, deadlineMs = 2_000) => host.load(join(folder, "basic.wasm"), { tenant, limits: { deadlineMs } })
  const cap = (charge: string, bound: bigint) =>
    useOfCap(billing, { account: "ada", charge: `s/community/${charge}`, period: { start: at("2026-01-01"), end: 0n }, upTo: bound, scale: 0, unit: "" })
  const close = async () => {
    await host.close()
    await reserver.close()
    await billing.close()
  }
  return { billing, digest, reserver, load, cap, close }
}

t.test("a cap begins with what was used of its period, once over all nodes, and not with what was before it", async (t) => {
  const used = async (billing: Billing) => {
    await keep(billing.store, "ada-1", calls("ada-1", "2026-01-02", "2026-01-09", 150, 3))
    await keep(billing.store, "ada-2", calls("ada-2", "2026-01-05", "2026-01-06", 47, 4))
    await keep(billing.store, "ada-1", calls("ada-1", "2025-12-20", "2025-12-30", 90, 5))
  }
  const { billing, cap, close, load, reserver } = await opened({ executions: "200" }, used)
  const plugins = [await load("ada-1"), await load("ada-2")]
  let answered = 0
  for (let i = 0; i < 6; i++)
    await plugins[i % 2]?.call("add", [1, 2]).then(
      () => answered++,
      (error: unknown) => t.match(error, { code: "STELE-PLG-0010" }),
    )
  t.equal(answered, 3, "197 were used")
  await reserver.flush()
  t.equal((await cap("executions", 200n)).used, 200n)
  t.strictSame(await checkCaps(billing), [])
  await close()
})

for (const what of ["its plan began", "its trial ended"] as const)
  t.test(`a cap begins with what was used since ${what}, as it is billed`, async (t) => {
    const store = storeAt("2026-01-10")
    const billing = openBilling({ host: core, store, entity: "acme" })
    const plan = (id: string, upTo: string) => ({
      ...{ id, interval: { unit: "month", count: 1 }, align: "calendar" },
      charges: [{ id: "calls", meter: "calls", price: { model: "unit", price: "1" }, overage: { upTo, policy: "block" } }],
    })
    const list = {
      ...{ name: "x", version: "1", currency: "EUR", units: { call: { exponent: 0 } } },
      meters: [{ id: "calls", unit: "call", aggregation: "sum", event: "call" }],
      plans: [plan("large", "1000"), plan("small", "100")],
    }
    const { digest } = await addCatalogue(billing, JSON.stringify(list))
    await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR" })
    const isPlan = what === "its plan began"
    const trial = isPlan ? {} : { trialEnd: at("2026-01-08") }
    await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: isPlan ? "large" : "small", start: at("2026-01-01"), ...trial })
    if (isPlan) await changeSubscription(billing, "s", { what: "plan", plan: "small", at: at("2026-01-08") })
    await keep(store, "ada", calls("ada", "2026-01-02", "2026-01-07", 150, 3))
    await keep(store, "ada", calls("ada", "2026-01-08", "2026-01-09", 60, 4))
    const reserver = new Reserver(billing)
    const port = cappedAdmission(billing, reserver)
    const decision = await port.call({ plugin: `sha256:${"0".repeat(64)}`, tenant: "ada", export: "add" } as never, { deadlineMs: 1_000 } as never)
    t.match(decision, { admit: true })
    const period = { start: at("2026-01-01"), end: 0n }
    t.equal((await useOfCap(billing, { account: "ada", charge: "s/small/calls", period, upTo: 100n, scale: 0, unit: "" })).used, 60n)
    if ("settle" in decision) decision.settle?.({} as never, false)
    await reserver.close()
    t.strictSame(await checkCaps(billing), [])
    await billing.close()
  })

t.test("a bound that only warns refuses nothing, and is said once", async (t) => {
  const warnings: Array<CapWarning> = []
  const { billing, close, load } = await opened({ executions: "5" }, undefined, (warning) => warnings.push(warning))
  const plugin = await load("ada-1")
  // Longer than what is held for a node that is not heard of.
  await (await load("ada-1", 100_000)).call("add", [1, 2])
  for (let i = 0; i < 12; i++) await plugin.call("add", [1, 2])
  t.match(warnings, [{ account: "ada", tenant: "ada-1", charge: "s/community/executions", upTo: "5", until: "2026-02-01T00:00:00.000Z" }])
  t.equal(warnings.length, 1)
  t.strictSame(await checkCaps(billing), [])
  await close()
})

t.test("64 calls at a time of an account's tenants never pass its cap, and the refusal says what to do", async (t) => {
  const { billing, cap, close, load, reserver } = await opened({ executions: "200" })
  const plugins = [await load("ada-1"), await load("ada-2")]
  let [answered, refused] = [0, 0]
  let refusal: unknown
  await Promise.all(
    Array.from({ length: 64 }, async (_, n) => {
      for (let i = 0; i < 6; i++)
        try {
          // One in three fails in the guest: it is an execution all the same.
          const failing = i % 3 === 0
          await plugins[n % 2]?.call(failing ? "trap" : "add", failing ? [] : [1, 2])
          answered++
        } catch (error) {
          if (!(error instanceof PluginError)) throw error
          if (error.reason._tag === "Refused") {
            refused++
            refusal = error.reason
          } else answered++
        }
    }),
  )
  t.equal(answered + refused, 64 * 6)
  t.ok(answered <= 200, `${answered} answered`)
  t.match(refusal, {
    _tag: "Refused",
    admissionCode: "STELE-BIL-0033",
    reason:
      /^Cannot run this for the account "ada": "s\/community\/executions" is capped at 200 .* until 2026-02-01T00:00:00\.000Z, of which .*; wait for those calls or for the next period, or change the plan$/,
  })
  await reserver.flush()
  t.equal((await cap("executions", 200n)).used, BigInt(answered))
  // What was kept ready by chance is there for those who come later.
  for (let tries = 0; answered < 200 && tries < 1_000; tries++) {
    try {
      await plugins[0]?.call("add", [1, 2])
      answered++
    } catch {
      await reserver.flush()
    }
  }
  t.equal(answered, 200)
  await t.rejects(plugins[1]?.call("add", [1, 2]) ?? Promise.resolve(), { code: "STELE-PLG-0010" })
  const other = await load("nobody")
  t.equal(await other.call("add", [1, 2]), 3, "a tenant of no account is nobody's to bound")
  await close()
  t.strictSame(await cap("executions", 200n), { used: 200n, held: 0n })
  t.strictSame(await checkCaps(billing), [])
})

t.test("what a call may use at most is promised, and what it did not use is free again; a call that never began used nothing", async (t) => {
  // 2 s of up to 256 MiB are 0.000149 GB-hours: there is room for one such promise at a time.
  const { billing, cap, close, load, reserver } = await opened({ compute: "0.0002" })
  const plugin = await load("ada-1")
  for (let n = 0; n < 5; n++) {
    t.equal(await plugin.call("add", [1, 2]), 3)
    await reserver.flush()
  }
  await t.rejects(plugin.call("add", 5 as never), { code: "STELE-WIT-0001" })
  await reserver.flush()
  t.equal((await cap("executions", 1_000n)).used, 5n)
  const both = await Promise.allSettled([plugin.call("spin", [], { deadlineMs: 300 }), plugin.call("add", [1, 2])])
  t.match(
    both.map((one) => (one.status === "rejected" ? (one.reason as { readonly code: string }).code : "ok")),
    ["STELE-LIM-0010", /ok|STELE-PLG-0010/],
  )
  await close()
  t.strictSame(await checkCaps(billing), [])
})

t.test("`costOfCall()` says what usage would add, before it happens", async (t) => {
  const { billing, close, digest } = await opened({})
  const table = await priceTable(billing, digest, { id: "ada" })
  const executions = (quantity: bigint) => ({ meter: 0, attribute: undefined, quantity: decimal(quantity, 0), events: quantity })
  const cost = (plan: string, used: bigint, more: bigint) => costOfCall(table, { plan, used: [executions(used)], more: [executions(more)] })
  const free = await cost("community", 999n, 1n)
  t.strictSame([decimalText(free.total), free.verdict, free.overages], ["0.00", "allowed", []])
  const blocked = await cost("community", 999n, 2n)
  t.match([blocked.verdict, blocked.overages], ["block", [{ charge: "community/executions", policy: "block", over: readDecimal("1") }]])
  for (const used of [0n, 49_000n, 60_000n, 1_000_000n]) {
    const quote = async (quantity: bigint) =>
      (
        await table.ask((catalogue) =>
          table.rules.ask("[method]catalogue.estimate", [catalogue, "professional", [executions(quantity)], [], { quantities: [], billed: [] }, false]),
        )
      ).total
    const [before, after, { total }] = [await quote(used), await quote(used + 12_345n), await cost("professional", used, 12_345n)]
    t.equal(before.low + total.low, after.low, `12,345 after ${used}: ${decimalText(total)}`)
  }
  await close()
})
