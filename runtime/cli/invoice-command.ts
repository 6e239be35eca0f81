/** The commands under `stele invoice` and `stele account`, and `stele estimate`: their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { action, isOn, many, objects, pluginFlag, storageKey, text } from "./flag.ts"

/** A seller's books. */
export const booksFlags = {
  storage: text(
    "storage",
    "ADDRESS",
    "The store of the books: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE (default: the one in your data folder)",
  ),
  objects,
  storageKey,
  entity: Flag.String("entity").pipe(Flag.withMetavar("NAME"), Flag.withDefault("default"), Flag.withDescription("Whose books: the seller (default: default)")),
  plugin: pluginFlag,
}

const number = Argument.String("NUMBER").pipe(Argument.withDescription("An invoice's number, such as INV-000002, or its id"))

const list = Command.make(
  "list",
  { account: text("account", "ID", "One account's alone"), ...booksFlags },
  action(async (flags) => (await import("./invoice.ts")).list(flags)),
).pipe(Command.withDescription("Show the invoices that were issued, oldest first."), Command.withShortDescription("Show the invoices that were issued"))

const show = Command.make(
  "show",
  {
    number,
    line: text("line", "N", "One line alone: how it came about, step by step"),
    records: isOn("records", "With --line: print the usage records and events behind it, as JSON lines"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./invoice.ts")).show(flags)),
).pipe(
  Command.withDescription("Show an invoice, how one of its lines came about, or the usage records behind that line."),
  Command.withShortDescription("Show an invoice, a line of it, the records behind it"),
  Command.withExamples([
    { command: "stele invoice show INV-000002" },
    { command: "stele invoice show INV-000002 --line 3", description: "Which price made it of which usage" },
    { command: "stele invoice show INV-000002 --line 3 --records", description: "The usage records behind it" },
  ]),
)

const issue = Command.make(
  "issue",
  {
    subscription: Argument.String("SUBSCRIPTION").pipe(Argument.withDescription("A subscription's id")),
    early: isOn("early", "Now, although its period is not over, or the grace after it"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./invoice.ts")).issueInvoice(flags)),
).pipe(
  Command.withDescription(
    "Rate the period that is due and issue its invoice, with its number and its bookings, all at once. Issued again it is the same invoice.",
  ),
  Command.withShortDescription("Issue the next invoice of a subscription"),
  Command.withExamples([{ command: "stele invoice issue ada-professional" }]),
)

const exportCommand = Command.make(
  "export",
  {
    number,
    as: Flag.String("as").pipe(
      Flag.withMetavar("FORM"),
      Flag.withDefault("json"),
      Flag.withDescription("json (default), csv, html to print, or bundle: all that it rests on"),
    ),
    output: text("output", "FILE", "Write there instead of to standard output").pipe(Flag.withAlias("o")),
    ...booksFlags,
  },
  action(async (flags) => (await import("./invoice.ts")).exportInvoice(flags)),
).pipe(
  Command.withDescription(
    "Write an invoice as JSON, as CSV, as a page to print, or as a bundle: price list, usage, zones, rules and the invoice in one file, which verify computes anew.",
  ),
  Command.withShortDescription("Write an invoice as JSON, CSV, HTML or a bundle"),
  Command.withExamples([
    { command: "stele invoice export INV-000002 --as html -o invoice.html" },
    { command: "stele invoice export INV-000002 --as bundle -o INV-000002.bundle" },
  ]),
)

const verify = Command.make(
  "verify",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("A bundle")),
    digest: text("digest", "SHA256", "The digest that it must have, as export said"),
  },
  action(async (flags) => (await import("./invoice.ts")).verify(flags)),
).pipe(
  Command.withDescription(
    "Compute an invoice anew from its bundle alone, by the rules in it, and compare it to the last digit. The bundle may be a stranger's. Exit code 3 when it is not as it was written, or not what its usage makes.",
  ),
  Command.withShortDescription("Compute an invoice anew from its bundle"),
  Command.withExamples([{ command: "stele invoice verify INV-000002.bundle" }]),
)

export const invoice = Command.make("invoice").pipe(
  Command.withDescription("Invoices of a seller's books, and bundles of anybody's. Start with: stele prices add, stele account add, stele account subscribe."),
  Command.withShortDescription("Issue, show, export and verify invoices"),
  Command.withSubcommands([list, show, issue, exportCommand, verify]),
  Command.withExamples([{ command: "stele invoice list" }, { command: "stele invoice verify INV-000002.bundle" }]),
)

const id = Argument.String("ID").pipe(Argument.withDescription("An account's id: letters, digits, dots, dashes, underscores"))

const add = Command.make(
  "add",
  {
    id,
    currency: Flag.String("currency").pipe(Flag.withMetavar("CODE"), Flag.withDescription("Of its invoices, such as EUR")),
    zone: Flag.String("zone").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDefault("UTC"),
      Flag.withDescription("What days and months are, such as Europe/Vienna (default: UTC)"),
    ),
    title: text("title", "TEXT", "What its invoices call it"),
    tenant: many("tenant", "NAME", "A tenant whose usage is billed to it; repeat for more (default: the one of its id)"),
    tax: many("tax", "CODE=PERCENT", "A tax on its lines, such as vat=20; repeat for more"),
    dueDays: text("due-days", "DAYS", "From an invoice's issue until it is due (default: 14)"),
    dryRun: isOn("dry-run", "Check it, and keep nothing"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./account.ts")).add(flags)),
).pipe(
  Command.withDescription("Add an account, or change what is said of one: all of it, from its next invoice on."),
  Command.withShortDescription("Add an account, or change it"),
  Command.withExamples([{ command: "stele account add ada --currency EUR --zone Europe/Vienna --tax vat=20" }]),
)
const accountList = Command.make(
  "list",
  booksFlags,
  action(async (flags) => (await import("./account.ts")).list(flags)),
).pipe(Command.withDescription("Show the accounts: currency, zone, whose usage is theirs."), Command.withShortDescription("Show the accounts"))
const accountShow = Command.make(
  "show",
  { id, ...booksFlags },
  action(async (flags) => (await import("./account.ts")).show(flags)),
).pipe(
  Command.withDescription("Show an account, its subscriptions, and when each is billed next."),
  Command.withShortDescription("Show an account and its subscriptions"),
)
const subscribe = Command.make(
  "subscribe",
  {
    id,
    prices: Flag.String("prices").pipe(
      Flag.withMetavar("LIST"),
      Flag.withDescription("A price list that was added: its name, or the first characters of its digest"),
    ),
    plan: Flag.String("plan").pipe(Flag.withMetavar("PLAN"), Flag.withDescription("A plan of it")),
    start: Flag.String("start").pipe(
      Flag.withMetavar("DAY"),
      Flag.withDescription("When it begins: 2026-11-01, or an instant such as 2026-10-31T23:00:00Z; in UTC"),
    ),
    as: text("as", "ID", "The subscription's id (default: ACCOUNT-PLAN)"),
    quantity: many("quantity", "CHARGE=NUMBER", "How many of a charge there are, such as seats=5; repeat for more"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./account.ts")).subscribeAccount(flags)),
).pipe(
  Command.withDescription("Subscribe an account to a plan. Done again with the same content it is the same subscription."),
  Command.withShortDescription("Subscribe an account to a plan"),
  Command.withExamples([{ command: "stele account subscribe ada --prices executions-2025 --plan professional --start 2026-11-01" }]),
)
export const account = Command.make("account").pipe(
  Command.withDescription("Whoever is billed: accounts of a seller's books, and what they are subscribed to."),
  Command.withShortDescription("Add, list and show accounts; subscribe them"),
  Command.withSubcommands([add, accountList, accountShow, subscribe]),
  Command.withExamples([{ command: "stele account add ada --currency EUR" }, { command: "stele account show ada" }]),
)

export const estimate = Command.make(
  "estimate",
  {
    prices: Argument.String("LIST").pipe(Argument.withDescription("A price list: a file, - for standard input, or a name such as executions-2025")),
    plan: Flag.String("plan").pipe(Flag.withMetavar("PLAN"), Flag.withDescription("A plan of it")),
    meter: many("meter", "METER=QUANTITY", "What is to be used in one period, such as executions=120000; repeat for more"),
    quantity: many("quantity", "CHARGE=NUMBER", "How many of a charge there are, such as seats=5; repeat for more"),
    plugin: pluginFlag,
  },
  action(async (flags) => (await import("./estimate.ts")).estimate(flags)),
).pipe(
  Command.withDescription("Say what usage would cost in one whole period of a plan, before it happens. Nothing is stored."),
  Command.withShortDescription("Say what usage would cost"),
  Command.withExamples([{ command: "stele estimate executions-2025 --plan professional --meter executions=120000 --meter compute=600" }]),
)
