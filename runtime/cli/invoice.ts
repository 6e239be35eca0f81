/** `stele invoice list|show|issue|export|verify`: invoices of a seller's books, and bundles of anybody's. */
import { open, rename, rm, stat } from "node:fs/promises"
import { ConfigError } from "../../schemas/error/config.ts"
import { escapeText } from "../../host/port/log.ts"
import { bundleOf, recordsBehind } from "../billing/bundle.ts"
import { priceTable } from "../billing/catalogue.ts"
import { groupedText } from "../billing/decimal.ts"
import {
  accountOf,
  type Billing,
  type CreditValue,
  draftDigest,
  draw,
  findCreditNote,
  instantText,
  type InvoiceAndState,
  invoiceNumbered,
  invoiceOf,
  invoices,
  type InvoiceValue,
  issue,
  dueAt,
  runBilling,
  subscriptionsOf,
  type Unrated,
} from "../billing/mod.ts"
import { encodeCreditNote, encodeDraft, encodeInvoice, invoiceJson, invoiceSummary } from "../billing/json.ts"
import { creditPage, invoicePage } from "../billing/page.ts"
import { lineForRules } from "../billing/plain.ts"
import { daysOf, type Days, type Shown, shownOf } from "../billing/shown.ts"
import { verifyBundle } from "../billing/verify.ts"
import { refusedRead, refusedWrite } from "./argument.ts"
import { type BooksFlags, openBooks } from "./books.ts"
import { bytesText } from "./quantity.ts"
import { at } from "./report.ts"
import { columns, noteLine, out, printLine, table, withProgress, wrap } from "./terminal.ts"

export interface NumberFlags extends BooksFlags {
  readonly number: string
}
export interface ShowFlags extends NumberFlags {
  readonly line: string | undefined
  readonly records: boolean
}
export interface ExportFlags extends NumberFlags {
  readonly as: string
  readonly output: string | undefined
}

const money = (amount: string, currency: string): string => `${groupedText(amount)} ${currency}`

export async function list({ account, ...flags }: BooksFlags & { readonly account: string | undefined }): Promise<void> {
  await using books = await openBooks(flags, "there")
  // One that is not there has no invoices in another way than one that has none.
  if (account !== undefined) await accountOf(books.billing, account)
  const all: Array<InvoiceAndState> = []
  for await (const one of invoices(books.billing, account === undefined ? {} : { account })) all.push(one)
  // Read by id, which begins with the subscription's.
  all.sort(({ invoice: a }, { invoice: b }) => (a.issuedAt === b.issuedAt ? (a.number < b.number ? -1 : 1) : a.issuedAt < b.issuedAt ? -1 : 1))
  if (flags.json) {
    return printLine(
      JSON.stringify({
        invoices: all.map(invoiceSummary),
      }),
    )
  }
  if (all.length === 0) return printLine("No invoices")
  const rows = await Promise.all(
    all.map(async ({ invoice, state }) => {
      const days = await daysOf(books.billing, invoice.account.zone)
      const payable = money(invoice.totals.payable, invoice.currency)
      return [invoice.number, escapeText(invoice.account.id), days.span(invoice.period), payable, state.status, days.of(invoice.dueAt)]
    }),
  )
  for (const line of table([["number", "account", "period", "payable", "status", "due"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
}

/** The line of this number, counted from 1. */
function lineAt(invoice: InvoiceValue, text: string): { readonly line: InvoiceValue["lines"][number]; readonly place: number } {
  const place = /^[1-9]\d{0,5}$/.test(text) ? Number(text) - 1 : -1
  const line = invoice.lines[place]
  if (line === undefined)
    throw new ConfigError("Option", { option: "--line", expected: `a line's number from 1 to ${invoice.lines.length}`, actual: JSON.stringify(text) })
  return { line, place }
}

async function explained(billing: Billing, invoice: InvoiceValue, line: InvoiceValue["lines"][number]): Promise<ReadonlyArray<string>> {
  const opened = await priceTable(billing, invoice.catalogue.digest, invoice.account)
  const ids = opened.description.meters.map(({ id }) => id)
  return opened.ask((catalogue) => opened.rules.ask("[method]catalogue.explain", [catalogue, lineForRules(line, ids)]))
}

async function showLine(billing: Billing, { invoice }: InvoiceAndState, flags: ShowFlags): Promise<void> {
  const { line, place } = lineAt(invoice, flags.line ?? "")
  const rating = invoice.ratings[line.rating]
  if (flags.records) {
    // As it is read: what is behind a line may be millions.
    if (rating !== undefined) for await (const page of recordsBehind(billing, invoice.account.id, rating)) process.stdout.write(page)
    return
  }
  const steps = await explained(billing, invoice, line)
  if (flags.json)
    return printLine(
      JSON.stringify({
        invoice: invoice.number,
        line: (encodeInvoice(invoice) as { readonly lines: ReadonlyArray<object> }).lines[place],
        explanation: steps,
        usage: rating?.usage === undefined ? null : { records: rating.usage.records, events: rating.usage.events },
      }),
    )
  printLine(out.bold(`${escapeText(line.title)}: ${money(line.amount, invoice.currency)}`))
  for (const step of steps) for (const text of wrap(escapeText(step), columns(process.stdout) - 2)) printLine(`  ${text}`)
  if (rating?.usage !== undefined)
    printLine(
      out.dim(`of ${groupedText(String(rating.usage.records))} usage records and ${groupedText(String(rating.usage.events))} events: --records prints them`),
    )
}

/** With its state, or as a draft. */
export function invoiceLines({ days, invoice, notes, state, titles }: Shown, width: number): ReadonlyArray<string> {
  const { currency, totals } = invoice
  const rows = invoice.lines.map((line, i) => [
    String(i + 1),
    escapeText(titles[i] ?? ""),
    days.span(line.span),
    groupedText(line.quantity),
    groupedText(line.amount),
  ])
  const sums: ReadonlyArray<readonly [string, string]> = [
    ["net", totals.net],
    ...totals.taxes.map(({ amount, tax }) => [`${invoice.document.taxes[tax]?.code ?? "tax"} ${invoice.document.taxes[tax]?.rate ?? ""} %`, amount] as const),
    ["total", totals.gross],
    ...(totals.payable === totals.gross ? [] : [["payable", totals.payable] as const]),
    ...(totals.payable.startsWith("-") ? [["to wallet", totals.payable.slice(1)] as const] : []),
  ]
  const amounts = Math.max(...sums.map(([, amount]) => groupedText(amount).length))
  return [
    out.bold(`Invoice ${invoice.number}`),
    ...table(
      [
        ["account", escapeText(invoice.account.title ?? invoice.account.id)],
        ["period", `${days.span(invoice.period)}, days of ${invoice.account.zone}`],
        state === undefined ? ["issued", "not yet"] : ["issued", `${days.of(invoice.issuedAt)}, due ${days.of(invoice.dueAt)}, ${state.status}`],
        ...notes.map(({ issuedAt, number, total }) => ["credited", `${money(total, currency)} by ${number}, ${days.of(issuedAt)}`]),
        ["price list", `${escapeText(invoice.catalogue.name)} ${escapeText(invoice.catalogue.version)}`],
      ],
      width,
      0,
      [out.dim],
    ),
    "",
    ...table([["", "line", "time", "quantity", "amount"], ...rows], Number.MAX_SAFE_INTEGER, 0),
    "",
    ...sums.map(([name, amount]) => `${escapeText(name).padEnd(12)} ${groupedText(amount).padStart(amounts)} ${currency}`),
  ]
}

function creditLines(
  { account, currency, invoiceNumber, issuedAt, lines, net, number, reason, settled, tax, total, wallet }: CreditValue,
  days: Days,
  width: number,
) {
  const sums = [
    ["net", net],
    ["tax", tax],
    ["total", total],
    ["off the debt", settled],
    ["to wallet", wallet],
  ] as const
  const amounts = Math.max(...sums.map(([, amount]) => groupedText(amount).length))
  const facts = [
    ["account", escapeText(account)],
    ["of invoice", invoiceNumber],
    ["issued", days.of(issuedAt)],
    ["reason", escapeText(reason)],
  ]
  const rows = lines.map(({ line, net: of, tax: its, title }) => [String(line + 1), escapeText(title), groupedText(of), groupedText(its)])
  return [
    out.bold(`Credit note ${number}`),
    ...table(facts, width, 0, [out.dim]),
    "",
    ...table([["", "line", "net", "tax"], ...rows], Number.MAX_SAFE_INTEGER, 0),
    "",
    ...sums.map(([name, amount]) => `${name.padEnd(12)} ${groupedText(amount).padStart(amounts)} ${currency}`),
  ]
}

/** The days of the account as its invoice had it. */
const daysOfNote = async (billing: Billing, { invoice }: CreditValue): Promise<Days> =>
  daysOf(billing, (await invoiceOf(billing, invoice)).invoice.account.zone)

export async function show(flags: ShowFlags): Promise<void> {
  await using books = await openBooks(flags, "there")
  const note = await findCreditNote(books.billing, flags.number)
  if (note !== undefined) {
    if (flags.line !== undefined || flags.records)
      throw new ConfigError("Usage", { detail: "A credit note is shown whole", advice: `stele invoice show ${note.invoiceNumber} --line ${flags.line ?? "1"}` })
    if (flags.json) return printLine(JSON.stringify(encodeCreditNote(note)))
    for (const line of creditLines(note, await daysOfNote(books.billing, note), columns(process.stdout))) printLine(line)
    return
  }
  const one = await invoiceNumbered(books.billing, flags.number)
  if (flags.line !== undefined) return await showLine(books.billing, one, flags)
  if (flags.records) throw new ConfigError("Usage", { detail: "Missing flag --line", advice: `stele invoice show ${flags.number} --line 1 --records` })
  if (flags.json) return printLine(JSON.stringify(invoiceJson(one)))
  for (const line of invoiceLines(await shownOf(books.billing, one), columns(process.stdout))) printLine(line)
}

export interface IssueFlags extends BooksFlags {
  readonly subscription: string
  readonly early: boolean
  readonly draft: string | undefined
  readonly dryRun: boolean
}

/** What would be issued, and the digest that names it. */
async function showDraft(billing: Billing, { early, subscription, ...flags }: IssueFlags): Promise<void> {
  const { draft } = await withProgress(`Rating ${subscription}`, flags.json, () => draw(billing, subscription, { isEarly: early }))
  const digest = draftDigest(draft)
  if (flags.json) return printLine(JSON.stringify({ wouldIssue: encodeDraft(draft), digest }))
  const at = { ...draft, number: "(draft)", series: "", issuedAt: 0n, dueAt: 0n, next: null }
  for (const line of invoiceLines(await shownOf(billing, { invoice: at, state: undefined }), columns(process.stdout))) printLine(line)
  printLine("")
  printLine(`Issue it as it is: ${out.cyan(`stele invoice issue ${subscription}${early ? " --early" : ""} --draft ${digest}`)}`)
}

const unratedJson = ({ period: { end, start }, tenant }: Unrated) => ({ start: instantText(start), end: instantText(end), tenant })

const noteUnrated = (subscription: string, { end, start, tenant }: ReturnType<typeof unratedJson>): void =>
  noteLine(`${subscription}: what came late of ${start} to ${end} is not billed: retention has removed records of ${escapeText(tenant)} of that time`)

export async function issueInvoice(flags: IssueFlags): Promise<void> {
  const { draft, early, subscription } = flags
  await using books = await openBooks(flags, "there")
  if (flags.dryRun) return await showDraft(books.billing, flags)
  const found = await withProgress(`Rating ${subscription}`, flags.json, () =>
    issue(books.billing, subscription, { isEarly: early, ...(draft === undefined ? {} : { draft }) }),
  )
  const { invoice, isNew } = found
  const drafted = found.invoice === undefined ? undefined : found.drafted
  const unrated = (found.unrated ?? []).map(unratedJson)
  if (flags.json) {
    const all = invoice === undefined ? null : invoiceJson(await invoiceOf(books.billing, invoice.id))
    return printLine(JSON.stringify({ invoice: all, isNew, ...(drafted === undefined ? {} : { drafted }), unrated }))
  }
  for (const one of unrated) noteUnrated(subscription, one)
  if (invoice === undefined) return printLine("Nothing is due: the period is closed without an invoice")
  if (drafted !== undefined) noteLine(`The draft that was kept had it otherwise: ${money(drafted.payable, invoice.currency)}`)
  const due = (await daysOf(books.billing, invoice.account.zone)).of(invoice.dueAt)
  printLine(`${isNew ? "Issued" : "Was issued as"} ${invoice.number}: ${money(invoice.totals.payable, invoice.currency)}, due ${due}`)
}

/** A number as it is, a text in quotes. What begins a cell so is a formula to spreadsheets, some of which begin cells after `;` and tabs, too. */
const cell = (text: string): string =>
  text === "" || /^-?\d+(\.\d+)?$/.test(text) ? text : `"${text.replace(/(^|[;\t\r\n])(?=\s*[=+\-@\t\r])/g, "$1'").replaceAll('"', '""')}"`

export const invoiceCsv = ({ invoice }: InvoiceAndState): string => {
  const head = ["number", "line", "charge", "attribute", "title", "from", "to", "quantity", "amount", "currency", "meter"]
  const rows = invoice.lines.map((line, i) => [
    invoice.number,
    String(i + 1),
    line.charge,
    line.attribute ?? "",
    line.title,
    instantText(line.span.start),
    instantText(line.span.end),
    line.quantity,
    line.amount,
    invoice.currency,
    line.meter ?? "",
  ])
  return [head.join(","), ...rows.map((row) => row.map(cell).join(","))].join("\r\n")
}

/** Writes a file that is there whole or not at all. */
async function written(path: string, work: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>): Promise<number> {
  const draft = `${path}.${process.pid}.part`
  const refuse = (cause: unknown): never => {
    throw refusedWrite(path, cause)
  }
  // What is no file takes none: said before anything is made.
  const there = await stat(path).catch(() => undefined)
  if (there?.isDirectory() === true) refuse(Object.assign(new Error(), { code: "EISDIR" }))
  const file = await open(draft, "w").catch(refuse)
  let size = 0
  try {
    await work(async (bytes) => {
      size += bytes.length
      await file.writeFile(bytes)
    })
    await file.sync()
    await file.close()
    await rename(draft, path).catch(refuse)
    return size
  } catch (error) {
    await file.close()
    await rm(draft, { force: true })
    throw error
  }
}

const forms = ["json", "csv", "html", "bundle"] as const

export async function exportInvoice(flags: ExportFlags): Promise<void> {
  const form = forms.find((one) => one === flags.as)
  if (form === undefined) throw new ConfigError("Option", { option: "--as", expected: forms.join(", "), actual: JSON.stringify(flags.as) })
  if (form === "bundle" && flags.output === undefined)
    throw new ConfigError("Usage", { detail: "A bundle is no text", advice: `stele invoice export ${flags.number} --as bundle -o ${flags.number}.bundle` })
  await using books = await openBooks(flags, "there")
  const note = await findCreditNote(books.billing, flags.number)
  if (note !== undefined) return await exportNote(books.billing, note, form, flags)
  const one = await invoiceNumbered(books.billing, flags.number)
  const path = flags.output
  if (form === "bundle" && path !== undefined) {
    let digest = ""
    const size = await written(path, async (write) => void (digest = await bundleOf(books.billing, one.invoice.id, write)))
    if (flags.json) printLine(JSON.stringify({ bundle: path, bytes: size, digest }))
    else {
      printLine(`Wrote ${escapeText(path)}, ${bytesText(size)}`)
      printLine(out.dim(`digest ${digest}, of all in it up to its last part, which says it: invoice verify --digest wants it`))
    }
    return
  }
  const text = form === "csv" ? invoiceCsv(one) : form === "html" ? invoicePage(await shownOf(books.billing, one)).body : jsonText(invoiceJson(one))
  await putOut(text, flags)
}

const jsonText = (of: unknown): string => JSON.stringify(of, undefined, 2)

async function exportNote(billing: Billing, note: CreditValue, form: (typeof forms)[number], flags: ExportFlags): Promise<void> {
  if (form === "csv" || form === "bundle")
    throw new ConfigError("Option", { option: "--as", expected: "json or html for a credit note", actual: JSON.stringify(form) })
  await putOut(form === "html" ? creditPage(note, await daysOfNote(billing, note)).body : jsonText(encodeCreditNote(note)), flags)
}

async function putOut(text: string, { json, output: path }: ExportFlags): Promise<void> {
  if (path === undefined) return printLine(text)
  const size = await written(path, (write) => write(new TextEncoder().encode(`${text}\n`)))
  if (json) printLine(JSON.stringify({ file: path, bytes: size }))
  else printLine(`Wrote ${escapeText(path)}, ${bytesText(size)}`)
}

/** Opened once before: what the system says of a file is not said of a bundle. */
async function mustBeFile(file: string): Promise<void> {
  try {
    await (await open(file, "r")).close()
    if ((await stat(file)).isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" })
  } catch (cause) {
    throw refusedRead(file, cause)
  }
}

export async function verify({ file, digest, json }: { readonly file: string; readonly digest: string | undefined; readonly json: boolean }): Promise<void> {
  await mustBeFile(file)
  const found = await at({ file }, () =>
    withProgress(`Verifying ${file}`, json, () => verifyBundle(file, digest === undefined ? {} : { digest: digest.replace(/^sha256:/, "") })),
  )
  const { invoice, lines, parts, rows, rules, sums } = found
  if (json) {
    const { currency, id, number, totals } = invoice
    return printLine(
      JSON.stringify({ verified: true, invoice: { id, number, payable: totals.payable, currency }, lines, rows, sums, parts, rules, digest: found.digest }),
    )
  }
  printLine(`${out.green("verified")} invoice ${escapeText(invoice.number)}, ${money(invoice.totals.payable, invoice.currency)}`)
  printLine(out.dim(`${lines} lines computed anew from ${groupedText(String(rows))} rows and ${sums} sums, by ${rules}`))
  printLine(out.dim(`digest ${found.digest}, of all in it up to its last part, which says it`))
}

/** What a run would bill now, and what one has billed. */
export async function runDue({ dryRun, ...flags }: BooksFlags & { readonly dryRun: boolean }): Promise<void> {
  await using books = await openBooks(flags)
  const { billing } = books
  if (dryRun) {
    const now = await billing.now()
    const due: Array<{ readonly subscription: string; readonly account: string; readonly since: string }> = []
    for await (const { id, value } of subscriptionsOf(billing)) {
      const at = dueAt(billing, value)
      if (at !== undefined && at <= now) due.push({ subscription: id, account: value.account, since: instantText(at) })
    }
    if (flags.json) return printLine(JSON.stringify({ wouldBill: due }))
    if (due.length === 0) return printLine("Nothing is due")
    const rows = due.map(({ account, since, subscription }) => [subscription, account, since])
    for (const line of table([["subscription", "account", "due since"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
    return
  }
  const { failed, issued, overdue, redrawn, unrated, unsampled } = await withProgress("Billing", flags.json, () => runBilling(billing))
  if (failed.length > 0) process.exitCode = 1
  if (flags.json) {
    const problem = ({ code, message }: { readonly code: string; readonly message: string }): object => ({ code, message })
    return printLine(
      JSON.stringify({
        issued,
        redrawn,
        overdue,
        unrated: unrated.map((one) => ({ subscription: one.subscription, ...unratedJson(one) })),
        failed: failed.map(({ error, subscription }) => ({ subscription, error: problem(error) })),
        unsampled: unsampled.map(({ error, tenant }) => ({ tenant, error: problem(error) })),
      }),
    )
  }
  printLine(`Issued ${issued.length} invoices, ${overdue.length} became overdue`)
  for (const { invoice, payable } of redrawn) noteLine(`${invoice}: the draft that was kept had ${payable} payable`)
  for (const one of unrated) noteUnrated(one.subscription, unratedJson(one))
  for (const { error, subscription } of failed) noteLine(`${subscription}: ${error.code} ${escapeText(error.message)}`)
  for (const { error, tenant } of unsampled) noteLine(`storage of ${escapeText(tenant)} is not counted: ${error.code} ${escapeText(error.message)}`)
}
