/** `stele usage --account ID`: what an account used day by day, and what the period under way will have cost. */
import { ConfigError } from "../../schemas/error/config.ts"
import { escapeText } from "../../host/port/log.ts"
import { groupedText } from "../billing/decimal.ts"
import { accountOf, accountUsage, type Billing, projectionMethod, projectionOf } from "../billing/mod.ts"
import { type Days, daysOf as daysOfZone } from "../billing/shown.ts"
import { dayInZone } from "../billing/usage.ts"
import { projectionJson } from "../billing/json.ts"
import { dayText } from "../port/usage.ts"
import { bar } from "../up/picture.ts"
import { type BooksFlags, openBooks } from "./books.ts"
import { bytesText, countText, timeText } from "./quantity.ts"
import { columns, out, printLine, table, wrap } from "./terminal.ts"

export interface AccountUsageFlags extends BooksFlags {
  readonly account: string
  readonly fromDay: number | undefined
  readonly toDay: number | undefined
}

const daysMax = 400

type Used = Awaited<ReturnType<typeof accountUsage>>

function usedLines({ days, events, total }: Used, width: number): ReadonlyArray<string> {
  const cells = (one: Used["total"]): ReadonlyArray<string> => [
    countText(one.calls),
    countText(one.failed),
    countText(one.events),
    timeText(Number(one.wallNs)),
    `${bytesText(Number(one.bytesIn))} / ${bytesText(Number(one.bytesOut))}`,
  ]
  const shown = days.filter(({ calls, events: some }) => calls > 0n || some > 0n)
  const most = shown.reduce((max, { calls, events: some }) => (calls + some > max ? calls + some : max), 1n)
  const rows = shown.map((one) => [one.day, bar(Number(one.calls + one.events) / Number(most), width < 80 ? 8 : 16), ...cells(one)])
  return [
    ...table([["day", "", "calls", "failed", "events", "time", "in / out"], ...rows, ["all", "", ...cells(total)]], Number.MAX_SAFE_INTEGER, 0, [
      String,
      out.green,
    ]),
    ...(events.length === 0
      ? []
      : [
          "",
          out.dim("events by name"),
          ...table(
            events.map(({ count, name }) => [escapeText(name), countText(count)]),
            width,
            2,
          ),
        ]),
  ]
}

type Found = Awaited<ReturnType<typeof projectionOf>>

function costLines(found: Found, days: Days, width: number): ReadonlyArray<string> {
  return found.flatMap((one) => {
    if ("error" in one) return ["", out.bold(one.subscription), ...wrap(`It cannot be projected: ${one.error.message} (${one.error.code})`, width)]
    const now = new Map(one.soFar.lines.map((line) => [JSON.stringify([line.charge, line.attribute]), line]))
    const rows = one.projected.lines.map((line) => {
      const before = now.get(JSON.stringify([line.charge, line.attribute]))
      const name = escapeText(line.title) + (line.attribute === undefined ? "" : `, ${escapeText(line.attribute)}`)
      return [name, groupedText(before?.quantity ?? "0"), groupedText(before?.amount ?? "0"), groupedText(line.quantity), groupedText(line.amount)]
    })
    const beyond = one.soFar.overages.map(({ charge, over, policy, upTo }) =>
      out.yellow(`${escapeText(charge)}: ${groupedText(over)} beyond ${groupedText(upTo)}${policy === "block" ? ", which is refused" : ""}`),
    )
    return [
      "",
      `${out.bold(one.subscription)} ${escapeText(one.plan)}, ${days.span(one.span)}, in ${one.currency}`,
      ...table(
        [["", "so far", "would cost", "by its end", "will cost"], ...rows, ["total", "", groupedText(one.soFar.total), "", groupedText(one.projected.total)]],
        Number.MAX_SAFE_INTEGER,
        0,
      ),
      ...beyond,
    ]
  })
}

async function daysOf(billing: Billing, { account, fromDay, toDay }: AccountUsageFlags, now: bigint) {
  const today = dayInZone(await billing.zone((await accountOf(billing, account)).zone), now)
  const to = toDay ?? today
  const from = fromDay ?? to - (new Date(to * 86_400_000).getUTCDate() - 1)
  if (from > to || to - from >= daysMax)
    throw new ConfigError("Option", { option: "--from", expected: `a day up to --to, and ${daysMax} days at most`, actual: dayText(from) })
  return { fromDay: from, toDay: to }
}

export async function usageOfAccount(flags: AccountUsageFlags): Promise<void> {
  await using books = await openBooks(flags, "there")
  const { billing } = books
  const now = await billing.now()
  const used = await accountUsage(billing, flags.account, await daysOf(billing, flags, now))
  const projected = await projectionOf(billing, flags.account, now)
  if (flags.json) {
    const texts = (of: object): object => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, String(value)]))
    return printLine(
      JSON.stringify({
        account: flags.account,
        zone: used.zone,
        days: used.days.map(texts),
        total: texts(used.total),
        events: used.events.map(texts),
        method: projectionMethod,
        subscriptions: projected.map(projectionJson),
      }),
    )
  }
  const width = columns(process.stdout)
  printLine(out.dim(`days of ${used.zone}`))
  for (const line of usedLines(used, width)) printLine(line)
  for (const line of costLines(projected, await daysOfZone(billing, used.zone), width)) printLine(line)
  if (projected.length > 0) for (const line of ["", ...wrap(projectionMethod, width)]) printLine(line === "" ? line : out.dim(line))
}
