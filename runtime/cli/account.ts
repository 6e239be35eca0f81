/** `stele account add|list|show|subscribe|change`, and `stele prices add|list`: who is billed, and by which price list. */
import { textOf } from "../port/place.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { escapeText } from "../../host/port/log.ts"
import { tenantsOf } from "../billing/account.ts"
import {
  type AccountValue,
  accountOf,
  accounts,
  addCatalogue,
  changePriceList,
  changeSubscription,
  type ChangeValue,
  type Billing,
  instantText,
  putAccount,
  subscribe,
  subscriptionOf,
  subscriptionsOf,
  type SubscriptionValue,
} from "../billing/mod.ts"
import { digitsBy } from "../billing/convert/mod.ts"
import type { PriceTable } from "../billing/price-table.ts"
import type { SpanValue } from "../billing/record.ts"
import { rowsOf } from "../billing/rows.ts"
import { termsAt } from "../billing/subscription.ts"
import { type BooksFlags, openBooks, parseInstant, parseNumber } from "./books.ts"
import { checkCharges, checkPlan, compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { columns, out, printLine, table } from "./terminal.ts"

export interface AddFlags extends BooksFlags {
  readonly id: string
  readonly currency: string | undefined
  readonly zone: string | undefined
  readonly title: string | undefined
  readonly tenant: ReadonlyArray<string>
  readonly tax: ReadonlyArray<string>
  readonly dueDays: string | undefined
  readonly dryRun: boolean
}

const accountJson = (account: AccountValue): object => ({ ...account, tenants: tenantsOf(account) })
const subscriptionJson = ({ catalogue, changes, id, last, next, plan, predecessor, sequence, start, successor, zone }: SubscriptionValue): object => ({
  id,
  plan,
  catalogue,
  zone,
  start: instantText(start),
  next: next === null ? null : { start: instantText(next.start), end: instantText(next.end) },
  sequence,
  changes: changes.map(({ at, ...rest }) => ({ ...rest, at: instantText(at) })),
  ...(last === undefined ? {} : { last: { start: instantText(last.start), end: instantText(last.end) } }),
  ...(successor === undefined ? {} : { successor }),
  ...(predecessor === undefined ? {} : { predecessor }),
})

/** A change in words, with the instant that it is from on. */
function plannedText(change: ChangeValue, { end }: SpanValue): string {
  const at = change.atPeriodEnd === true && change.at < end ? end : change.at
  const when = `${change.atPeriodEnd === true && at !== end ? "the end of the period of " : ""}${instantText(at)}`
  switch (change.what) {
    case "plan":
      return `${change.plan} from ${when} on`
    case "quantity":
      return `${change.charge} ${change.quantity} from ${when} on`
    case "zone":
      return `zone ${change.zone} from ${when} on`
    case "cancel":
      return `cancelled, ends at ${when}`
    default:
      return `${change.what}d from ${when} on`
  }
}

function stateOf(subscription: SubscriptionValue): string {
  const { changes, last, next, sequence, successor } = subscription
  const goesOn = successor === undefined ? "" : `, goes on as ${successor}`
  if (next !== null) {
    const paused = termsAt(subscription, next, next.start - 1n).isPaused ? ["paused"] : []
    const planned = changes.filter(({ at, what }) => at >= next.start && (successor === undefined || what !== "cancel"))
    const more = [...paused, ...planned.map((change) => plannedText(change, next))].map((text) => `, ${escapeText(text)}`)
    return `${instantText(next.start)} to ${instantText(next.end)} is next, invoice ${sequence}${more.join("")}${goesOn}`
  }
  return `ended${last === undefined ? "" : ", usage that comes late is waited for"}${goesOn}`
}

/** A code of ISO 4217 that the rules know, or the unit that a price list of the books is in. @throws ConfigError `Option` */
async function checkCurrency(billing: Billing, currency: string): Promise<void> {
  const digits = digitsBy(await billing.components.rulesOf(undefined, "the price list's"))
  if ((await digits(currency)) !== undefined || (await knownLists(billing)).some((list) => list.currency === currency)) return
  // Rules of somebody's own that read other lists do not say which currencies there are.
  if ((await digits("EUR")) === undefined) return
  throw new ConfigError("Option", {
    option: "--currency",
    expected: "a code of ISO 4217 such as EUR, or the unit of a price list that was added",
    actual: quote(currency, 40),
  })
}

/** `vat=20`, in percent. */
function taxOf(text: string): { readonly code: string; readonly rate: string; readonly treatment: "standard" } {
  const found = /^([^=]+)=((?:0|[1-9]\d?)(?:\.\d{1,18})?|100(?:\.0{1,18})?)$/.exec(text)
  if (found === null)
    throw new ConfigError("Option", { option: "--tax", expected: "CODE=PERCENT from 0 to 100 such as vat=20, or none", actual: quote(text, 100) })
  return { code: found[1] as string, rate: found[2] as string, treatment: "standard" }
}

async function knownAccount(billing: Billing, id: string): Promise<AccountValue | undefined> {
  try {
    return await accountOf(billing, id)
  } catch (error) {
    if (error instanceof BillingError && error.reason._tag === "Unknown") return undefined
    throw error
  }
}

const taxesText = ({ taxes = [] }: AccountValue): string => taxes.map(({ code, rate }) => `${code} ${rate} %`).join(", ") || "none"

/** What is said of an account, by name. */
const saidOf = (account: AccountValue): Readonly<Record<string, string>> => ({
  currency: account.currency,
  zone: account.zone,
  title: account.title ?? "none",
  "usage of": tenantsOf(account).join(", "),
  taxes: taxesText(account),
  "days until due": account.dueDays === undefined ? "as of all" : String(account.dueDays),
})

function changesBetween(before: AccountValue, after: AccountValue): ReadonlyArray<string> {
  const now = saidOf(after)
  return Object.entries(saidOf(before)).flatMap(([name, was]) => (now[name] === was ? [] : [`${name} ${was} -> ${now[name]}`]))
}

export async function add({ currency: code, dryRun, dueDays, id, tax, tenant, title, zone, ...flags }: AddFlags): Promise<void> {
  if (dueDays !== undefined && !/^\d{1,3}$/.test(dueDays))
    throw new ConfigError("Option", { option: "--due-days", expected: "days from 0 to 366", actual: quote(dueDays, 40) })
  const [first, ...more] = tenant
  const taxes = tax.length === 1 && tax[0] === "none" ? [] : tax.map(taxOf)
  await using books = await openBooks(flags)
  const { billing } = books
  const before = await knownAccount(billing, id)
  const currency = code ?? before?.currency
  if (currency === undefined) throw new ConfigError("Usage", { detail: "Missing flag --currency", advice: `stele account add ${id} --currency EUR` })
  if (code !== undefined && code !== before?.currency) await checkCurrency(billing, code)
  // What is not said stays as it was.
  const account: AccountValue = {
    zone: "UTC",
    ...before,
    id,
    currency,
    ...(zone === undefined ? {} : { zone }),
    ...(title === undefined ? {} : { title }),
    ...(first === undefined ? {} : { tenants: [first, ...more] as const }),
    ...(dueDays === undefined ? {} : { dueDays: Number(dueDays) }),
    ...(tax.length === 0 ? {} : { taxes }),
  }
  if (dryRun) await billing.zone(account.zone)
  else await putAccount(billing, account)
  if (before === undefined) {
    if (flags.json) return printLine(JSON.stringify({ [dryRun ? "wouldAdd" : "added"]: accountJson(account) }))
    if (dryRun) return printLine(`Would add ${escapeText(id)}`)
    return printLine(
      `Added ${account.id}, billed in ${account.currency} by days of ${account.zone}, for the usage of ${tenantsOf(account).map(escapeText).join(", ")}`,
    )
  }
  if (flags.json) return printLine(JSON.stringify({ [dryRun ? "wouldChange" : "changed"]: accountJson(account), before: accountJson(before) }))
  const changes = changesBetween(before, account)
  if (changes.length === 0) return printLine(`${account.id} is so already`)
  printLine(`${dryRun ? "Would change" : "Changed"} ${account.id}: ${changes.map(escapeText).join(", ")}`)
}

export async function list(flags: BooksFlags): Promise<void> {
  await using books = await openBooks(flags, "there")
  const all: Array<AccountValue> = []
  for await (const one of accounts(books.billing)) all.push(one)
  if (flags.json) return printLine(JSON.stringify({ accounts: all.map(accountJson) }))
  if (all.length === 0) return printLine("No accounts")
  const rows = all.map((one) => [one.id, escapeText(one.title ?? ""), one.currency, one.zone, tenantsOf(one).map(escapeText).join(", ")])
  for (const line of table([["account", "title", "currency", "zone", "usage of"], ...rows], columns(process.stdout), 0, [out.cyan])) printLine(line)
}

export async function show({ id, ...flags }: BooksFlags & { readonly id: string }): Promise<void> {
  await using books = await openBooks(flags, "there")
  const account = await accountOf(books.billing, id)
  const subscriptions: Array<SubscriptionValue> = []
  for await (const { value } of subscriptionsOf(books.billing, id)) subscriptions.push(value)
  if (flags.json) return printLine(JSON.stringify({ account: accountJson(account), subscriptions: subscriptions.map(subscriptionJson) }))
  const facts = [
    ["account", `${account.id}${account.title === undefined ? "" : `, ${escapeText(account.title)}`}`],
    ["billed", `in ${account.currency}, by days of ${account.zone}`],
    ["usage of", tenantsOf(account).map(escapeText).join(", ")],
    ["taxes", taxesText(account)],
  ]
  for (const line of table(facts, columns(process.stdout), 0, [out.dim])) printLine(line)
  for (const one of subscriptions) printLine(`${out.cyan(one.id)} ${escapeText(one.plan)}: ${stateOf(one)}`)
}

interface KnownList {
  readonly digest: string
  readonly name: string
  readonly version: string
  readonly currency: string
  readonly plans: ReadonlyArray<string>
  readonly shape: PriceTable["shape"]
}

/** The price lists of the books, as the rules in force describe them. */
async function knownLists(billing: Billing): Promise<ReadonlyArray<KnownList>> {
  const rules = await billing.components.rulesOf(undefined, "the price list's")
  const found: Array<KnownList> = []
  for await (const { key, value } of rowsOf(billing, "catalogue/")) {
    const digest = `sha256:${textOf(key).slice("catalogue/".length)}`
    const { description, shape } = await billing.components.table(rules, digest, async () => textOf(value))
    found.push({ shape, digest, name: description.name, version: description.version, currency: description.currency, plans: description.plans })
  }
  return found
}

export const addPrices = ({ dryRun, file, ...flags }: BooksFlags & { readonly file: string; readonly dryRun: boolean }): Promise<void> =>
  withListPlaces(flags.json, async () => {
    const list = await readList(file)
    // Before anything is opened for writing: mistakes with their places.
    {
      await using opened = await openRules(flags.plugin)
      const { description } = await compileList(opened.rules, list)
      const { name, plans, version } = description
      if (dryRun) return printLine(flags.json ? JSON.stringify({ wouldAdd: { name, version, plans } }) : `Would add ${escapeText(name)} ${escapeText(version)}`)
    }
    await using books = await openBooks(flags)
    const { description, digest } = await addCatalogue(books.billing, list.text)
    if (flags.json) return printLine(JSON.stringify({ added: { digest, name: description.name, version: description.version, plans: description.plans } }))
    printLine(`Added ${escapeText(description.name)} ${escapeText(description.version)} ${out.dim(digest)}`)
  })

export async function listPrices(flags: BooksFlags): Promise<void> {
  await using books = await openBooks(flags, "there")
  const all = await knownLists(books.billing)
  if (flags.json)
    return printLine(JSON.stringify({ priceLists: all.map(({ currency, digest, name, plans, version }) => ({ digest, name, version, currency, plans })) }))
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
  readonly dryRun: boolean
}

/** The one price list of the books that is called so. */
async function listNamed(billing: Billing, prices: string): Promise<KnownList> {
  const found = (await knownLists(billing)).filter(({ digest, name }) => name === prices || digest === prices || digest.startsWith(`sha256:${prices}`))
  const [list] = found
  if (list !== undefined && found.length === 1) return list
  throw new ConfigError("Usage", {
    detail: list === undefined ? `No price list ${quote(prices, 80)} was added` : `${found.length} price lists are called ${quote(prices, 80)}`,
    advice:
      list === undefined
        ? `stele prices add ${prices}`
        : `give the first characters of a digest: ${found.map(({ digest, version }) => `${digest.slice(7, 19)} (version ${version})`).join(", ")}`,
  })
}

export async function subscribeAccount({ as, dryRun, id, plan, prices, quantity, start, ...flags }: SubscribeFlags): Promise<void> {
  await using books = await openBooks(flags, "there")
  const list = await listNamed(books.billing, prices)
  checkPlan(plan, list.plans)
  const quantities = Object.fromEntries(quantity.map((text) => parseNumber("--quantity", text, "seats=5")))
  checkCharges(Object.keys(quantities), list.shape, plan)
  const agreement = {
    id: as ?? `${id}-${plan}`,
    account: id,
    catalogue: list.digest,
    plan,
    start: parseInstant("--start", start),
    ...(quantity.length === 0 ? {} : { quantities }),
  }
  const made = await subscribe(books.billing, agreement, { isTried: dryRun })
  if (flags.json) return printLine(JSON.stringify({ [dryRun ? "wouldSubscribe" : "subscription"]: subscriptionJson(made) }))
  if (dryRun) return printLine(`Would subscribe ${escapeText(id)} to ${escapeText(plan)} as ${made.id}: ${stateOf(made)}`)
  printLine(`Subscribed ${escapeText(id)} to ${escapeText(plan)} as ${made.id}; its first invoice is due: stele invoice issue ${made.id}`)
}

export interface ChangeFlags extends BooksFlags {
  readonly id: string
  readonly prices: string | undefined
  readonly plan: string | undefined
  readonly quantity: ReadonlyArray<string>
  readonly pause: boolean
  readonly resume: boolean
  readonly cancel: boolean
  readonly at: string | undefined
  readonly atPeriodEnd: boolean
  readonly as: string | undefined
  readonly dryRun: boolean
}

/** Says so where a change would change nothing of what is in force then. @throws ConfigError `Usage` */
function checkChanges(subscription: SubscriptionValue, change: ChangeValue): void {
  const { account, changes, id, next } = subscription
  if (next === null) return
  const refuse = (detail: string): never => {
    throw new ConfigError("Usage", { detail: `${id} ${detail}`, advice: `stele account show ${account} says what it is, and what is planned` })
  }
  if (change.what === "cancel" && changes.some(({ what }) => what === "cancel")) return refuse("is cancelled already")
  const isLater = change.atPeriodEnd === true || change.at >= next.end
  // What is planned for periods that are not known yet is the rules' to say.
  if (isLater && changes.some(({ at }) => at >= next.end)) return
  const terms = termsAt(subscription, isLater ? { start: next.end, end: next.end } : next, isLater ? next.end : change.at)
  if (change.what === "resume" && !terms.isPaused) return refuse("is not paused then")
  if (change.what === "pause" && terms.isPaused) return refuse("is paused then already")
  if (change.what === "plan" && terms.plan === change.plan) return refuse(`has the plan ${quote(change.plan, 64)} then already`)
  if (change.what === "quantity" && (terms.quantities[change.charge] ?? "1") === change.quantity)
    return refuse(`has ${change.quantity} of ${quote(change.charge, 64)} then already`)
}

type When = Pick<ChangeValue, "at" | "atPeriodEnd">

/** What the flags say, each a change of its own; a price list is one with its plan and numbers. */
function changesOf({ cancel, pause, plan, quantity, resume }: ChangeFlags, when: When): ReadonlyArray<ChangeValue> {
  return [
    ...(plan === undefined ? [] : [{ ...when, what: "plan", plan } as const]),
    ...quantity.map((text) => {
      const [charge, amount] = parseNumber("--quantity", text, "seats=5")
      return { ...when, what: "quantity", charge, quantity: amount } as const
    }),
    ...(pause ? [{ ...when, what: "pause" } as const] : []),
    ...(resume ? [{ ...when, what: "resume" } as const] : []),
    ...(cancel ? [{ ...when, what: "cancel" } as const] : []),
  ]
}

export async function change(flags: ChangeFlags): Promise<void> {
  const { as, atPeriodEnd, cancel, dryRun, id, json, pause, plan, prices, quantity, resume } = flags
  const given = flags.at === undefined ? undefined : parseInstant("--at", flags.at)
  const alone = [cancel, pause, resume].filter(Boolean).length
  if (alone > 1 || (alone === 1 && (prices !== undefined || plan !== undefined || quantity.length > 0)))
    throw new ConfigError("Usage", { detail: "--pause, --resume and --cancel stand alone", advice: `stele account change ${id} --cancel --at-period-end` })
  if (alone === 0 && prices === undefined && plan === undefined && quantity.length === 0)
    throw new ConfigError("Usage", {
      detail: "Nothing is to be changed",
      advice: `stele account change ${id} --plan PLAN, or --prices, --quantity, --pause, --resume, --cancel`,
    })
  await using books = await openBooks(flags, "there")
  const { billing } = books
  const when: When = { at: given ?? (await billing.now()), ...(atPeriodEnd ? { atPeriodEnd } : {}) }
  const begin = dryRun ? "Would change" : "Changed"
  if (prices !== undefined) {
    const list = await listNamed(billing, prices)
    const numbers = Object.fromEntries(quantity.map((text) => parseNumber("--quantity", text, "seats=5")))
    const terms = { catalogue: list.digest, plan: plan ?? (await subscriptionOf(billing, id)).plan, ...when }
    checkPlan(terms.plan, list.plans)
    checkCharges(Object.keys(numbers), list.shape, terms.plan)
    const order = { ...terms, ...(as === undefined ? {} : { as }), ...(quantity.length === 0 ? {} : { quantities: numbers }) }
    const { ended, successor } = await changePriceList(billing, id, order, { isTried: dryRun })
    if (json) return printLine(JSON.stringify({ [dryRun ? "wouldEnd" : "ended"]: subscriptionJson(ended), successor: subscriptionJson(successor) }))
    return printLine(
      `${begin} ${ended.id} to ${escapeText(list.name)} ${escapeText(successor.plan)} as ${successor.id}, from ${instantText(successor.start)} on`,
    )
  }
  let changed = await subscriptionOf(billing, id)
  const list = (await knownLists(billing)).find(({ digest }) => digest === changed.catalogue)
  if (plan !== undefined && list !== undefined) checkPlan(plan, list.plans)
  for (const one of changesOf(flags, when)) {
    const { changes, next } = changed
    if (one.what === "quantity" && next !== null) checkCharges([one.charge], list?.shape, plan ?? termsAt(changed, next, one.at).plan)
    const isAgain = changes.some(({ at, atPeriodEnd: isAtEnd = false, what }) => what === one.what && at === one.at && isAtEnd === atPeriodEnd)
    if (!isAgain) checkChanges(changed, one)
    changed = await changeSubscription(billing, id, one, { isTried: dryRun })
  }
  if (json) return printLine(JSON.stringify({ [dryRun ? "wouldBe" : "subscription"]: subscriptionJson(changed) }))
  printLine(`${begin} ${changed.id}: ${stateOf(changed)}`)
}
