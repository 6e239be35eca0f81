/** An invoice as a page of its own: to read on a screen, light or dark, and to print. No script, no network. */
import { groupedText } from "./decimal.ts"
import type { CreditValue } from "./credit.ts"
import type { Days, Shown } from "./shown.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export interface Page {
  readonly body: string
  /** What it needs of a Content-Security-Policy. */
  readonly policy: string
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (found) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[found] as string)

const style = `:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:56rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .5rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0 0 1.5rem}dt{color:GrayText}dd{margin:0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.5rem 0}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,transparent);vertical-align:top}
th[scope=col]:nth-child(n+4),td:nth-child(n+4){text-align:right}tfoot td,tfoot th{border:0;padding:.15rem .6rem;text-align:right}tfoot tr:last-child *{font-weight:700;font-size:1.1rem}
small{color:GrayText;overflow-wrap:anywhere}a{color:LinkText}a:focus-visible{outline:2px solid}
@media print{:root{color-scheme:light;font-size:11pt}body{margin:0;max-width:none}a{color:inherit;text-decoration:none}tr{break-inside:avoid}thead{display:table-header-group}nav{display:none}@page{margin:18mm}}`

/** A whole document with this body. `forms`: where its forms may be sent, as a policy says that. */
export function page(title: string, body: string, css = style, forms: "'none'" | "'self'" = "'none'"): Page {
  const hash = createHash("sha256").update(css).digest("base64")
  return {
    body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${css}</style></head><body>${body}</body></html>`,
    policy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action ${forms}; frame-ancestors 'none'`,
  }
}

const dash = " – "

/** @param recordsOf where the records behind a line are, by its place; nothing is linked where not said */
export function invoicePage({ days, invoice, notes, state, titles }: Shown, recordsOf?: (line: number) => string): Page {
  const { account, catalogue, currency, document, lines, totals } = invoice
  const rows = lines.map(({ amount, meter, quantity, span }, i) => {
    const name = escapeHtml(titles[i] ?? "")
    const linked = recordsOf === undefined || meter === undefined ? name : `<a href="${escapeHtml(recordsOf(i))}">${name}</a>`
    return `<tr><td>${i + 1}</td><td>${linked}</td><td>${days.span(span, dash)}</td><td>${groupedText(quantity)}</td><td>${groupedText(amount)}</td></tr>`
  })
  const sums: ReadonlyArray<readonly [string, string]> = [
    ["Net", totals.net],
    ...totals.taxes.map(({ amount, tax }) => [`${document.taxes[tax]?.code ?? "Tax"} ${document.taxes[tax]?.rate ?? ""} %`, amount] as const),
    ["Total", totals.gross],
    ...(totals.payable === totals.gross ? [] : [["Payable", totals.payable] as const]),
    ...(totals.payable.startsWith("-") ? [["Kept for the next invoice", totals.payable.slice(1)] as const] : []),
  ]
  const foot = sums.map(
    ([name, amount]) => `<tr><th scope="row" colspan="4">${escapeHtml(name)}</th><td>${groupedText(amount)} ${escapeHtml(currency)}</td></tr>`,
  )
  const credited = notes
    .map(
      ({ issuedAt, number, total }) => `<dt>Credited</dt><dd>${groupedText(total)} ${escapeHtml(currency)} by ${escapeHtml(number)}, ${days.of(issuedAt)}</dd>`,
    )
    .join("")
  return page(
    `Invoice ${invoice.number}`,
    `<main><h1>Invoice ${escapeHtml(invoice.number)}</h1><dl><dt>To</dt><dd>${escapeHtml(account.title ?? account.id)}</dd><dt>From</dt><dd>${escapeHtml(invoice.entity)}</dd>
<dt>Period</dt><dd>${days.span(invoice.period, dash)}</dd><dt>Issued</dt><dd>${days.of(invoice.issuedAt)}</dd><dt>Due</dt><dd>${days.of(invoice.dueAt)}</dd><dt>Status</dt><dd>${state?.status ?? "draft"}</dd>${credited}</dl>
<div class="wide"><table><caption>Lines, in ${escapeHtml(currency)}</caption><thead><tr><th scope="col">No</th><th scope="col">What</th><th scope="col">Time</th><th scope="col">Quantity</th><th scope="col">Amount</th></tr></thead><tbody>${rows.join("")}</tbody><tfoot>${foot.join("")}</tfoot></table></div>
<p><small>Price list ${escapeHtml(catalogue.name)} ${escapeHtml(catalogue.version)}, ${escapeHtml(catalogue.digest)}. Rules ${escapeHtml(invoice.rules)}.</small></p></main>`,
  )
}

/** A credit note as a page to print. */
export function creditPage(
  { account, currency, entity, invoiceNumber, issuedAt, lines, net, number, reason, settled, tax, total, wallet }: CreditValue,
  days: Days,
): Page {
  const rows = lines.map(
    ({ line, net: of, tax: its, title }) =>
      `<tr><td>${line + 1}</td><td>${escapeHtml(title)}</td><td></td><td>${groupedText(of)}</td><td>${groupedText(its)}</td></tr>`,
  )
  const sums = [
    ["Net", net],
    ["Tax", tax],
    ["Total", total],
    ["Off what was owed", settled],
    ["Kept for the next invoice", wallet],
  ] as const
  const foot = sums.map(([name, amount]) => `<tr><th scope="row" colspan="4">${name}</th><td>${groupedText(amount)} ${escapeHtml(currency)}</td></tr>`)
  return page(
    `Credit note ${number}`,
    `<main><h1>Credit note ${escapeHtml(number)}</h1><dl><dt>To</dt><dd>${escapeHtml(account)}</dd><dt>From</dt><dd>${escapeHtml(entity)}</dd>
<dt>Of invoice</dt><dd>${escapeHtml(invoiceNumber)}</dd><dt>Issued</dt><dd>${days.of(issuedAt)}</dd><dt>Reason</dt><dd>${escapeHtml(reason)}</dd></dl>
<div class="wide"><table><caption>What is given back, in ${escapeHtml(currency)}</caption><thead><tr><th scope="col">Line</th><th scope="col">What</th><th scope="col"></th><th scope="col">Net</th><th scope="col">Tax</th></tr></thead><tbody>${rows.join("")}</tbody><tfoot>${foot.join("")}</tfoot></table></div></main>`,
  )
}
