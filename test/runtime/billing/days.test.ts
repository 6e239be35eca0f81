/** An account's usage by the days of its zone: roll-ups of UTC's days and what lies between, held against each record's own date by the engine's zones. */
import t from "tap"
import { accountUsage, addCatalogue, openBilling, putAccount, record, subscribe } from "../../../runtime/billing/mod.ts"
import { dayText, msOf } from "../../../runtime/port/usage.ts"
import { mixed } from "./lists.ts"
import { at, calls, keep, openHost, storeAt } from "./usage.ts"

t.setTimeout(120_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

const day = (text: string): number => Number(at(text) / 86_400_000_000n)

// Clocks change on 29 March in Vienna; Kiritimati is 14 hours ahead.
for (const zone of ["UTC", "Europe/Vienna", "America/New_York", "Pacific/Kiritimati"])
  t.test(`days of ${zone} have their own calls and events`, async (t) => {
    const store = storeAt("2026-04-03")
    const billing = openBilling({ host, store, entity: "acme" })
    const { digest } = await addCatalogue(billing, mixed)
    await putAccount(billing, { id: "ada", zone, currency: "EUR" })
    await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "small", start: at("2026-03-01") })
    const entries = [...calls("ada", "2026-03-25", "2026-04-02", 900)]
    await keep(store, "ada", entries)
    const times = ["2026-03-28T23:30:00Z", "2026-03-29T22:30:00Z", "2026-03-30T05:00:00Z"]
    for (const time of times) await record(billing, { account: "ada", id: time.slice(0, 13), at: at(time), name: "gpu-hours", properties: { hours: "1" } })
    const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone })
    const dateOf = (ms: number): string => format.format(new Date(ms)).slice(0, 10)
    const wanted = new Map<string, { calls: number; failed: number; bytesIn: bigint; events: number }>()
    const [fromDay, toDay] = [day("2026-03-27"), day("2026-03-31")]
    for (let of = fromDay; of <= toDay; of++) wanted.set(dayText(of), { calls: 0, failed: 0, bytesIn: 0n, events: 0 })
    for (const { bytesIn, id, outcome } of entries) {
      const one = wanted.get(dateOf(msOf(id)))
      if (one === undefined) continue
      one.calls++
      one.bytesIn += BigInt(bytesIn)
      if (outcome !== "ok") one.failed++
    }
    for (const time of times) {
      const one = wanted.get(dateOf(Date.parse(time)))
      if (one !== undefined) one.events++
    }
    const found = await accountUsage(billing, "ada", { fromDay, toDay })
    t.strictSame(
      found.days.map(({ bytesIn, calls: made, day: name, events, failed }) => [
        name,
        { calls: Number(made), failed: Number(failed), bytesIn, events: Number(events) },
      ]),
      [...wanted],
    )
    t.match(found, { zone, events: [{ name: "gpu-hours", count: 3n }] })
    t.equal(found.total.calls, BigInt([...wanted.values()].reduce((sum, one) => sum + one.calls, 0)))
    await billing.close()
  })
