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
  { address: Argument.String("ADDRESS").pipe(Argument.withDescription("A store: sqlite:PATH; or the folder of an archive")) },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage.ts")).info({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Show what a store holds, in numbers; or which commits an archive can restore, and its gaps."),
  Command.withShortDescription("Show what a store or an archive holds"),
  Command.withExamples([
    { command: "stele storage info sqlite:stele.db" },
    { command: "stele storage info backup/", description: "Generations, their spans in time, gaps; exit code 3 when objects are missing" },
  ]),
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

const storageMove = Command.make(
  "move",
  {
    address: Argument.String("FROM").pipe(Argument.withDescription("The store that is used now")),
    to: Argument.String("TO").pipe(Argument.withDescription("The store that takes its place: new, empty, or begun by the same move")),
    pause: text("pause", "TIME", "Longest time that writers are stopped: 500ms, 10s (default 1s)"),
    undo: isOn("undo", "Give up a move that has not ended: FROM takes writes again"),
    dryRun: isOn("dry-run", "Say what would be copied, and change nothing"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage.ts")).move({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Move a store to another one while it is used: copies until little is left, stops writers once and shortly, compares both sides, switches. Run it again after it was stopped at any step.",
  ),
  Command.withShortDescription("Move a store while it is used"),
  Command.withExamples([{ command: "stele storage move sqlite:stele.db sqlite:/mnt/big/stele.db", description: "Afterwards the old file can be deleted" }]),
)

const keyFile = text("key-file", "FILE", "The key of an encrypted archive: 32 bytes, raw, hex or base64 (or STELE_ARCHIVE_KEY)")
const archive = Argument.String("FOLDER").pipe(Argument.withDescription("The folder of an archive"))

const storageBackup = Command.make(
  "backup",
  {
    address,
    to: Flag.String("to").pipe(Flag.withMetavar("FOLDER"), Flag.withDescription("The folder of the archive, made when it is not there")),
    keyFile,
    follow: isOn("follow", "Go on: what is committed is archived within a second"),
    keep: text("keep", "N", "Generations to keep; older ones are deleted (default all)"),
    skipDrill: isOn("skip-drill", "Do not restore the backup for practice"),
    dryRun: isOn("dry-run", "Say what would be archived, and write nothing"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./archive.ts")).backup({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Archive a store while it is used: a snapshot and every commit after it. Then restore it for practice, and say how long that took."),
  Command.withShortDescription("Archive a store while it is used"),
  Command.withExamples([
    { command: "stele storage backup sqlite:stele.db --to backup/", description: "Now, and proved by restoring it" },
    { command: "stele storage backup sqlite:stele.db --to backup/ --follow", description: "Until interrupted, every commit within a second" },
    {
      command: "stele storage backup sqlite:stele.db --to backup/ --key-file stele.key",
      description: "Encrypted; head -c 32 /dev/urandom > stele.key makes a key",
    },
  ]),
)

const storageRestore = Command.make(
  "restore",
  {
    folder: archive,
    to: Flag.String("to").pipe(Flag.withMetavar("ADDRESS"), Flag.withDescription("Where the store is made: sqlite:PATH")),
    at: text("at", "TIME", "The state at a time, such as 2026-11-20T18:30:00Z (default the newest)"),
    atCommit: text("at-commit", "N", "The state after a commit"),
    generation: text("generation", "N", "Of this generation instead of the newest that has it"),
    keyFile,
    replace: isOn("replace", "Put it in the place of a store that is there and that nobody has open"),
    dryRun: isOn("dry-run", "Say what would be restored, and write nothing"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./archive.ts")).restore({ ...flags, json }))
  }),
).pipe(
  Command.withDescription("Make a store from an archive, as it was at any commit or time. It gets its name when every row of it is proved."),
  Command.withShortDescription("Make a store from an archive"),
  Command.withExamples([
    { command: "stele storage restore backup/ --to sqlite:stele.db", description: "The newest state" },
    { command: "stele storage restore backup/ --to sqlite:then.db --at 2026-11-20T18:30:00Z" },
    { command: "stele storage restore backup/ --to sqlite:then.db --at-commit 4711 --dry-run" },
  ]),
)

const storageDrill = Command.make(
  "drill",
  { folder: archive, store: text("store", "ADDRESS", "The store that is archived: counts what the archive lacks of it"), keyFile },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./archive.ts")).drill({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Restore an archive for practice: into a temporary store, every row checked, thrown away. Says how long it took (RTO) and what would be lost (RPO).",
  ),
  Command.withShortDescription("Restore for practice, and measure it"),
  Command.withExamples([{ command: "stele storage drill backup/" }, { command: "stele storage drill backup/ --store sqlite:stele.db --json" }]),
)

const storageRotate = Command.make(
  "rotate",
  {
    address,
    storageKey: text("storage-key", "SOURCE", "The store's master key: file:PATH or env:NAME"),
    newStorageKey: text("new-storage-key", "SOURCE", "Exchange the master key for this one, and leave the tenants' keys as they are"),
    tenant: text("tenant", "NAME", "Only this tenant's keys"),
    dryRun: isOn("dry-run", "Say how many tenants it concerns, and change nothing"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./storage-rotate.ts")).rotateKeys({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Give tenants new data keys, seal everything by them, destroy the old ones; a store that is not sealed yet is sealed. Run it again after it was stopped at any step.",
  ),
  Command.withShortDescription("Encrypt a store, rotate its keys"),
  Command.withExamples([
    { command: "stele storage rotate sqlite:stele.db --storage-key file:stele.key" },
    { command: "stele storage rotate sqlite:stele.db --storage-key file:stele.key --new-storage-key file:next.key", description: "Another master key" },
  ]),
)

const storageCommand = Command.make("storage").pipe(
  Command.withDescription("Look into a store, check it, back it up, restore it, move it, rotate its keys."),
  Command.withShortDescription("Look into a store, check it, back it up"),
  Command.withSubcommands([storageInfo, storageCheck, storageBackup, storageRestore, storageDrill, storageMove, storageRotate]),
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

const usage = Command.make(
  "usage",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("A store: sqlite:PATH (default: the one in your data folder)"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
    by: text("by", "WHAT", "tenant (default), plugin or day"),
    from: text("from", "DAY", "First day, such as 2026-11-01, in UTC"),
    to: text("to", "DAY", "Last day"),
    tenant: text("tenant", "NAME", "One tenant's alone"),
    plugin: text("plugin", "DIGEST", "One plugin's alone; the first characters are enough"),
  },
  Effect.fnUntraced(function* (flags) {
    const json = yield* Json
    yield* run(async () => (await import("./usage.ts")).usage({ ...flags, json }))
  }),
).pipe(
  Command.withDescription(
    "Show what calls cost: how many, their time, fuel, memory and bytes, and host calls by grant. Every call through a store is recorded.",
  ),
  Command.withShortDescription("Show what calls cost, by tenant, plugin or day"),
  Command.withExamples([
    { command: "stele usage", description: "Of what stele up has run" },
    { command: "stele usage sqlite:stele.db --by day --from 2026-11-01 --to 2026-11-30", description: "A month, day by day" },
    { command: "stele usage sqlite:stele.db --by plugin --tenant ada --json", description: "For machines: exact sums as decimal strings" },
  ]),
)

export const stele = Command.make("stele").pipe(
  Command.withDescription("Run WebAssembly components you did not write: denied by default, typed, metered, stoppable."),
  Command.withExamples([
    { command: "stele inspect plugin.wasm", description: "What does it want?" },
    { command: "stele call plugin.wasm greet Ada --grant log", description: "Call it with what you allow" },
    { command: "stele up", description: "See it all on the example plugins" },
  ]),
  Command.withGlobalFlags([Json, Debug]),
  Command.withSubcommands([call, inspect, types, explain, up, usage, storageCommand, doctor]),
)
