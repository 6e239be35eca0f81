/** `stele prices simulate`: what a month would have cost under a price list, of usage that a store has or of events in a file. Nothing is stored. */
import { createHash } from "node:crypto"
import { BillingError } from "../../schemas/error/billing.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Host } from "../../host/host.ts"
import { escapeText } from "../../host/port/log.ts"
import type { Line, Span } from "../../schemas/wit/stele/billing.gen.ts"
import { checkedInput } from "../billing/account.ts"
import { type Billing, instantText, openBilling, readInstant } from "../billing/mod.ts"
import { dayStart } from "../billing/zones.ts"
import { coefficientOf, decimal, decimalText, groupedText, plainText, readDecimal } from "../billing/decimal.ts"
import { eventKey } from "../billing/event.ts"
import { readUsage } from "../billing/meter.ts"
import { PriceTable } from "../billing/price-table.ts"
import { Rating } from "../billing/rating.ts"
import { type EventValue, kinds, put } from "../billing/record.ts"
import type { Rules } from "../billing/rules.ts"
import { openStorage } from "../storage/storage.ts"
import type { Store } from "../port/store.ts"
import { readInput } from "./argument.ts"
import { parseNumber } from "./books.ts"
import { checkCharges, checkPlan, compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { refuseMissing } from "./storage.ts"
import { out, printLine, table, withProgress } from "./terminal.ts"

export interface SimulateFlags {
  readonly file: string
  readonly plan: string
  readonly month: string
  readonly zone: string
  readonly events: string | undefined
  readonly storage: string | undefined
  readonly storageKey: string | undefined
  readonly objects: string | undefined
  readonly tenant: ReadonlyArray<string>
  readonly against: string | undefined
  readonly againstPlan: string | undefined
  readonly quantity: ReadonlyArray<string>
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

const account = "simulation"
const eventsBytesMax = 256 << 20

/** A cell of CSV (RFC 4180), and what follows it. */
function* cells(line: string): Generator<string> {
  const pattern = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y
  while (pattern.lastIndex <= line.length) {
    const found = pattern.exec(line)
    if (found === null) throw new RangeError("a quote does not end, or stands within a cell")
    yield found[1]?.replaceAll('""', '"') ?? found[2] ?? ""
    if (found[3] === "") return
  }
}

/** One event a line, as JSON, or as CSV with the columns `name`, `at`, `id`, `quantity`; each other column is a property. @throws BillingError `Events` */
export function parseEvents(file: string, text: string): ReadonlyArray<EventValue> {
  const lines = text.split(/\r?\n/)
  const isJson = /^\s*\{/.test(text)
  const head = isJson ? [] : [...cells(lines[0] ?? "")]
  const events: Array<EventValue> = []
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "" || (!isJson && i === 0)) continue
    const refuse = (detail: string): never => {
      throw new BillingError("Events", { file, line: i + 1, detail })
    }
    let given: Readonly<Record<string, unknown>>
    try {
      const row = isJson ? [] : [...cells(line)]
      if (!isJson && row.length !== head.length) refuse(`it has ${row.length} cells, and the first line ${head.length}`)
      const fields = Object.fromEntries(head.map((name, at) => [name, row[at] ?? ""]))
      const { at, id, name, quantity, ...properties } = fields
      given = isJson
        ? (JSON.parse(line) as Record<string, unknown>)
        : { at, name, ...(id === undefined || id === "" ? {} : { id }), ...(quantity === undefined || quantity === "" ? {} : { quantity }), properties }
    } catch (error) {
      if (error instanceof BillingError) throw error
      return refuse((error as Error).message)
    }
    const instant = typeof given["at"] === "string" ? readInstant(given["at"]) : undefined
    if (instant === undefined) return refuse(`"at" is no instant such as 2026-10-01T12:00:00Z: ${JSON.stringify(given["at"] ?? null).slice(0, 60)}`)
    try {
      events.push(checkedInput("event", kindsEvent, { id: `line-${i + 1}`, ...given, account, at: instant }))
    } catch (error) {
      refuse((error as Error).message)
    }
  }
  return events
}

const kindsEvent = (value: unknown): EventValue => {
  const event = value as EventValue
  // As it would be kept, and read again.
  return kinds.event.decode(new TextDecoder().decode(kinds.event.encode(event)))
}

/** A store in memory with these events. */
async function storeOf(billing: Billing, events: ReadonlyArray<EventValue>): Promise<void> {
  for (let at = 0; at < events.length; at += 500)
    await billing.store.apply(events.slice(at, at + 500).map((event) => put(billing, kinds.event, eventKey(event), event)))
}

interface Simulated {
  readonly file: string
  readonly plan: string
  readonly currency: string
  readonly lines: ReadonlyArray<Line>
  readonly total: string
  readonly records: number
  readonly events: number
  /** What was rated: the plan's periods that begin in the month, or the one that it lies in. */
  readonly periods: ReadonlyArray<Span>
}

async function simulated(billing: Billing, rules: Rules, file: string, flags: SimulateFlags, plan: string): Promise<Simulated> {
  const list = await readList(file)
  const { description } = await compileList(rules, list)
  checkPlan(plan, description.plans)
  const priced = await PriceTable.open(rules, `sha256:${createHash("sha256").update(list.text).digest("hex")}`, list.text)
  const start = readInstant(`${flags.month}-01`)
  if (start === undefined) throw new ConfigError("Option", { option: "--month", expected: "a month such as 2026-10", actual: quote(flags.month, 40) })
  const zone = await billing.zone(flags.zone)
  const quantities = flags.quantity.map((text) => {
    const [name, amount] = parseNumber("--quantity", text, "seats=5")
    return [name, readDecimal(amount) as NonNullable<ReturnType<typeof readDecimal>>] as const
  })
  checkCharges(
    quantities.map(([name]) => name),
    priced.shape,
    plan,
  )
  const zones = [zone.zone]
  const date = Number(start / 86_400_000_000n)
  const [year = 0, month = 0] = flags.month.split("-").map(Number)
  const within = { start: dayStart(zone.zone, date), end: dayStart(zone.zone, Date.UTC(year, month, 1) / 86_400_000) }
  const local = { id: account, plan, start: within.start, zone: flags.zone, quantities, changes: [], anchorDay: 1 }
  const found = await priced.ask((catalogue) => rules.ask("[method]catalogue.periods", [catalogue, local, within, zones]))
  // A plan of quarters or years has none that begins in most months: then it is the one that the month lies in.
  const periods = found.length > 0 ? found : [await priced.ask((catalogue) => rules.ask("[method]catalogue.assign", [catalogue, local, within.start, zones]))]
  const tenants = flags.events === undefined ? flags.tenant : []
  const lines: Array<Line> = []
  let [records, events] = [0, 0]
  for (const period of periods) {
    const rating = new Rating({ table: priced, subscription: { ...local, start: period.start }, period, zones, prior: { quantities: [], billed: [] } })
    try {
      const read = await readUsage(billing, { table: priced, account, tenants, span: period, isWhole: true }, rating)
      lines.push(...(await rating.finish(true)))
      records += read.records
      events += read.events
    } finally {
      rating.close()
    }
  }
  const { currency, exponent } = priced.description
  const total = lines.reduce((sum, { amount }) => sum + coefficientOf(amount), 0n)
  return { file: list.file, plan, currency, lines, total: decimalText(decimal(total, exponent)), records, events, periods }
}

const linesJson = ({ currency, events, file, lines, periods, plan, records, total }: Simulated): object => ({
  prices: file,
  plan,
  currency,
  total,
  records,
  events,
  periods: periods.map(({ end, start }) => ({ start: instantText(start), end: instantText(end) })),
  lines: lines.map(({ amount, attribute, charge, quantity, span, title }) => ({
    charge,
    ...(attribute === undefined ? {} : { attribute }),
    title,
    ...(periods.length === 1 ? {} : { from: instantText(span.start) }),
    quantity: plainText(quantity),
    amount: decimalText(amount),
  })),
})

function show({ currency, events, file, lines, periods, plan, records, total }: Simulated): void {
  printLine(
    `${out.bold(`${escapeText(file)}, ${escapeText(plan)}`)} ${out.dim(`${groupedText(String(records))} usage records, ${groupedText(String(events))} events`)}`,
  )
  const day = (at: bigint): string => instantText(at).slice(0, 10)
  for (const { end, start } of periods) printLine(out.dim(`  ${day(start)} to ${day(end)}`))
  const rows = lines.map(({ amount, attribute, quantity, span, title }) => [
    escapeText(title) + (attribute === undefined ? "" : `, ${escapeText(attribute)}`) + (periods.length === 1 ? "" : `, from ${day(span.start)}`),
    groupedText(plainText(quantity)),
    groupedText(decimalText(amount)),
  ])
  for (const line of table([["line", "quantity", "amount"], ...rows], Number.MAX_SAFE_INTEGER)) printLine(line)
  printLine(out.bold(`  total ${groupedText(total)} ${currency}`))
}

async function opened(flags: SimulateFlags): Promise<{ readonly store: Store; readonly close: () => Promise<void> }> {
  if (flags.events !== undefined) {
    const { MemoryStore } = await import("../storage/sqlite/memory.ts")
    const store = new MemoryStore()
    return { store, close: () => store.close() }
  }
  if (flags.storage === undefined || flags.tenant.length === 0)
    throw new ConfigError("Usage", {
      detail: "Cannot tell which usage is meant",
      advice: "name events: --events FILE; or a store's: --storage sqlite:PATH --tenant NAME",
    })
  refuseMissing(flags.storage)
  const kept = await openStorage(flags.storage, { objects: flags.objects, storageKey: flags.storageKey })
  if (kept.store !== undefined) return { store: kept.store, close: kept.close }
  await kept.close()
  throw new ConfigError("Usage", { detail: `${quote(flags.storage, 80)} has no usage`, advice: "name a store: --storage sqlite:PATH" })
}

export const simulate = (flags: SimulateFlags): Promise<void> =>
  withListPlaces(flags.json, async () => {
    if (!/^\d{4}-(?:0[1-9]|1[0-2])$/.test(flags.month))
      throw new ConfigError("Option", { option: "--month", expected: "a month such as 2026-10", actual: quote(flags.month, 40) })
    const file = flags.events
    const bytes = file === undefined ? undefined : await readInput(file)
    if (bytes !== undefined && bytes.length > eventsBytesMax)
      throw new BillingError("Events", { file: file ?? "", line: 1, detail: `the file has ${bytes.length} bytes, and the limit is ${eventsBytesMax}` })
    const events = bytes === undefined ? [] : parseEvents(file ?? "", new TextDecoder().decode(bytes))
    await using engine = await openRules(flags.plugin)
    const { close, store } = await opened(flags)
    try {
      const host: Host = engine.host
      await using billing = openBilling({ host, store, entity: account })
      await storeOf(billing, events)
      const first = await withProgress("Rating", flags.json, () => simulated(billing, engine.rules, flags.file, flags, flags.plan))
      const second = flags.against === undefined ? undefined : await simulated(billing, engine.rules, flags.against, flags, flags.againstPlan ?? flags.plan)
      const isComparable = second !== undefined && second.currency === first.currency
      const scale = readDecimal(first.total)?.scale ?? 0
      const difference = isComparable
        ? decimalText(decimal(coefficientOf(readDecimal(second.total) as never) - coefficientOf(readDecimal(first.total) as never), scale))
        : undefined
      if (flags.json) {
        return printLine(
          JSON.stringify({
            month: flags.month,
            zone: flags.zone,
            ...linesJson(first),
            ...(second === undefined ? {} : { against: linesJson(second), difference: difference ?? null }),
          }),
        )
      }
      show(first)
      if (second === undefined) return
      printLine("")
      show(second)
      printLine("")
      if (difference === undefined) return printLine(`${first.currency} and ${second.currency} are two currencies`)
      printLine(
        `${difference.startsWith("-") ? out.green(groupedText(difference)) : out.red(`+${groupedText(difference)}`)} ${first.currency} by ${escapeText(second.file)}`,
      )
    } finally {
      await close()
    }
  })
