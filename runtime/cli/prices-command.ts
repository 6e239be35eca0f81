/** The commands under `stele prices`, their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import { action, many, objects, pluginFlag, storageKey, text, isOn } from "./flag.ts"
import { booksFlags } from "./invoice-command.ts"

const list = "A price list: a file, - for standard input, or a name such as executions-2025"

const check = Command.make(
  "check",
  { file: Argument.String("FILE").pipe(Argument.withDescription(list), Argument.variadic({ min: 1 })), plugin: pluginFlag },
  action(async (flags) => (await import("./prices-check.ts")).check(flags)),
).pipe(
  Command.withDescription(
    "Say whether price lists hold: every mistake with its line and column, and what is allowed and looks like one. Exit code 3 when one does not hold.",
  ),
  Command.withShortDescription("Say what is wrong with price lists, and where"),
  Command.withExamples([
    { command: "stele prices check prices.json" },
    { command: "stele prices check prices.json --plugin billing=./mine.wasm", description: "By rules of your own" },
  ]),
)

const diff = Command.make(
  "diff",
  {
    before: Argument.String("BEFORE").pipe(Argument.withDescription(list)),
    after: Argument.String("AFTER").pipe(Argument.withDescription("The price list that is to take its place")),
    plugin: pluginFlag,
  },
  action(async (flags) => (await import("./prices-diff.ts")).diff(flags)),
).pipe(
  Command.withDescription(
    "Say what changed from one price list to another: meters, plans, charges, tiers, prices, policies; and for each charge that both have, from which quantity on it is cheaper or dearer, exactly, before rounding.",
  ),
  Command.withShortDescription("Say what changed, and what gets cheaper or dearer"),
  Command.withExamples([{ command: "stele prices diff prices-2026.json prices-2027.json" }, { command: "stele prices diff executions-2025 mine.json --json" }]),
)

const convert = Command.make(
  "convert",
  {
    file: Argument.String("FILE").pipe(
      Argument.withDescription("Prices of another system, as JSON of its API; - for standard input"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
    from: text("from", "SYSTEM", "stripe: prices; lago: a plan with its billable metrics"),
    leaveOut: many("leave-out", "FIELD", "A field that may be left out, since the price means the same without it, such as metadata; repeat for more"),
    plugin: pluginFlag,
  },
  action(async (flags) => (await import("./prices-convert.ts")).convertPrices(flags)),
).pipe(
  Command.withDescription(
    "Write prices of another system as a price list. What cannot be carried over is refused with its place, and nothing is dropped. Without a file: what systems that bill do, and what to set in a price list for the same.",
  ),
  Command.withShortDescription("Carry over prices of Stripe or Lago; how others map"),
  Command.withExamples([
    { command: "stele prices convert", description: "What systems do, and what says the same here" },
    { command: "stele prices convert prices.json --from stripe > list.json" },
    { command: "stele prices convert plan.json --from lago --leave-out description" },
  ]),
)

const simulate = Command.make(
  "simulate",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription(list)),
    plan: Flag.String("plan").pipe(Flag.withMetavar("PLAN"), Flag.withDescription("A plan of it")),
    month: Flag.String("month").pipe(Flag.withMetavar("MONTH"), Flag.withDescription("The month whose usage is meant, such as 2026-10")),
    zone: Flag.String("zone").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDefault("UTC"),
      Flag.withDescription("Whose month, such as Europe/Vienna (default: UTC)"),
    ),
    events: text(
      "events",
      "FILE",
      "Usage as events: JSON lines {name, at, id, quantity, properties}, or CSV with such columns and one for each property; - for standard input",
    ),
    storage: text("storage", "ADDRESS", "Usage that a store has: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE; with --tenant"),
    storageKey,
    objects,
    tenant: many("tenant", "NAME", "With --storage: whose usage; repeat for more"),
    against: text("against", "OTHER", "Another price list for the same usage"),
    againstPlan: text("against-plan", "PLAN", "A plan of the other (default: the same)"),
    quantity: many("quantity", "CHARGE=NUMBER", "How many of a charge there are, such as seats=5; repeat for more"),
    plugin: pluginFlag,
  },
  action(async (flags) => (await import("./prices-simulate.ts")).simulate(flags)),
).pipe(
  Command.withDescription("Say what a month would have cost under a price list: of usage that a store has, or of events in a file. Nothing is stored."),
  Command.withShortDescription("Say what a month would have cost"),
  Command.withExamples([
    { command: "stele prices simulate executions-2025 --plan professional --month 2026-10 --storage sqlite:stele.db --tenant ada" },
    {
      command: "stele prices simulate old.json --plan pro --month 2026-10 --events october.csv --against new.json",
      description: "The same usage under two lists",
    },
  ]),
)

const add = Command.make(
  "add",
  { file: Argument.String("FILE").pipe(Argument.withDescription(list)), dryRun: isOn("dry-run", "Check it, and keep nothing"), ...booksFlags },
  action(async (flags) => (await import("./account.ts")).addPrices(flags)),
).pipe(
  Command.withDescription("Take a price list into a seller's books, by the digest of its text, so that accounts can be subscribed to its plans."),
  Command.withShortDescription("Take a price list into the books"),
  Command.withExamples([{ command: "stele prices add executions-2025" }, { command: "stele prices add prices.json --storage sqlite:stele.db" }]),
)
const listCommand = Command.make(
  "list",
  booksFlags,
  action(async (flags) => (await import("./account.ts")).listPrices(flags)),
).pipe(Command.withDescription("Show the price lists of a seller's books."), Command.withShortDescription("Show the price lists of the books"))

export const prices = Command.make("prices").pipe(
  Command.withDescription("Work on price lists: check, compare and convert them, and take them into the books. The billing rules in force decide."),
  Command.withShortDescription("Check, compare, convert and keep price lists"),
  Command.withSubcommands([check, diff, simulate, convert, add, listCommand]),
  Command.withExamples([{ command: "stele prices check prices.json" }, { command: "stele prices diff executions-2025 prices.json" }]),
)
