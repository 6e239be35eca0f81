/** What pages of this folder share: their style, and tables. */
import { groupedText } from "../billing/decimal.ts"
import { escapeHtml } from "../billing/page.ts"

export const pageStyle = `:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}*{box-sizing:border-box}
body{max-width:72rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .25rem}p{max-width:48rem}
nav a{margin-right:1.2em}nav [aria-current]{font-weight:700;text-decoration:none}a{color:LinkText}a:focus-visible{outline:2px solid}
figure{margin:1rem 0}figcaption,.dim,dt{color:GrayText}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dd{margin:0}
svg{width:100%;height:auto;max-width:72rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.5rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,transparent);vertical-align:top;overflow-wrap:anywhere}th{overflow-wrap:normal}.number{text-align:right;white-space:nowrap}
tfoot *{font-weight:700}@media print{:root{color-scheme:light}nav{display:none}body{margin:0;max-width:none}}`

/** A cell: a text, a number of figures, or a text that leads somewhere. */
export type Cell = string | { readonly number: string } | { readonly text: string; readonly href: string }
export interface Column {
  readonly name: string
  readonly isNumber?: boolean
}

export const figure = (text: string | bigint): Cell => ({ number: groupedText(String(text)) })
function cell(of: Cell): string {
  if (typeof of === "string") return `<td>${escapeHtml(of)}</td>`
  if ("number" in of) return `<td class="number">${escapeHtml(of.number)}</td>`
  return `<td><a href="${escapeHtml(of.href)}">${escapeHtml(of.text)}</a></td>`
}

/** In a region of its own, which is moved where it is wider than a screen. */
export function table(caption: string, columns: ReadonlyArray<Column>, rows: ReadonlyArray<ReadonlyArray<Cell>>, foot: ReadonlyArray<Cell> = []): string {
  const head = columns.map(({ isNumber, name }) => `<th scope="col"${isNumber === true ? ' class="number"' : ""}>${escapeHtml(name)}</th>`)
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`)
  const end = foot.length === 0 ? "" : `<tfoot><tr>${foot.map(cell).join("")}</tr></tfoot>`
  return `<div class="wide" tabindex="0" role="region" aria-label="${escapeHtml(caption)}"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${head.join("")}</tr></thead><tbody>${body.join("")}</tbody>${end}</table></div>`
}

export const number = (name: string): Column => ({ name, isNumber: true })
