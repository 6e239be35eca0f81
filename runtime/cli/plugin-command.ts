/** The commands under `stele plugin`, their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { action, isOn, loadFlags, objects, storageKey, text } from "./flag.ts"

const where = {
  storage: text(
    "storage",
    "ADDRESS",
    "The store that plugins are kept in: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE (default: the one in your data folder)",
  ),
  objects,
  storageKey,
  service: text("service", "URL", "Ask this service instead; its token is in the file that STELE_TOKEN_FILE names, or in your data folder"),
}
const name = Argument.String("NAME").pipe(Argument.withDescription("A plugin's name"))

const add = Command.make(
  "add",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("A component: path or URL")),
    as: text("as", "NAME", "What to call it; default: its file's name"),
    ...loadFlags,
    isolation: text("isolation", "WHERE", "Where its calls run: inline, worker or process (default: the service's)"),
    ...where,
    dryRun: isOn("dry-run", "Load it with these grants, and keep nothing"),
  },
  action(async (flags) => (await import("./plugin.ts")).add(flags)),
).pipe(
  Command.withDescription("Load a component with the grants you name, and keep it: stele up and its HTTP service have it from now on."),
  Command.withShortDescription("Add a plugin, or replace it"),
  Command.withExamples([
    { command: "stele plugin add greeter.wasm --grant log --grant 'kv:read:prices/*'" },
    { command: "stele plugin add greeter-2.wasm --as greeter --grant log", description: "Calls that run end in the old one" },
  ]),
)
const list = Command.make(
  "list",
  where,
  action(async (flags) => (await import("./plugin.ts")).list(flags)),
).pipe(
  Command.withDescription("Show the plugins that are kept: what each may do, offers, and whether it can be loaded."),
  Command.withShortDescription("Show the plugins that are kept"),
)
const remove = Command.make(
  "remove",
  { name, ...where, dryRun: isOn("dry-run", "Say whether it is there, and change nothing") },
  action(async (flags) => (await import("./plugin.ts")).remove(flags)),
).pipe(Command.withDescription("Take a plugin away. What it stored stays."), Command.withShortDescription("Take a plugin away"))
const reload = Command.make(
  "reload",
  { name, ...where, dryRun: isOn("dry-run", "Load its file as it is now, and change nothing") },
  action(async (flags) => (await import("./plugin.ts")).reload(flags)),
).pipe(
  Command.withDescription("Load a plugin's file again, as it is now, with the grants in force. Calls that run end in the old one."),
  Command.withShortDescription("Load a plugin's file again"),
)
export const plugin = Command.make("plugin").pipe(
  Command.withDescription("The plugins that stele up and its HTTP service have. A service that runs is asked; otherwise the store is changed."),
  Command.withShortDescription("Add, list, remove, reload plugins"),
  Command.withSubcommands([add, list, remove, reload]),
  Command.withExamples([{ command: "stele plugin add greeter.wasm --grant log" }, { command: "stele plugin list --json" }]),
)
