/** The commands, their flags and their help. What a command does is loaded when it runs: `--help` loads nothing of the host. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import {
  action,
  deadline,
  Debug,
  isOn,
  Json,
  linkFlags,
  loadFlags,
  many,
  objects,
  pluginFlag,
  port,
  portFlags,
  programFlags,
  storageKey,
  text,
  withUsage,
} from "./flag.ts"
import { accel } from "./accel-command.ts"
import { author } from "./author-command.ts"
import { account, estimate, invoice, payout } from "./invoice-command.ts"
import { plugin } from "./plugin-command.ts"
import { prices } from "./prices-command.ts"
import { storage as storageCommands } from "./storage-command.ts"

const file = Argument.String("FILE").pipe(
  Argument.withDescription("A plugin: path, URL, or sha256 digest in the store; an Extism manifest by its ending .json"),
)

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
    input: text("input", "TEXT", "The one argument as it is, for functions of Extism plugins and others that take text or bytes"),
    ...loadFlags,
    ...linkFlags,
    deadline: deadline("the call", "500, 500ms, 2s (default 1s)"),
    ...portFlags,
    usage: withUsage,
    raw: isOn("raw", "Write a string or list<u8> result as it is"),
  },
  action(async (flags) => (await import("./call.ts")).call(flags)),
).pipe(
  Command.withDescription("Load a component, grant it what you name and nothing else, call one export, print its result."),
  Command.withShortDescription("Call an export of a component"),
  Command.withExamples([
    { command: `stele call greeter.wasm greet '{name: "Ada"}' --grant log --grant 'kv:read:*'`, description: "JSON or WAVE, by the parameter's type" },
    { command: "stele call text.wasm analyze @speech.txt '{top: 5, min-letters: 4}' --usage", description: "A file as the first argument; what the call cost" },
    { command: "stele call spinner.wasm spin 1 --deadline 100ms", description: "Stop it after 100 ms" },
    {
      command: "stele call a.wasm total --link acme:b/api=b.wasm --grant 'call:acme:b/api#*'",
      description: "Another plugin serves an import",
    },
    { command: "stele call count_vowels.wasm count_vowels --input 'Hello'", description: "An Extism plugin: text in, text out" },
  ]),
)

const runProgram = Command.make(
  "run",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("A program: a wasi:cli component or a preview-1 module; path, URL, or sha256 digest")),
    args: Argument.String("ARGS").pipe(Argument.withDescription("The program's own; put -- before those that begin with a dash"), Argument.variadic()),
    ...programFlags,
    allowHttp: many("allow-http", "PATTERN", "URLs it may request, with any method, such as https://api.example.com/*; repeat for more"),
    deadline: deadline("the program", "500, 500ms, 2s, 1h (default: a day)"),
    engine: text("engine", "ENGINE", "js (default), node-wasi or wasmtime: what runs it"),
    ...loadFlags,
    ...portFlags,
    usage: withUsage,
    raw: isOn("raw", "Write to a terminal what the program writes, escape sequences included"),
  },
  action(async (flags) => (await import("./run.ts")).run(flags)),
).pipe(
  Command.withDescription(
    "Run a program with the folders, variables and grants you name and nothing else. Its streams are those of this terminal, its exit code is passed on. Clocks and random need grants: --grant clock:monotonic --grant clock:wall --grant random.",
  ),
  Command.withShortDescription("Run a program: a wasi:cli component or a preview-1 module"),
  Command.withExamples([
    { command: "stele run hello.wasm" },
    {
      command: "stele run convert.wasm --dir ./in::/in:ro --dir ./out::/out -- /in/a.png",
      description: "Two folders, one of them only to read",
    },
    { command: "stele run tool.wasm --grant random --deadline 10s < input.csv", description: "Stop it after ten seconds" },
    { command: "stele run hello.wasm --engine wasmtime", description: "The same program on another engine" },
  ]),
)

const serve = Command.make(
  "serve",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("A component that exports wasi:http/incoming-handler: path, URL, or sha256 digest")),
    port: port("Where it listens (default 8080; 0: any that is free)"),
    host: text("host", "ADDRESS", "The address it listens on (default 127.0.0.1: this machine alone)"),
    deadline: deadline("the answer to one request", "500ms, 2s (default 10s)"),
    maxBody: text("max-body", "BYTES", "Most bytes of one request's body (default 1MiB)"),
    ...loadFlags,
    ...linkFlags,
    ...programFlags,
    ...portFlags,
  },
  action(async (flags) => (await import("./serve.ts")).serveFile(flags)),
).pipe(
  Command.withDescription(
    "Serve HTTP with a component: each request is a call of its own, in an instance of its own, stopped at its deadline. SIGTERM and Ctrl-C end it when what is under way is answered.",
  ),
  Command.withShortDescription("Serve HTTP with a component"),
  Command.withExamples([
    { command: "stele serve site.wasm --port 8080" },
    { command: "stele serve api.wasm --grant 'http:GET:https://api.example.com/*'", description: "It may ask one other service" },
    { command: "stele serve files.wasm --dir ./public::/:ro", description: "A folder, to read" },
  ]),
)

const inspect = Command.make(
  "inspect",
  { file, limit: loadFlags.limit, wit: isOn("wit", "Print the world as WIT alone"), schema: isOn("schema", "Print the JSON Schemas of the exports alone") },
  action(async (flags) => (await import("./inspect.ts")).inspect(flags)),
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
    as: text("as", "FORM", "typescript (default), effect, json-schema, gtypes or markdown"),
    world: text("world", "NAME", "Of WIT: which world, where there are several"),
    output: text("output", "FILE", "Write there instead of to standard output").pipe(Flag.withAlias("o")),
    dryRun: isOn("dry-run", "Print, and write nothing"),
  },
  action(async (flags) => (await import("./types.ts")).types(flags)),
).pipe(
  Command.withDescription(
    "Write the types of a component, or of a world of WIT (a file .wit, or a folder): TypeScript declarations for host.load<Exports>(…), a module of Effect Schemas, JSON Schemas of every function, GTypes with their hash, or a page of documentation.",
  ),
  Command.withShortDescription("Write the types of a component or of WIT"),
  Command.withExamples([
    { command: "stele types greeter.wasm -o greeter.d.ts" },
    { command: "stele types wit --as markdown", description: "A page about the only world of this folder" },
    { command: "stele types greeter.wasm --as gtypes --json", description: "What registries compare versions by" },
  ]),
)

const explain = Command.make(
  "explain",
  { what: Argument.String("WHAT").pipe(Argument.withDescription("An error code, a limit, a grant; or codes, limits, grants for all")) },
  action(async (flags) => (await import("./explain.ts")).explain(flags)),
).pipe(
  Command.withDescription("Explain an error code, a limit or a grant."),
  Command.withShortDescription("Explain an error code, a limit or a grant"),
  Command.withExamples([{ command: "stele explain STELE-CAP-0003" }, { command: "stele explain kv" }, { command: "stele explain limits" }]),
)

const kept = text(
  "storage",
  "ADDRESS",
  "Where plugins and their data are kept: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE, pglite:PATH or memory (default: a file in your data folder)",
)

const up = Command.make(
  "up",
  {
    storage: kept,
    objects,
    storageKey,
    port: port("Where plugins are served over HTTP on 127.0.0.1; 0 any free port, none not at all (default 4747, or any free port)"),
    once: isOn("once", "Exit after the run instead of waiting for commands"),
  },
  action(async (flags) => (await import("../up/up.ts")).up(flags)),
).pipe(
  Command.withDescription(
    "Load the example plugins, call each on real input, show one refused and one stopped; then take commands on the loaded plugins, and serve them over HTTP to this machine.",
  ),
  Command.withShortDescription("Run the example plugins, then take commands"),
  Command.withExamples([
    { command: "stele up", description: "A prompt on a terminal; elsewhere one command a line on stdin" },
    { command: "stele up --storage sqlite:stele.db", description: "Plugins, grants and stored values are there again the next time" },
    { command: "stele up --storage postgres://stele_service@localhost/stele", description: "On a server that stele storage migrate has set up" },
    { command: "stele up --storage memory", description: "Nothing is kept" },
    { command: "stele up --once --json", description: "For machines: one line of JSON" },
  ]),
)

const doctor = Command.make(
  "doctor",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("A store: sqlite:PATH (default: the one in your data folder)"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
    plugin: pluginFlag,
  },
  action(async (flags) => (await import("./doctor.ts")).doctor(flags)),
).pipe(
  Command.withDescription(
    "Look at what this machine lets a host do (stop guests, let them wait, keep them apart, other engines, compilers, a GPU), at what a store stands on (disk space, whether a sync means anything, what the store says of itself), and at which component is in force for each first-party plugin. Changes nothing; exit code 3 when something cannot be relied on.",
  ),
  Command.withShortDescription("Find what is wrong with this machine or store"),
  Command.withExamples([{ command: "stele doctor" }, { command: "stele doctor sqlite:stele.db --json" }]),
)

const usage = Command.make(
  "usage",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("A store: sqlite:PATH (default: the one in your data folder) or postgres://…"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
    by: text("by", "WHAT", "tenant (default), plugin or day"),
    from: text("from", "DAY", "First day, such as 2026-11-01, in UTC"),
    to: text("to", "DAY", "Last day"),
    tenant: text("tenant", "NAME", "One tenant's alone"),
    plugin: text("plugin", "DIGEST", "One plugin's alone; the first characters are enough"),
    account: text("account", "ID", "What an account of the books used, by days of its zone, and what its periods will have cost"),
    entity: text("entity", "NAME", "With --account: whose books (default: default)"),
    objects,
    storageKey,
  },
  action(async (flags) => (await import("./usage.ts")).usage(flags)),
).pipe(
  Command.withDescription(
    "Show what calls cost: how many, their time, fuel, memory and bytes, and host calls by grant. Every call through a store is recorded. A database is asked as its role stele_worker, whose password is in the file that STELE_STORAGE_WORKER_PASSWORD_FILE names, or is that of the service.",
  ),
  Command.withShortDescription("Show what calls cost, by tenant, plugin or day"),
  Command.withExamples([
    { command: "stele usage", description: "Of what stele up has run" },
    { command: "stele usage sqlite:stele.db --by day --from 2026-11-01 --to 2026-11-30", description: "A month, day by day" },
    { command: "stele usage sqlite:stele.db --account ada", description: "A month's usage, and what it will have cost" },
    { command: "stele usage sqlite:stele.db --by plugin --tenant ada --json", description: "For machines: exact sums as decimal strings" },
  ]),
)

const buildInfo = Command.make(
  "build-info",
  {},
  action(async (flags) => (await import("./build-info.ts")).buildInfo(flags)),
).pipe(
  Command.withDescription("Show which Stele this is: version, engine, platform; of a single-file binary also what it was made from and what it carries."),
  Command.withShortDescription("Show what this program was made from"),
  Command.withExamples([{ command: "stele build-info --json" }]),
)

export const stele = Command.make("stele").pipe(
  Command.withDescription("Run WebAssembly components you did not write: denied by default, typed, metered, stoppable."),
  Command.withExamples([
    { command: "stele inspect plugin.wasm", description: "What does it want?" },
    { command: "stele call plugin.wasm greet Ada --grant log", description: "Call it with what you allow" },
    { command: "stele up", description: "See it all on the example plugins" },
  ]),
  Command.withGlobalFlags([Json, Debug]),
  Command.withSubcommands([
    call,
    runProgram,
    serve,
    inspect,
    types,
    explain,
    up,
    plugin,
    ...author,
    usage,
    prices,
    estimate,
    account,
    invoice,
    payout,
    storageCommands,
    accel,
    doctor,
    buildInfo,
  ]),
)
