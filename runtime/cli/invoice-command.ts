/** The commands under `stele invoice` and `stele account`, and `stele estimate`: their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { action, isOn, many, objects, pluginFlag, port, storageKey, text } from "./flag.ts"

/** A seller's books. */
export const booksFlags = {
  storage: text(
    "storage",
    "ADDRESS",
    "The store of the books: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE (default: the one in your data folder)",
  ),
  objects,
  storageKey,
  storeLimit: many(
    "store-limit",
    "NAME=NUMBER",
    "More than a store takes by default: keyValue.tenantKeysMax=1000000 rows of the books, keyValue.tenantBytesMax of their bytes",
  ),
  entity: Flag.String("entity").pipe(Flag.withMetavar("NAME"), Flag.withDefault("default"), Flag.withDescription("Whose books: the seller (default: default)")),
  plugin: pluginFlag,
}

const number = Argument.String("NUMBER").pipe(Argument.withDescription("An invoice's number, such as INV-000002, or its id"))
const documentNumber = Argument.String("NUMBER").pipe(Argument.withDescription("An invoice's number, such as INV-000002, or a credit note's, CN-INV-000001"))

const list = Command.make(
  "list",
  { account: text("account", "ID", "One account's alone"), ...booksFlags },
  action(async (flags) => (await import("./invoice.ts")).list(flags)),
).pipe(Command.withDescription("Show the invoices that were issued, oldest first."), Command.withShortDescription("Show the invoices that were issued"))

const show = Command.make(
  "show",
  {
    number: documentNumber,
    line: text("line", "N", "One line alone: how it came about, step by step"),
    records: isOn("records", "With --line: print the usage records and events behind it, as JSON lines"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./invoice.ts")).show(flags)),
).pipe(
  Command.withDescription(
    "Show an invoice with its credit notes, how one of its lines came about, the usage records behind that line, or a credit note. Days are of the account's zone; a span's last day is in it.",
  ),
  Command.withShortDescription("Show an invoice, a line of it, the records behind it"),
  Command.withExamples([
    { command: "stele invoice show INV-000002" },
    { command: "stele invoice show INV-000002 --line 3", description: "Which price made it of which usage" },
    { command: "stele invoice show INV-000002 --line 3 --records", description: "The usage records behind it" },
    { command: "stele invoice show CN-INV-000001", description: "A credit note" },
  ]),
)

const issue = Command.make(
  "issue",
  {
    subscription: Argument.String("SUBSCRIPTION").pipe(Argument.withDescription("A subscription's id")),
    early: isOn("early", "Now, although its period is not over, or the grace after it; one that has not begun is refused"),
    draft: text("draft", "DIGEST", "Only if it is still what --dry-run showed under this digest"),
    dryRun: isOn("dry-run", "Show what would be issued, and write nothing"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./invoice.ts")).issueInvoice(flags)),
).pipe(
  Command.withDescription(
    "Rate the period that is due and issue its invoice, with its number and its bookings, all at once. A period is issued once: asked for again before the next one is due, it is refused with the number that it has.",
  ),
  Command.withShortDescription("Issue the next invoice of a subscription"),
  Command.withExamples([
    { command: "stele invoice issue ada-professional --dry-run", description: "What it would be, with a digest that names it" },
    { command: "stele invoice issue ada-professional" },
  ]),
)

const exportCommand = Command.make(
  "export",
  {
    number: documentNumber,
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

const dryRun = isOn("dry-run", "Say what it would be, and write nothing")
const reason = Flag.String("reason").pipe(Flag.withMetavar("TEXT"), Flag.withDescription("What the credit note says of it"))
const provider = Flag.String("provider").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("Who moves the money: test, which moves none; real ones are embedded (stele/billing)"),
)

const pay = Command.make(
  "pay",
  { number, provider, dryRun, ...booksFlags },
  action(async (flags) => (await import("./money.ts")).pay(flags)),
).pipe(
  Command.withDescription(
    "Charge what is owed for an invoice, once, and make it paid. The provider test answers that it did and moves no money: for trying things out.",
  ),
  Command.withShortDescription("Have an invoice paid by a provider"),
  Command.withExamples([{ command: "stele invoice pay INV-000002 --provider test --dry-run" }, { command: "stele invoice pay INV-000002 --provider test" }]),
)

const credit = Command.make(
  "credit",
  {
    number,
    line: many(
      "line",
      "N=AMOUNT",
      "What is given back: 2=5.00 of the second line, net, to which its tax is added, or 2 for all that is left of it; repeat for more",
    ),
    as: Flag.String("as").pipe(Flag.withMetavar("ID"), Flag.withDescription("The credit's id: given again it is the same one")),
    reason,
    dryRun,
    ...booksFlags,
  },
  action(async (flags) => (await import("./money.ts")).credit(flags)),
).pipe(
  Command.withDescription("Give back parts of an invoice by a credit note: off what is owed for it, or to the account's wallet where it was paid."),
  Command.withShortDescription("Give back parts of an invoice"),
  Command.withExamples([{ command: "stele invoice credit INV-000002 --line 1=5.00 --as outage --reason Outage" }]),
)

const cancel = Command.make(
  "cancel",
  { number, reason, dryRun, ...booksFlags },
  action(async (flags) => (await import("./money.ts")).cancel(flags)),
).pipe(
  Command.withDescription("Cancel an invoice that is not paid, by a credit note over all that is left of it."),
  Command.withShortDescription("Cancel an invoice that is not paid"),
  Command.withExamples([{ command: "stele invoice cancel INV-000002 --reason 'A mistake' --dry-run" }]),
)

export const payout = Command.make(
  "payout",
  {
    currency: Flag.String("currency").pipe(Flag.withMetavar("CODE"), Flag.withDescription("What is paid out, such as EUR")),
    exponent: text("exponent", "DIGITS", "Digits after the point (default those of ISO 4217)"),
    threshold: text("threshold", "AMOUNT", "What must be owed at least (default 100.00)"),
    provider,
    dryRun,
    ...booksFlags,
  },
  action(async (flags) => (await import("./money.ts")).payout(flags)),
).pipe(
  Command.withDescription("Pay creators what they are owed of purchases, from a threshold on, each once. What a run before has begun is gone on with."),
  Command.withShortDescription("Pay creators what they are owed"),
  Command.withExamples([{ command: "stele payout --currency EUR --provider test --dry-run" }]),
)

const runCommand = Command.make(
  "run",
  { dryRun: isOn("dry-run", "Say what is due, and write nothing"), ...booksFlags },
  action(async (flags) => (await import("./invoice.ts")).runDue(flags)),
).pipe(
  Command.withDescription(
    "Issue every invoice that is due, and say which became overdue. What one subscription refuses keeps no other from its invoice; exit code 1 then. Several at once, on several machines, issue each invoice once.",
  ),
  Command.withShortDescription("Issue every invoice that is due"),
  Command.withExamples([{ command: "stele invoice run --dry-run" }, { command: "stele invoice run" }]),
)

const servePages = Command.make(
  "serve",
  {
    port: port("Where it listens (default 8080; 0: any that is free)"),
    host: text("host", "ADDRESS", "The address it listens on (default 127.0.0.1: this machine alone)"),
    account: many("account", "ID=FILE", "The file of a token that sees one account alone, made where it is not there"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./billing-serve.ts")).serveBooks(flags)),
).pipe(
  Command.withDescription(
    "Serve the books as pages and JSON: usage with a chart, projected cost, invoices down to the records behind each line. Nothing can be changed there. The token of stele up sees all accounts; a browser takes it as a password, under any name.",
  ),
  Command.withShortDescription("Serve the books as pages and JSON"),
  Command.withExamples([
    { command: "stele invoice serve --storage sqlite:stele.db --port 8080" },
    { command: "stele invoice serve --account ada=ada.token", description: "Ada sees her own account, too" },
  ]),
)

export const invoice = Command.make("invoice").pipe(
  Command.withDescription("Invoices of a seller's books, and bundles of anybody's. Start with: stele prices add, stele account add, stele account subscribe."),
  Command.withShortDescription("Issue, show, pay, credit, export, verify invoices"),
  Command.withSubcommands([list, show, issue, runCommand, pay, credit, cancel, exportCommand, verify, servePages]),
  Command.withExamples([{ command: "stele invoice run" }, { command: "stele invoice list" }, { command: "stele invoice verify INV-000002.bundle" }]),
)

const id = Argument.String("ID").pipe(Argument.withDescription("An account's id: letters, digits, dots, dashes, underscores"))

const add = Command.make(
  "add",
  {
    id,
    currency: text("currency", "CODE", "Of its invoices, such as EUR, as the price lists have that it is subscribed to; a new account needs one"),
    zone: text("zone", "NAME", "What days and months are, such as Europe/Vienna (default: UTC)"),
    title: text("title", "TEXT", "What its invoices call it"),
    tenant: many("tenant", "NAME", "A tenant whose usage is billed to it; repeat for more (default: the one of its id)"),
    tax: many("tax", "CODE=PERCENT", "A tax on its lines, such as vat=20; repeat for more; none takes them away"),
    dueDays: text("due-days", "DAYS", "From an invoice's issue until it is due (default: 14)"),
    dryRun: isOn("dry-run", "Check it, and keep nothing"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./account.ts")).add(flags)),
).pipe(
  Command.withDescription("Add an account, or change what is said of one, from its next invoice on: what is not given stays as it is."),
  Command.withShortDescription("Add an account, or change it"),
  Command.withExamples([{ command: "stele account add ada --currency USD --zone Europe/Vienna --tax vat=20" }]),
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
    dryRun: isOn("dry-run", "Check it, and keep nothing"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./account.ts")).subscribeAccount(flags)),
).pipe(
  Command.withDescription("Subscribe an account to a plan. Done again with the same content it is the same subscription."),
  Command.withShortDescription("Subscribe an account to a plan"),
  Command.withExamples([{ command: "stele account subscribe ada --prices executions-2025 --plan professional --start 2026-11-01" }]),
)
const change = Command.make(
  "change",
  {
    id: Argument.String("SUBSCRIPTION").pipe(Argument.withDescription("A subscription's id")),
    plan: text("plan", "PLAN", "Another plan"),
    prices: text("prices", "LIST", "Another price list that was added: the subscription ends, and one with the next number goes on"),
    quantity: many("quantity", "CHARGE=NUMBER", "Another number of a charge, such as seats=5; repeat for more"),
    pause: isOn("pause", "Nothing fixed is due from then on"),
    resume: isOn("resume", "It is due again"),
    cancel: isOn("cancel", "It ends"),
    at: text("at", "DAY", "From when on: 2026-11-01, or an instant such as 2026-10-31T23:00:00Z, in UTC (default: now)"),
    atPeriodEnd: isOn("at-period-end", "When the period ends that this lies in, also where that one is billed already"),
    as: text("as", "ID", "With --prices: the id of the subscription that goes on (default: ID.2)"),
    dryRun: isOn("dry-run", "Say what it would be, and change nothing"),
    ...booksFlags,
  },
  action(async (flags) => (await import("./account.ts")).change(flags)),
).pipe(
  Command.withDescription(
    "Change a subscription in time that is not billed: its plan, its price list, numbers, a pause, its end. What was paid ahead and is not used is given back by the price list's own rule of shares.",
  ),
  Command.withShortDescription("Change a subscription's plan, prices, numbers, or end it"),
  Command.withExamples([
    { command: "stele account change ada-community --plan professional", description: "An upgrade, now" },
    { command: "stele account change ada-professional --prices units-2025 --at-period-end" },
    { command: "stele account change ada-professional --cancel --at-period-end" },
  ]),
)
export const account = Command.make("account").pipe(
  Command.withDescription("Whoever is billed: accounts of a seller's books, and what they are subscribed to."),
  Command.withShortDescription("Add, list and show accounts; subscribe, change"),
  Command.withSubcommands([add, accountList, accountShow, subscribe, change]),
  Command.withExamples([{ command: "stele account add ada --currency USD" }, { command: "stele account show ada" }]),
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
