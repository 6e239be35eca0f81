/** The commands of a plugin's author, their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { action, isOn, many, text } from "./flag.ts"

const project = { project: text("project", "FOLDER", "The plugin's folder, or one inside it (default: the current one)") }

const build = Command.make(
  "build",
  project,
  action(async (flags) => (await import("./author.ts")).buildCommand(flags)),
).pipe(
  Command.withDescription("Make the component of the plugin in this folder, with the compilers of the project itself: build/NAME.wasm."),
  Command.withShortDescription("Make a plugin's component"),
  Command.withExamples([{ command: "stele build" }, { command: "stele build --project plugins/prices --json" }]),
)

const test = Command.make(
  "test",
  {
    project: text("project", "FOLDER", "The plugin's folder, or one inside it; with --all, the folder that holds them (default: the current one)"),
    all: isOn("all", "Every plugin in that folder, one after the other; one whose compiler is not here is left out, and said"),
    only: text("only", "TEXT", "Only tests whose name or file has TEXT in it"),
    fuzz: text("fuzz", "TIME", "Instead, for so long, call every export with arguments made from its types: 10s, 1m"),
    seed: text("seed", "N", "Which calls --fuzz makes (default: others each time; it is printed)"),
    replay: text("replay", "SEED.CASE", "Instead, one call of an earlier --fuzz"),
  },
  action(async (flags) => (await import("./author.ts")).testCommand(flags)),
).pipe(
  Command.withDescription(
    "Build the plugin and run tests/*.json, each call in a sandbox of its own with the grants, limits and metering of plugin.json and a world of fakes: a clock that stands, a seeded generator, a store and HTTP answers that the test gives. Nothing of this machine is reached.",
  ),
  Command.withShortDescription("Build a plugin and run its tests"),
  Command.withExamples([
    { command: "stele test" },
    { command: "stele test --only empty", description: "Those whose name says so" },
    { command: "stele test --all --project plugins", description: "Of all plugins in a folder" },
    { command: "stele test --fuzz 10s", description: "What do calls do that nobody thought of?" },
  ]),
)

const make = Command.make(
  "new",
  {
    folder: Argument.String("NAME").pipe(Argument.withDescription("The plugin's name, or a path that ends with it: a folder that is not there yet")),
    template: Flag.String("template").pipe(
      Flag.withMetavar("LANGUAGE"),
      Flag.withDefault("assemblyscript"),
      Flag.withDescription("What it is written in: assemblyscript (default), typescript, rust, go, python or c"),
    ),
    namespace: Flag.String("namespace").pipe(Flag.withMetavar("WORD"), Flag.withDefault("acme"), Flag.withDescription("Whose WIT package it is: WORD:NAME")),
  },
  action(async (flags) => (await import("./author.ts")).newCommand(flags)),
).pipe(
  Command.withDescription("Make a plugin's project from a template: a typed export, a capability, tests and a page that explains them."),
  Command.withShortDescription("Make a plugin's project"),
  Command.withExamples([{ command: "stele new price-rule" }, { command: "stele new plugins/price-rule --template typescript --namespace shop" }]),
)

const check = Command.make(
  "check",
  { ...project, seed: text("seed", "N", "Which calls that nobody wrote down are made (default: others each time)") },
  action(async (flags) => (await import("./author.ts")).checkCommand(flags)),
).pipe(
  Command.withDescription(
    "Build the plugin and judge it: manifest, ABI, tests, capabilities asked and used, determinism, hostile input, size, documentation, license. Exit code 3 when a verdict fails.",
  ),
  Command.withShortDescription("Judge a plugin as its users would"),
  Command.withExamples([{ command: "stele check" }, { command: "stele check --json", description: "For machines" }]),
)

const bench = Command.make(
  "bench",
  {
    ...project,
    time: text("time", "TIME", "How long each export is called: 500ms, 10s (default 2s)"),
    only: text("only", "TEXT", "Only exports whose name has TEXT in it"),
    call: many("call", "LINE", "Instead of what tests call: EXPORT ARGS, as a line of stele dev; repeat for more"),
    keep: isOn("keep", "Later results are compared with this one (the first is kept by itself)"),
  },
  action(async (flags) => (await import("./bench.ts")).benchCommand(flags)),
).pipe(
  Command.withDescription(
    "Build the plugin and measure each export in its sandbox, with the arguments and the fakes of its first test: calls a second, times of a call in an instance of its own and in one that is used again, fuel, memory, and what loading takes. Compared with the result that was kept in build/bench.json.",
  ),
  Command.withShortDescription("Measure what a plugin's calls cost"),
  Command.withExamples([
    { command: "stele bench" },
    { command: "stele bench --time 10s --keep", description: "What later results are compared with" },
    { command: `stele bench --call 'greet {name: "Ada"}' --json` },
  ]),
)

const dev = Command.make(
  "dev",
  { ...project, once: isOn("once", "Build and test once, then exit") },
  action(async (flags, signal) => (await import("./dev.ts")).devCommand(flags, signal)),
).pipe(
  Command.withDescription(
    "Build, test and load the plugin, again with each change of its files, until it is interrupted. A line of input calls the plugin as it is then: EXPORT ARGS, as for stele call. What it builds is labelled dev and refused by stele check.",
  ),
  Command.withShortDescription("Build and test a plugin with every change"),
  Command.withExamples([{ command: "stele dev" }, { command: "stele dev --json", description: "A line of JSON for each turn" }]),
)

const wit = Command.make(
  "wit",
  {
    path: Argument.String("PATH").pipe(Argument.withDescription("A file of WIT, or a folder of such files with its dependencies in deps")),
    world: text("world", "NAME", "Also whether there is this world: its name, or namespace:package/name"),
    feature: many("feature", "NAME", "Items that wait for this feature are there; all is every feature"),
  },
  action(async (flags) => (await import("./wit.ts")).wit(flags)),
).pipe(
  Command.withDescription("Read WIT as bindings are made from it, and print it in its canonical form, or everything that is wrong with it."),
  Command.withShortDescription("Check and print WIT"),
  Command.withExamples([
    { command: "stele wit wit" },
    { command: "stele wit shop.wit --feature discounts --json", description: "Its packages, interfaces and worlds for machines" },
  ]),
)

export const author = [make, dev, build, test, bench, check, wit]
