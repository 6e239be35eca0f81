/** The commands, their flags and their help. What a command does is loaded when it runs: `--help` loads nothing of the host. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription("Print results and errors as JSON")),
})
export const Debug = GlobalFlag.Setting("debug")({
  flag: Flag.Boolean("debug").pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription("Print stack traces of errors")),
})

export const isOn = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription(description))
export const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional, Flag.map(Option.getOrUndefined))
export const many = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.atLeast(0))
const file = Argument.String("FILE").pipe(Argument.withDescription("A component: path, URL, or sha256 digest in the store"))

/** A failure passes as it is: the entry knows how to show each. */
export const run = (work: (signal: AbortSignal) => void | Promise<void>) => Effect.tryPromise({ try: async (signal) => work(signal), catch: (error) => error })

export const loadFlags = {
  grant: many("grant", "GRANT", "What the plugin may do, such as log or kv:read:prices/*; repeat for more (stele explain grants)"),
  memory: text("memory", "BYTES", "Most linear memory: 65536, 64KiB, 16MiB (default 64MiB)"),
  limit: many("limit", "NAME=VALUE", "Any other limit, such as stackBytesMax=64KiB (stele explain limits)"),
  metering: text("metering", "TIER", "deadline (default), fuel or off"),
  fuel: text("fuel", "N", "Most fuel, such as 1000000 or 10M; implies --metering fuel"),
  tenant: Flag.String("tenant").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDefault("default"),
    Flag.withDescription("Whom the call is for: separates stored keys"),
  ),
}

const storage = text("storage", "ADDRESS", "Where stored values and events are kept: memory (default) or sqlite:PATH")

const call = Command.make(
  "call",
  {
    file,
    export: Argument.String("EXPORT").pipe(Argument.withDescription("Full name, interface#function, or the function alone")),
    args: Argument.String("ARGS").pipe(
      Argument.withDescription(
        "One word each, as JSON or WAVE; a string needs no quotes; @FILE reads a file, - standard input; words after -- are never flags",
      ),
      Argument.variadic(),
    ),
    ...loadFlags,
    deadline: text("deadline", "TIME", "When the call is stopped: 500, 500ms, 2s (default 1s)"),
    config: many("config", "NAME=VALUE", "A setting that config:NAME lets the plugin read"),
    secret: many("secret", "NAME=SOURCE", "A secret for secret:NAME, from env:VARIABLE or file:PATH"),
    storage,
    kv: many("kv", "BUCKET/KEY=VALUE", "A stored value to start with: prices/tea=3.20"),
    usage: isOn("usage", "Print fuel, time, memory and grants used"),
    raw: isOn("raw", "Write a string or list<u8> result as it is"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./call.ts")).call({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Load a component, grant it what you name and nothing else, call one export, print its result."),
  Command.withShortDescription("Call an export of a component"),
  Command.withExamples([
    { command: `stele call greeter.wasm greet '{name: "Ada"}' --grant log --grant 'kv:read:*'`, description: "JSON or WAVE, by the parameter's type" },
    { command: "stele call text.wasm analyze @speech.txt '{top: 5, min-letters: 4}' --usage", description: "A file as the first argument; what the call cost" },
    { command: "stele call spinner.wasm spin 1 --deadline 100ms", description: "Stop it after 100 ms" },
  ]),
)

const inspect = Command.make(
  "inspect",
  { file, limit: loadFlags.limit, wit: isOn("wit", "Print the world as WIT alone"), schema: isOn("schema", "Print the JSON Schemas of the exports alone") },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./inspect.ts")).inspect({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Show what a component is, what it asks for and what it offers. It runs nothing and needs no grants."),
  Command.withShortDescription("Show imports, grants needed, exports, sizes"),
  Command.withExamples([
    { command: "stele inspect greeter.wasm", description: "Imports, the grant each needs and its risk, exports, the world" },
    { command: "stele inspect greeter.wasm --schema", description: "JSON Schemas of parameters and results" },
  ]),
)

const types = Command.make(
  "types",
  {
    file,
    limit: loadFlags.limit,
    output: text("output", "FILE", "Write there instead of to standard output").pipe(Flag.withAlias("o")),
    dryRun: isOn("dry-run", "Print, and write nothing"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./inspect.ts")).types({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Write TypeScript declarations of a component's exports, for host.load<Exports>(…)."),
  Command.withShortDescription("Write TypeScript declarations of a component"),
  Command.withExamples([{ command: "stele types greeter.wasm -o greeter.d.ts" }]),
)

const explain = Command.make(
  "explain",
  { what: Argument.String("WHAT").pipe(Argument.withDescription("An error code, a limit, a grant; or codes, limits, grants for all")) },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./explain.ts")).explain({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Explain an error code, a limit or a grant."),
  Command.withShortDescription("Explain an error code, a limit or a grant"),
  Command.withExamples([{ command: "stele explain STELE-CAP-0003" }, { command: "stele explain kv" }, { command: "stele explain limits" }]),
)

const kept = text("storage", "ADDRESS", "Where plugins and their data are kept: sqlite:PATH or memory (default: a file in your data folder)")

const up = Command.make(
  "up",
  { storage: kept, once: isOn("once", "Exit after the run instead of waiting for commands") },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    const debug = yield* Debug
    yield* run(async () => (await import("../up/up.ts")).up({ ...flags, json, debug }))
  }),
).pipe(
  Command.withDescription("Load the example plugins, call each on real input, show one refused and one stopped; then take commands on the loaded plugins."),
  Command.withShortDescription("Run the example plugins, then take commands"),
  Command.withExamples([
    { command: "stele up", description: "A prompt on a terminal; elsewhere one command a line on stdin" },
    { command: "stele up --storage sqlite:stele.db", description: "Plugins, grants and stored values are there again the next time" },
    { command: "stele up --storage memory", description: "Nothing is kept" },
    { command: "stele up --once --json", description: "For machines: one line of JSON" },
  ]),
)

const address = Argument.String("ADDRESS").pipe(Argument.withDescription("A store: sqlite:PATH"))

const storageInfo = Command.make(
  "info",
  { address },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage.ts")).info({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Show what a store holds, in numbers."),
  Command.withShortDescription("Show what a store holds"),
  Command.withExamples([{ command: "stele storage info sqlite:stele.db" }]),
)

const storageCheck = Command.make(
  "check",
  { address, acceptLoss: isOn("accept-loss", "Go on without commits that were acknowledged and are gone") },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage.ts")).check({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Read every row of a store and say what is not as it was written; exit code 3 when something is not."),
  Command.withShortDescription("Find damage in a store"),
  Command.withExamples([{ command: "stele storage check sqlite:stele.db" }]),
)

const storageMigrate = Command.make(
  "migrate",
  { address: Argument.String("ADDRESS").pipe(Argument.withDescription("postgres://OWNER@HOST/DATABASE, OWNER being the role that owns the database")) },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage.ts")).migrate({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Set up a PostgreSQL store, or take it to this version's format: schema, roles and tables. Passwords come from files that STELE_STORAGE_PASSWORD_FILE (the owner's), STELE_STORAGE_SERVICE_PASSWORD_FILE and STELE_STORAGE_WORKER_PASSWORD_FILE (those of the roles that are made) name.",
  ),
  Command.withShortDescription("Set up a store on a server"),
  Command.withExamples([{ command: "stele storage migrate postgres://owner@localhost/stele" }]),
)

const storageCommand = Command.make("storage").pipe(
  Command.withDescription("Look into a store and check it."),
  Command.withShortDescription("Look into a store and check it"),
  Command.withSubcommands([storageInfo, storageCheck, storageMigrate]),
)

const doctor = Command.make(
  "doctor",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("A store: sqlite:PATH (default: the one in your data folder)"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./doctor.ts")).doctor({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Look at what a store stands on: the engine, disk space, whether a sync means anything, what the store says of itself. Changes nothing; exit code 3 when something cannot be relied on.",
  ),
  Command.withShortDescription("Find what is wrong with this machine or store"),
  Command.withExamples([{ command: "stele doctor" }, { command: "stele doctor sqlite:stele.db --json" }]),
)

export const stele = Command.make("stele").pipe(
  Command.withDescription("Run WebAssembly components you did not write: denied by default, typed, metered, stoppable."),
  Command.withExamples([
    { command: "stele inspect plugin.wasm", description: "What does it want?" },
    { command: "stele call plugin.wasm greet Ada --grant log", description: "Call it with what you allow" },
    { command: "stele up", description: "See it all on the example plugins" },
  ]),
  Command.withGlobalFlags([Json, Debug]),
  Command.withSubcommands([call, inspect, types, explain, up, storageCommand, doctor]),
)
