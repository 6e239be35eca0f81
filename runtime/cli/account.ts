/** `stele account add|list|show|subscribe`, and `stele prices add|list`: who is billed, and by which price list. */
import { textOf } from "../port/place.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { tenantsOf } from "../billing/account.ts"
import {
  type AccountValue,
  accountOf,
  accounts,
  addCatalogue,
  type Billing,
  instantText,
  putAccount,
  subscribe,
  subscriptionsOf,
  type SubscriptionValue,
} from "../billing/mod.ts"
import { rowsOf } from "../billing/rows.ts"
import { type BooksFlags, openBooks, parseInstant, parseNumber } from "./books.ts"
import { compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { columns, out, printLine, table } from "./terminal.ts"

export interface AddFlags extends BooksFlags {
  readonly id: string
  readonly currency: string
  readonly zone: string
  readonly title: string | undefined
  readonly tenant: ReadonlyArray<string>
  readonly tax: ReadonlyArray<string>
  readonly dueDays: string | undefined
  readonly dryRun: boolean
}

const accountJson = (account: AccountValue): object => ({ ...account, tenants: tenantsOf(account) })
const subscriptionJson = ({ catalogue, id, next, plan, sequence, start, zone }: SubscriptionValue): object => ({
  id,
  plan,
  catalogue,
  zone,
  start: instantText(start),
  next: next === null ? null : { start: instantText(next.start), end: instantText(next.end) },
  sequence,
})

export async function add({ currency, dryRun, dueDays, id, tax, tenant, title, zone, ...flags }: AddFlags): Promise<void> {
  if (dueDays !== undefined && !/^\d{1,3}$/.test(dueDays))
    throw new ConfigError("Option", { option: "--due-days", expected: "days from 0 to 366", actual: quote(dueDays, 40) })
  const [first, ...more] = tenant
  const account = {
    id,
    ...(title === undefined ? {} : { title }),
    ...(first === undefined ? {} : { tenants: [first, ...more] as const }),
    zone,
    currency,
    ...(dueDays === undefined ? {} : { dueDays: Number(dueDays) }),
    ...(tax.length === 0
      ? {}
      : {
          taxes: tax.map((text) => {
            const [code, rate] = parseNumber("--tax", text, "vat=20")
            return { code, rate, treatment: "standard" as const }
          }),
        }),
  }
  await using books = await openBooks(flags)
  if (dryRun) {
    await books.billing.zone(zone)
    if (flags.json) printLine(JSON.stringify({ wouldAdd: account }))
    else printLine(`Would add ${escapeText(id)}`)
    return
  }
  const added = await putAccount(books.billing, account)
  if (flags.json) printLine(JSON.stringify({ added: accountJson(added) }))
  else printLine(`Added ${added.id}, billed in ${added.currency} by days of ${added.zone}, for the usage of ${tenantsOf(added).map(escapeText).join(", ")}`)
}

export async function list(flags: BooksFlags): Promise<void> {
  await using books = await openBooks(flags)
  const all: Array<AccountValue> = []
  for await (const one of accounts(books.billing)) all.push(one)
  if (flags.json) return printLine(JSON.stringify({ accounts: all.map(accountJson) }))
  if (all.length === 0) return printLine("No accounts")
  const rows = all.map((one) => [one.id, escapeText(one.title ?? ""), one.currency, one.zone, tenantsOf(one).map(escapeText).join(", ")])
  for (const line of table([["account", "title", "currency", "zone", "usage of"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
}

export async function show({ id, ...flags }: BooksFlags & { readonly id: string }): Promise<void> {
  await using books = await openBooks(flags)
  const account = await accountOf(books.billing, id)
  const subscriptions: Array<SubscriptionValue> = []
  for await (const { value } of subscriptionsOf(books.billing, id)) subscriptions.push(value)
  if (flags.json) return printLine(JSON.stringify({ account: accountJson(account), subscriptions: subscriptions.map(subscriptionJson) }))
  const facts = [
    ["account", `${account.id}${account.title === undefined ? "" : `, ${escapeText(account.title)}`}`],
    ["billed", `in ${account.currency}, by days of ${account.zone}`],
    ["usage of", tenantsOf(account).map(escapeText).join(", ")],
    ["taxes", (account.taxes ?? []).map(({ code, rate }) => `${code} ${rate} %`).join(", ") || "none"],
  ]
  for (const line of table(facts, columns(process.stdout), 0, [out.dim])) printLine(line)
  for (const { id: name, next, plan, sequence } of subscriptions)
    printLine(
      `${out.cyan(name)} ${escapeText(plan)}: ${next === null ? "ended" : `${instantText(next.start)} to ${instantText(next.end)} is next, invoice ${sequence}`}`,
    )
}

interface KnownList {
  readonly digest: string
  readonly name: string
  readonly version: string
  readonly currency: string
  readonly plans: ReadonlyArray<string>
}

/** The price lists of the books, as the rules in force describe them. */
async function knownLists(billing: Billing): Promise<ReadonlyArray<KnownList>> {
  const rules = await billing.components.rulesOf(undefined, "the price list's")
  const found: Array<KnownList> = []
  for await (const { key, value } of rowsOf(billing, "catalogue/")) {
    const digest = `sha256:${textOf(key).slice("catalogue/".length)}`
    const { description } = await billing.components.table(rules, digest, async () => textOf(value))
    found.push({ digest, name: description.name, version: description.version, currency: description.currency, plans: description.plans })
  }
  return found
}

export const addPrices = ({ file, ...flags }: BooksFlags & { readonly file: string }): Promise<void> =>
  withListPlaces(flags.json, async () => {
    const list = await readList(file)
    // Before anything is opened for writing: mistakes with their places.
    {
      await using opened = await openRules(flags.plugin)
      await compileList(opened.rules, list)
    }
    await using books = await openBooks(flags)
    const { description, digest } = await addCatalogue(books.billing, list.text)
    if (flags.json) return printLine(JSON.stringify({ added: { digest, name: description.name, version: description.version, plans: description.plans } }))
    printLine(`Added ${escapeText(description.name)} ${escapeText(description.version)} ${out.dim(digest)}`)
  })

export async function listPrices(flags: BooksFlags): Promise<void> {
  await using books = await openBooks(flags)
  const all = await knownLists(books.billing)
  if (flags.json) return printLine(JSON.stringify({ priceLists: all }))
  if (all.length === 0) return printLine("No price lists")
  const rows = all.map(({ currency, digest, name, plans, version }) => [
    escapeText(name),
    escapeText(version),
    currency,
    digest.slice(7, 19),
    plans.map(escapeText).join(", "),
  ])
  for (const line of table([["price list", "version", "currency", "digest", "plans"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
}

export interface SubscribeFlags extends BooksFlags {
  readonly id: string
  readonly prices: string
  readonly plan: string
  readonly start: string
  readonly as: string | undefined
  readonly quantity: ReadonlyArray<string>
}

export async function subscribeAccount({ as, id, plan, prices, quantity, start, ...flags }: SubscribeFlags): Promise<void> {
  await using books = await openBooks(flags)
  const known = await knownLists(books.billing)
  const found = known.filter(({ digest, name }) => name === prices || digest === prices || digest.startsWith(`sha256:${prices}`))
  const [list] = found
  if (list === undefined || found.length > 1)
    throw new ConfigError("Usage", {
      detail: list === undefined ? `No price list ${quote(prices, 80)} was added` : `${found.length} price lists are called ${quote(prices, 80)}`,
      advice:
        list === undefined
          ? `stele prices add ${prices}`
          : `give the first characters of a digest: ${found.map(({ digest, version }) => `${digest.slice(7, 19)} (version ${version})`).join(", ")}`,
    })
  const made = await subscribe(books.billing, {
    id: as ?? `${id}-${plan}`,
    account: id,
    catalogue: list.digest,
    plan,
    start: parseInstant("--start", start),
    ...(quantity.length === 0 ? {} : { quantities: Object.fromEntries(quantity.map((text) => parseNumber("--quantity", text, "seats=5"))) }),
  })
  if (flags.json) return printLine(JSON.stringify({ subscription: subscriptionJson(made) }))
  printLine(`Subscribed ${escapeText(id)} to ${escapeText(plan)} as ${made.id}; its first invoice is due: stele invoice issue ${made.id}`)
}
