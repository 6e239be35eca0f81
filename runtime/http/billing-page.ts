/** Usage, projected cost, invoices and the records behind a line as pages: no script, no network, light and dark as the reader has it. */
import { instantText } from "../../schemas/billing/instant.ts"
import { decimal, decimalText, groupedText } from "../billing/decimal.ts"
import type { Behind } from "../billing/drill.ts"
import type { InvoiceAndState } from "../billing/invoice.ts"
import { escapeHtml, type Page, page } from "../billing/page.ts"
import { type NotProjected, type Projection, projectionMethod, type Quoted } from "../billing/projection.ts"
import type { Days } from "../billing/shown.ts"
import type { DayOfUsage, UsageOfDays } from "../billing/usage.ts"
import { msOf } from "../port/usage.ts"
import { uuidText } from "../storage/usage.ts"
import { bars } from "./bars.ts"
import { type Cell, figure, number, pageStyle, table } from "./table.ts"

const style = `${pageStyle}:root{--bar:light-dark(#0b7a55,#4cc79a);--part:light-dark(#b3261e,#ff8a7d)}
.bar{fill:var(--bar)}.part{fill:var(--part)}.grid{stroke:color-mix(in srgb,CanvasText 18%,transparent)}.label{fill:GrayText;font:11px system-ui,sans-serif}
.cost{--part:color-mix(in srgb,var(--bar) 45%,Canvas)}.key{display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 1em}.key-bar{background:var(--bar)}.key-part{background:var(--part)}
.beside td:first-child{white-space:nowrap}
@media(min-width:64rem){.beside{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,34rem);gap:1.5rem;align-items:start}.beside .wide{max-height:30rem;overflow:auto}}`

/** Where pages are, and of whom. */
export interface Where {
  /** Of the service's root. */
  readonly base: string
  readonly account: string
  /** What documents call the account. */
  readonly title: string
  /** Whether whoever asks may see others, too. */
  readonly isOperator: boolean
}

export const accountPath = (base: string, account: string): string => `${base}/accounts/${encodeURIComponent(account)}`
const parts = { usage: "Usage", projection: "Projected cost", invoices: "Invoices" } as const
type Part = keyof typeof parts

function accountPage({ account, base, isOperator, title }: Where, part: Part, heading: string, body: string): Page {
  const links = Object.entries(parts).map(
    ([path, name]) => `<a href="${escapeHtml(`${accountPath(base, account)}/${path}`)}"${path === part ? ' aria-current="page"' : ""}>${name}</a>`,
  )
  const up = isOperator ? `<a href="${escapeHtml(`${base}/`)}">Accounts</a>` : ""
  return page(
    `${heading}, ${title}`,
    `<nav aria-label="Account">${up}${links.join("")}</nav><main><h1>${escapeHtml(heading)}, ${escapeHtml(title)}</h1>${body}</main>`,
    style,
  )
}

const more = (href: string | undefined): string =>
  href === undefined ? "" : `<nav aria-label="Pages"><a rel="next" href="${escapeHtml(href)}">Next page</a></nav>`
const minute = (at: bigint): string => `${instantText(at).slice(0, 16).replace("T", " ")} UTC`

export function accountsPage(base: string, accounts: ReadonlyArray<{ readonly id: string; readonly title: string }>, next: string | undefined): Page {
  const rows = accounts.map(({ id, title }) => [
    { text: title, href: `${accountPath(base, id)}/usage` },
    id,
    { text: "Projected cost", href: `${accountPath(base, id)}/projection` },
    { text: "Invoices", href: `${accountPath(base, id)}/invoices` },
  ])
  return page(
    "Accounts",
    `<main><h1>Accounts</h1>${table(
      "Accounts",
      ["account", "id", "cost", "invoices"].map((name) => ({ name })),
      rows,
    )}${more(next)}</main>`,
    style,
  )
}

/** Ms with one digit, of ns. */
const ms = (ns: bigint): string => `${ns / 1_000_000n}.${(ns / 100_000n) % 10n}`

export function usagePage(where: Where, { days, events, total, zone }: UsageOfDays): Page {
  const [from = "", to = ""] = [days[0]?.day, days.at(-1)?.day]
  const busiest = days.reduce((most, one) => (one.calls > most.calls ? one : most), days[0] as (typeof days)[number])
  const count = (value: bigint): string => groupedText(String(value))
  const chart = bars(
    days.map((one) => ({ name: one.day, value: one.calls, part: one.failed })),
    {
      title: `Calls a day, ${from} to ${to}`,
      description: `${count(total.calls)} calls in ${days.length} days, ${count(total.failed)} of which failed; the most on one day were ${count(busiest.calls)} on ${busiest.day}. The table has all figures.`,
      label: ({ name, part, value }) => `${name}: ${count(value)} calls, ${count(part)} failed`,
    },
  )
  const figures = (one: DayOfUsage): ReadonlyArray<Cell> => [
    figure(one.calls),
    figure(one.failed),
    figure(ms(one.wallNs)),
    figure(one.bytesIn),
    figure(one.bytesOut),
    figure(one.events),
  ]
  const most = days.reduce((all, one) => (one.events > all.events ? one : all), days[0] as (typeof days)[number])
  const counted =
    total.events === 0n
      ? ""
      : `<div class="beside"><figure>${bars(
          days.map((one) => ({ name: one.day, value: one.events, part: 0n })),
          {
            id: "events",
            title: `Single events a day, ${from} to ${to}`,
            description: `${count(total.events)} events in ${days.length} days; the most on one day were ${count(most.events)} on ${most.day}. The table has all figures.`,
            label: ({ name, value }) => `${name}: ${count(value)} events`,
          },
        )}<figcaption>single events a day</figcaption></figure>${table(
          "Single events by name",
          [{ name: "name" }, number("events")],
          events.map((one) => [one.name, figure(one.count)]),
          ["all", figure(total.events)],
        )}</div>`
  const columns = [{ name: "day" }, number("calls"), number("failed"), number("ms"), number("bytes in"), number("bytes out"), number("events")]
  const lost =
    total.dropped === 0n ? "" : `<p>The records of ${count(total.dropped)} more calls were dropped before they could be kept: they are in no figure.</p>`
  return accountPage(
    where,
    "usage",
    "Usage",
    `<p class="dim">${from} to ${to}, days of ${escapeHtml(zone)}</p><div class="beside"><figure>${chart}<figcaption><span class="key key-bar"></span>answered<span class="key key-part"></span>failed</figcaption></figure>${table(
      "Calls by day",
      columns,
      days.map((one) => [one.day, ...figures(one)]),
      ["all", ...figures(total)],
    )}</div>${counted}${lost}`,
  )
}

type Overage = Quoted["overages"][number]
const isRefused = ({ policy }: Overage): boolean => policy === "block"
const overageText = ({ charge, over, policy, upTo }: Overage): string =>
  `${policy === "warn" ? "Warning: " : ""}${escapeHtml(charge)}: ${escapeHtml(groupedText(over))} beyond ${escapeHtml(groupedText(upTo))}`

/** What each line costs by now, and what comes to that by the end; one that gives back has no bar. */
function costChart({ currency, projected: at, soFar, subscription }: Projection, id: string): string {
  const scaleOf = (text: string): number => text.split(".")[1]?.length ?? 0
  const digits = Math.max(0, ...[...at.lines, ...soFar.lines].map(({ amount }) => scaleOf(amount)))
  const units = (text: string | undefined): bigint => {
    const [whole = "0", part = ""] = (text ?? "0").split(".")
    const found = BigInt(whole + part.padEnd(digits, "0"))
    return found > 0n ? found : 0n
  }
  const text = (value: bigint): string => groupedText(decimalText(decimal(value, digits)))
  const before = new Map(soFar.lines.map((line) => [lineKey(line), line.amount]))
  const of = at.lines.map((line) => {
    const [now, end] = [units(before.get(lineKey(line))), units(line.amount)]
    return { name: line.title + (line.attribute === undefined ? "" : `, ${line.attribute}`), value: end > now ? end : now, part: end > now ? end - now : 0n }
  })
  if (of.every(({ value }) => value === 0n)) return ""
  const chart = bars(of, {
    id,
    title: `Projected cost of ${subscription}, in ${currency}`,
    description: `${groupedText(soFar.total)} ${currency} by now, and ${groupedText(at.total)} at the period's end. The table has all figures.`,
    label: ({ name, part, value }) => `${name}: ${text(value - part)} by now, ${text(value)} by its end`,
    scale: text,
  })
  return `<figure class="cost">${chart}<figcaption><span class="key key-bar"></span>by now<span class="key key-part"></span>to come</figcaption></figure>`
}

const lineKey = ({ attribute, charge }: Quoted["lines"][number]): string => JSON.stringify([charge, attribute])

function projected(one: Projection | NotProjected, place: number, days: Days): string {
  if ("error" in one)
    return `<section><h2>${escapeHtml(one.subscription)}</h2><p>It cannot be projected: ${escapeHtml(one.error.message)} (${escapeHtml(one.error.code)})</p></section>`
  const { currency, plan, projected: at, soFar, span, subscription, until } = one
  const before = new Map(soFar.lines.map((line) => [lineKey(line), line]))
  const rows = at.lines.map((line): ReadonlyArray<Cell> => {
    const now = before.get(lineKey(line))
    return [
      line.title + (line.attribute === undefined ? "" : `, ${line.attribute}`),
      figure(now?.quantity ?? "0"),
      figure(now?.amount ?? "0"),
      figure(line.quantity),
      figure(line.amount),
    ]
  })
  const already = new Set(soFar.overages.map(({ charge }) => charge))
  const beyond = [
    ...soFar.overages.map(
      (one) => `<p role="status"><strong>${overageText(one)} by now${isRefused(one) ? ", and more is refused" : ", and more is billed"}</strong></p>`,
    ),
    ...at.overages
      .filter(({ charge }) => !already.has(charge))
      .map((one) => `<p>${overageText(one)} by its end${isRefused(one) ? ", which would be refused" : ", which is billed"}</p>`),
  ]
  return `<section><h2>${escapeHtml(subscription)}</h2><dl><dt>Plan</dt><dd>${escapeHtml(plan)}</dd><dt>Period</dt><dd>${days.span(span, " – ")}</dd><dt>Counted until</dt><dd>${minute(until)}</dd></dl>${costChart(one, `cost-${place + 1}`)}${table(
    `Cost in ${currency}`,
    [{ name: "what" }, number("used so far"), number("would cost"), number("by its end"), number("will cost")],
    rows,
    ["Total", "", figure(soFar.total), "", figure(at.total)],
  )}${beyond.join("")}</section>`
}

export const projectionPage = (where: Where, found: ReadonlyArray<Projection | NotProjected>, days: Days): Page =>
  accountPage(
    where,
    "projection",
    "Projected cost",
    `<p>${escapeHtml(projectionMethod)}</p>${found.length === 0 ? "<p>No subscription has a period under way.</p>" : found.map((one, place) => projected(one, place, days)).join("")}`,
  )

export function invoicesPage(where: Where, invoices: ReadonlyArray<InvoiceAndState>, days: Days, next: string | undefined): Page {
  const rows = invoices.map(({ invoice, state }): ReadonlyArray<Cell> => [
    { text: invoice.number, href: `${accountPath(where.base, where.account)}/invoices/${encodeURIComponent(invoice.number)}` },
    days.span(invoice.period, " – "),
    days.of(invoice.issuedAt),
    days.of(invoice.dueAt),
    state.status,
    { number: `${groupedText(invoice.totals.payable)} ${invoice.currency}` },
  ])
  const columns = [...["number", "period", "issued", "due", "status"].map((name) => ({ name })), number("payable")]
  const body = rows.length === 0 ? "<p>No invoices.</p>" : table("Invoices, in the order of their issue", columns, rows)
  return accountPage(where, "invoices", "Invoices", body + more(next))
}

export function recordsPage(
  where: Where,
  { invoice }: InvoiceAndState,
  place: number,
  found: ReadonlyArray<Behind>,
  links: { readonly lines: string; readonly next: string | undefined },
): Page {
  const line = invoice.lines[place]
  const rows = found.map((one): ReadonlyArray<Cell> => {
    if ("event" in one) {
      const { at, id, name, properties, quantity } = one.event
      return [instantText(at), id, name, "", { number: quantity ?? "" }, JSON.stringify(properties ?? {})]
    }
    const { bytesIn, bytesOut, export: exported, id, outcome, plugin, tenant, wallNs } = one.record
    const more = `${plugin}; ${tenant}; ${bytesIn} bytes in, ${bytesOut} out`
    return [instantText(BigInt(msOf(id)) * 1_000n), uuidText(id), exported, outcome, { number: `${ms(BigInt(wallNs))} ms` }, more]
  })
  const columns = [{ name: "time" }, { name: "id" }, { name: "what" }, { name: "outcome" }, number("quantity"), { name: "of" }]
  const title = `${line?.title ?? ""}${line?.attribute === undefined ? "" : `, ${line.attribute}`}`
  const path = `${accountPath(where.base, where.account)}/invoices/${encodeURIComponent(invoice.number)}`
  return accountPage(
    where,
    "invoices",
    `Line ${place + 1} of ${invoice.number}`,
    `<p>${escapeHtml(title)}: <a href="${escapeHtml(path)}">invoice ${escapeHtml(invoice.number)}</a>, <a href="${escapeHtml(links.lines)}">as JSON lines</a></p>${
      rows.length === 0 ? "<p>Nothing on this page.</p>" : table("Usage records and events", columns, rows)
    }${more(links.next)}`,
  )
}
