/** The command line as people and scripts meet it: processes, exit codes, what is on stdout and what on stderr. @long */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { bumpAllocator, guest } from "../host/component-builder.ts"
import { extismGuest } from "../host/extism/guest.ts"
import { type Ended, example, jsonError, root, stele } from "./command-line.ts"

// Each test starts several processes, on machines that may be busy.
t.setTimeout(280_000)

const greeter = example("greeter")
const granted = ["--grant", "log", "--grant", "kv:read:prices/*"]
const folder = await mkdtemp(join(tmpdir(), "stele-cli-"))
t.teardown(() => rm(folder, { recursive: true }))

/** Writes a guest and names its file. */
async function file(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

const core = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 2, 9, 1, 3, 0x65, 0x6e, 0x76, 1, 0x66, 0, 0)
const trapping = await file(
  "trapping.wasm",
  await guest({
    core: '(func $deep_inside unreachable) (func $through (call $deep_inside)) (func (export "go") (call $through))',
    exports: { go: "" },
  }),
)
/** Grows until it may not, and then reads what it asked for. */
const hungry = await file(
  "hungry.wasm",
  await guest({
    core: `(memory (export "memory") 1) (func (export "go") (drop (memory.grow (i32.const 1000))) (i32.store8 (i32.const 30000000) (i32.const 1)))`,
    exports: { go: "" },
  }),
)
const steering = await file(
  "steering.wasm",
  await guest({
    core: `${bumpAllocator()} (data (i32.const 64) "a\\1b[31m\\e2\\80\\aeb")
      (func (export "go") (result i32) (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const 10)) (i32.const 16))`,
    exports: { go: "(result string)" },
  }),
)

/** One line of "Bad input": what is typed, and what must come of it. */
interface Bad {
  readonly what: string
  readonly args: ReadonlyArray<string>
  readonly code: string
  readonly exit: number
  /** Words that the message for people must have. */
  readonly says: ReadonlyArray<string>
}

const bad: ReadonlyArray<Bad> = [
  { what: "the file does not exist", args: ["call", "nowhere.wasm", "go"], code: "STELE-PLG-0008", exit: 4, says: ["nowhere.wasm", "not found"] },
  { what: "the file is a folder", args: ["call", "plugins", "go"], code: "STELE-PLG-0013", exit: 1, says: ["plugins"] },
  { what: "the file is not wasm", args: ["call", "package.json", "go"], code: "STELE-VFY-0001", exit: 3, says: ["package.json", "component"] },
  { what: "a core module imports what nothing serves", args: ["call", await file("core.wasm", core), "go"], code: "STELE-VFY-0017", exit: 3, says: ["env#f"] },
  {
    what: "a grant is missing",
    args: ["call", greeter, "greet", '{"name":"Ada"}', "--grant", "log"],
    code: "STELE-CAP-0003",
    exit: 5,
    says: ["wasi:keyvalue/store", "= granted: log", "--grant kv:read:*"],
  },
  { what: "a grant is no grant", args: ["call", greeter, "greet", "x", "--grant", "kvx"], code: "STELE-CAP-0001", exit: 2, says: ['"kvx"'] },
  {
    what: "an argument has another type",
    args: ["call", greeter, "greet", '{"name":3}', ...granted],
    code: "STELE-WIT-0001",
    exit: 2,
    says: ["visitor.name", "string", "number 3"],
  },
  {
    what: "an argument is no WAVE",
    args: ["call", greeter, "greet", "{nme: 3}", ...granted],
    code: "STELE-WIT-0004",
    exit: 2,
    says: ['"nme" is no field', "^"],
  },
  { what: "an argument is missing", args: ["call", greeter, "greet", ...granted], code: "STELE-WIT-0002", exit: 2, says: ["0 arguments", "takes 1"] },
  {
    what: "an argument's file is missing",
    args: ["call", greeter, "greet", "@nowhere.json", ...granted],
    code: "STELE-PLG-0008",
    exit: 4,
    says: ["nowhere.json"],
  },
  {
    what: "the export is misspelt",
    args: ["call", greeter, "gret", "x", ...granted],
    code: "STELE-PLG-0003",
    exit: 4,
    says: ['did you mean "acme:greeter/api#greet"'],
  },
  { what: "memory is over its limit", args: ["call", hungry, "go", "--memory", "1MiB"], code: "STELE-PLG-0002", exit: 1, says: ["go"] },
  {
    what: "a component needs more memory than allowed",
    args: ["call", hungry, "go", "--memory", "1KiB"],
    code: "STELE-LIM-0001",
    exit: 7,
    says: ["memoryBytesMax", "--memory"],
  },
  {
    what: "fuel runs out",
    args: ["call", example("spinner"), "spin", "1", "--fuel", "100k"],
    code: "STELE-LIM-0009",
    exit: 7,
    says: ["fuel", "100000", "--fuel"],
  },
  {
    what: "a call is stopped at its deadline",
    args: ["call", example("spinner"), "spin", "1", "--deadline", "50ms"],
    code: "STELE-LIM-0010",
    exit: 7,
    says: ["deadlineMs", "50 ms", "--deadline 500ms raises it"],
  },
  {
    what: "a deadline is asked of a tier that stops nothing",
    args: ["call", example("spinner"), "spin", "1", "--deadline", "50ms", "--metering", "off"],
    code: "STELE-CFG-0003",
    exit: 2,
    says: ["--metering off", "leave out one"],
  },
  {
    what: "the component is larger than allowed",
    args: ["inspect", greeter, "--limit", "componentBytesMax=1KiB"],
    code: "STELE-LIM-0012",
    exit: 7,
    says: ["1024 bytes", "--limit componentBytesMax="],
  },
  { what: "an argument's file is a folder", args: ["call", example("spinner"), "spin", "@plugins"], code: "STELE-PLG-0013", exit: 1, says: ["it is a folder"] },
  { what: "the guest traps", args: ["call", trapping, "go"], code: "STELE-PLG-0002", exit: 1, says: ["= frames:", "deep_inside", "through"] },
  {
    what: "the guest answers with its error",
    args: ["call", greeter, "greet", '{"name":""}', ...granted],
    code: "STELE-PLG-0001",
    exit: 1,
    says: ['= payload: "Cannot greet a visitor without a name"'],
  },
  {
    what: "a limit is misspelt",
    args: ["call", greeter, "greet", "x", "--limit", "stackByteMax=1KiB"],
    code: "STELE-CFG-0003",
    exit: 2,
    says: ['did you mean "stackBytesMax"'],
  },
  { what: "a duration is none", args: ["call", greeter, "greet", "x", "--deadline", "soon"], code: "STELE-CFG-0002", exit: 2, says: ['"soon"', "500ms"] },
  {
    what: "there is no such tier",
    args: ["call", greeter, "greet", "x", "--metering", "turbo"],
    code: "STELE-CFG-0002",
    exit: 2,
    says: ['"deadline" or "fuel"', "turbo"],
  },
  {
    what: "a secret stands on the command line",
    args: ["call", greeter, "greet", "x", "--secret", "key=hunter2"],
    code: "STELE-CFG-0002",
    exit: 2,
    says: ["env:VARIABLE"],
  },
  { what: "a command is misspelt", args: ["cal"], code: "STELE-CFG-0003", exit: 2, says: ['did you mean "call"'] },
  { what: "a flag is misspelt", args: ["call", greeter, "greet", "x", "--grnat", "log"], code: "STELE-CFG-0003", exit: 2, says: ['did you mean "--grant"'] },
  { what: "what to explain is misspelt", args: ["explain", "memoryByteMax"], code: "STELE-CFG-0003", exit: 2, says: ['did you mean "memoryBytesMax"'] },
  {
    what: "types cannot be written",
    args: ["types", greeter, "-o", "nowhere/there.d.ts"],
    code: "STELE-CFG-0002",
    exit: 2,
    says: ["--output", "its folder is not there"],
  },
]

for (const { what, args, code, exit, says } of bad) {
  t.test(`\`stele ${args[0]}\` fails with ${code} when ${what}`, async (t) => {
    const people = stele(args)
    t.equal(people.code, exit, people.stderr)
    t.equal(people.stdout, "", "data only on stdout")
    t.match(people.stderr, new RegExp(`^error\\[${code}\\]: `))
    t.match(people.stderr, /\n {3}= fix: /)
    for (const text of says) t.ok(people.stderr.includes(text), `says ${text}: ${people.stderr}`)
    t.notMatch(people.stderr, /\n\s+at .*:\d+:\d+/, "no stack")
    t.ok(people.stderr.split("\n").length <= 24, "one screen")
    const machine = stele([...args.slice(0, 1), "--json", ...args.slice(1)])
    t.equal(machine.code, exit)
    t.equal(machine.stderr, "")
    const error = jsonError(machine)
    t.equal(error.code, code)
    t.equal(error.exitCode, exit)
    t.type(error.fix, "string")
    t.notOk("stack" in error)
  })
}

t.test("`stele` says a typo in two lines when the command is misspelt", async (t) => {
  t.equal(stele(["inspct", greeter]).stderr, 'error[STELE-CFG-0003]: Unknown command "inspct"\n   = fix: did you mean "inspect"\n')
})

t.test("`stele` prints a stack trace when `--debug` asks for it, and no secret when one was refused", async (t) => {
  t.match(stele(["call", "nowhere.wasm", "go", "--debug"]).stderr, /\n\s+at .*:\d+:\d+/)
  t.type(jsonError(stele(["call", "nowhere.wasm", "go", "--debug", "--json"])).stack, "string")
  t.notMatch(stele(["call", greeter, "greet", "x", "--secret", "key=hunter2"]).stderr, /hunter2/)
})

const callGreet = (args: ReadonlyArray<string>, started = {}): Ended => stele(["call", greeter, ...args, ...granted], started)

t.test("`stele call` prints WAVE for people and JSON for machines when the call succeeds", async (t) => {
  const people = callGreet(["greet", '{name: "Ada"}', "--kv", "prices/tea=3.20"])
  t.equal(people.stdout, '{message: "Hello, Ada!", tea-price: some("3.20")}\n')
  t.equal(people.stderr, "[greeter] info greeter: Greeted Ada\n", "the guest's log, tagged")
  t.equal(people.code, 0)
  const machine = callGreet(["greet", '{"name":"Ada"}', "--json", "--usage", "--fuel", "1M"])
  const { result, usage } = JSON.parse(machine.stdout) as { readonly result: unknown; readonly usage: Readonly<Record<string, unknown>> }
  t.same(result, { message: "Hello, Ada!" })
  t.equal(usage.outcome, "ok")
  t.match(usage.fuel, /^[1-9]\d*$/)
  t.same(usage.hostCalls, { "kv:read:prices/*": 1, log: 1 })
})

t.test("`stele call` finds the export when its name is given in any form", async (t) => {
  for (const name of ["acme:greeter/api#greet", "api#greet", "greet"]) t.equal(callGreet([name, '{"name":"Ada"}']).code, 0, name)
  const spin = stele(["call", example("spinner"), "stele:example-spinner/wheel#spin", "0"])
  t.equal(spin.stdout, "0\n", "without its version")
})

t.test("`stele call` reads arguments from a file and from standard input when they are `@FILE` and `-`", async (t) => {
  const text = "plugins/examples/text-stats/data/constitution.txt"
  const options = "{top: 1, min-letters: 4}"
  const fromFile = stele(["call", example("text-stats"), "analyze", `@${text}`, options, "--grant", "log"])
  t.match(fromFile.stdout, /words: 4369/)
  const fromStdin = stele(["call", example("text-stats"), "analyze", "-", options, "--grant", "log"], { input: await readFile(join(root, text)) })
  t.equal(fromStdin.stdout, fromFile.stdout)
  const json = callGreet(["greet", "-"], { input: '{"name": "Zoë 𝄞"}' })
  t.match(json.stdout, /Hello, Zoë 𝄞!/)
  const bytes = stele(["call", example("text-stats"), "analyze", "-", options, "--grant", "log", "--json"], { input: Uint8Array.of(0xff, 0xfe) })
  t.equal(jsonError(bytes).code, "STELE-WIT-0001", "bytes that are no UTF-8")
})

t.test("`stele call` takes a bare word as the string when the parameter is one", async (t) => {
  const echo = await file(
    "echo.wasm",
    await guest({
      core: `${bumpAllocator()} (func (export "echo") (param i32 i32) (result i32) (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))`,
      exports: { echo: '(param "text" string) (result string)' },
    }),
  )
  for (const [word, value] of [
    ["Ada", "Ada"],
    ["12", "12"],
    ["true", "true"],
    ["two words", "two words"],
    ['"quoted"', "quoted"],
    ['"\\u{41}"', "A"],
    ["don't", "don't"],
  ] as const) {
    t.equal((JSON.parse(stele(["call", echo, "echo", word, "--json"]).stdout) as { readonly result: unknown }).result, value, word)
  }
  t.equal(stele(["call", echo, "echo", "--", "--json"]).stdout, '"--json"\n', "after -- nothing is a flag")
  t.equal(stele(["call", echo, "echo", '"no end', "--json"]).code, 2, "a quote that does not end is a mistake")
  t.equal(stele(["call", echo, "echo", "two\nlines", "--raw"]).stdout, "two\nlines", "--raw writes it as it is")
})

/** Answers with its input in front of a setting, and fails without input. */
const extism = await file(
  "extism.wasm",
  await extismGuest({
    data: "nogreeting",
    body: `(if (i64.eqz (call $input_length)) (then (call $error_set (call $block (i32.const 0) (i32.const 2))))) (call $answer (call $input_offset))`,
    fields: `(func (export "setting") (result i32) (call $answer (call $config_get (call $block (i32.const 2) (i32.const 8)))) (i32.const 0))`,
  }),
)

t.test("`stele call` takes and prints text when the plugin is one for Extism", async (t) => {
  t.same(stele(["call", extism, "run", "--input", "Grüße\nzwei"]), { stdout: "Grüße\nzwei\n", stderr: "", code: 0 })
  t.equal(stele(["call", extism, "run", "two words"]).stdout, "two words\n")
  t.equal(stele(["call", extism, "run", "--input", "-"]).stdout, "-\n", "--input is taken as it is")
  t.equal(stele(["call", extism, "run", "-"], { input: Uint8Array.of(0x61, 0x0a) }).stdout, "a\n")
  t.equal(stele(["call", extism, "run", "--input", "a\u001b[31m"]).stdout, "a\\u{1b}[31m\n", "nothing steers a terminal")
  t.equal(stele(["call", extism, "run", "--input", "a", "--raw"]).stdout, "a")
  t.same(JSON.parse(stele(["call", extism, "run", "--input", "abc", "--json"]).stdout), { result: "YWJj", text: "abc" })
  t.match(stele(["call", extism, "run"]), { code: 1, stderr: /STELE-PLG-0001[^]*"no"/ })
  t.match(stele(["call", extism, "run", "a", "--input", "b"]), { code: 2, stderr: /--input/ })
  t.match(stele(["call", extism, "run", "a", "b"]).code, 2)
  t.match(stele(["inspect", extism]).stdout, /Extism plugin[^]*extism:host\/env[^]*config:\*[^]*run\n\s+func\(input: list<u8>\)/)
})

t.test("`stele call` loads what an Extism manifest says when the file is one", async (t) => {
  const manifest = (more: object): Promise<string> =>
    file("manifest.json", JSON.stringify({ wasm: [{ path: extism }], config: { greeting: "hello" }, ...more }))
  t.equal(stele(["call", await manifest({}), "setting"]).stdout, "hello\n")
  t.match(stele(["call", await manifest({ wasm: [{ path: extism, hash: "0".repeat(64) }] }), "setting"]), { code: 3, stderr: /STELE-VFY-0018/ })
  t.match(stele(["call", await manifest({ memory: { max_pages: 1 } }), "setting"]), { code: 7, stderr: /STELE-LIM-0001/ })
  t.match(stele(["inspect", await manifest({ memory: { pages: 1 } })]), { code: 3, stderr: /STELE-EXT-0004[^]*memory\.pages/ })
})

t.test("`stele call` escapes what a guest answers when it could steer a terminal", async (t) => {
  const { stdout } = stele(["call", steering, "go"])
  t.equal(stdout, '"a\\u{1b}[31m\\u{202e}b"\n')
})

t.test("`stele call` shows what was denied when the plugin swallows the denial", async (t) => {
  const { code, stdout, stderr } = stele(["call", example("snoop"), "tamper", "--grant", "log", "--grant", "kv:read:prices/*"])
  t.equal(code, 0)
  t.match(stdout, /access was denied/)
  t.match(stderr, /denied kv:write:prices\/tea {3}--grant kv:write:prices\/tea allows it/)
})

t.test("`stele call` reads a secret from where it lies when it is named so", async (t) => {
  const secret = await file("secret.txt", "s3cret\n")
  const args = ["call", example("spinner"), "spin", "0", "--secret"]
  t.equal(stele([...args, `key=file:${secret}`]).code, 0)
  t.equal(stele([...args, "key=env:STELE_TEST_SECRET"], { env: { STELE_TEST_SECRET: "x" } }).code, 0)
  t.equal(stele([...args, "key=env:STELE_TEST_SECRET"]).code, 2, "a variable that is not set")
})

t.test("`stele inspect` shows imports, grants and exports when nothing is granted", async (t) => {
  const { code, stdout, stderr } = stele(["inspect", greeter])
  t.equal(code, 0, stderr)
  for (const text of [
    "kv:read:*",
    "wasi:logging/logging",
    "acme:greeter/api#greet",
    "func(visitor: visitor) -> result<greeting, string>",
    "visitor = record{name: string}",
    "world root {",
    "stopped by",
  ]) {
    t.ok(stdout.includes(text), text)
  }
  t.ok(
    stdout.split("\n").every((line) => line.length <= 80 || /digest|sha256/.test(line)),
    "at most 80 columns",
  )
  const json = JSON.parse(stele(["inspect", greeter, "--json"]).stdout) as {
    readonly imports: ReadonlyArray<{ readonly grant: string; readonly risk: string }>
    readonly exports: ReadonlyArray<{ readonly name: string; readonly schema: { readonly params: unknown } }>
  }
  t.same(
    json.imports.map(({ grant }) => grant),
    ["kv:read:*", "log"],
  )
  t.ok(json.imports.every(({ risk }) => risk.length > 20))
  t.match(json.exports[0], { name: "acme:greeter/api#greet", schema: { params: { type: "array" } } })
  t.match(stele(["inspect", greeter, "--wit"]).stdout, /^package /)
  t.hasOwnProp(JSON.parse(stele(["inspect", greeter, "--schema"]).stdout) as object, "acme:greeter/api#greet")
})

t.test("`stele types` writes declarations when a file is named, and nothing on a dry run", async (t) => {
  const path = join(folder, "greeter.d.ts")
  const dry = stele(["types", greeter, "-o", path, "--dry-run"])
  t.match(dry.stdout, /export interface Exports/)
  await t.rejects(readFile(path), { code: "ENOENT" })
  t.same(stele(["types", greeter, "-o", path]), { code: 0, stdout: "", stderr: "" })
  t.equal(await readFile(path, "utf8"), dry.stdout)
})

t.test("`stele explain` explains when it is asked for a code, a limit, a grant or a table", async (t) => {
  for (const [what, text] of [
    ["STELE-CAP-0003", "denied by"],
    ["stele-bug-0001", "mistake"],
    ["deadlineMs", "STELE-LIM-0010"],
    ["kv", "kv:read:PREFIX"],
    ["kv:read:prices/*", "kv:read:prices/*"],
    ["grants", "clock:wall"],
    ["limits", "memoryBytesMax"],
    ["codes", "STELE-VFY-0001"],
  ] as const) {
    const { code, stdout } = stele(["explain", what])
    t.equal(code, 0, what)
    t.ok(stdout.includes(text), `${what} says ${text}`)
    t.ok(
      stdout.split("\n").every((line) => line.length <= 80),
      `${what} is at most 80 columns wide`,
    )
    t.doesNotThrow(() => JSON.parse(stele(["explain", what, "--json"]).stdout) as unknown, what)
  }
})

t.test("`stele --help` shows examples first, in 80 columns, when asked for any command", async (t) => {
  for (const command of [
    [],
    ["call"],
    ["inspect"],
    ["types"],
    ["explain"],
    ["run"],
    ["serve"],
    ["up"],
    ["new"],
    ["dev"],
    ["build"],
    ["test"],
    ["bench"],
    ["check"],
    ["wit"],
    ["doctor"],
  ]) {
    const { code, stdout, stderr } = stele([...command, "--help"])
    t.equal(code, 0)
    t.equal(stderr, "")
    t.ok(stdout.indexOf("Examples") >= 0 && stdout.indexOf("Examples") < stdout.indexOf("Usage"), `${command.join("")}: examples come first`)
    t.ok(
      stdout.split("\n").every((line) => line.length <= 80),
      `${command.join("")}: 80 columns`,
    )
  }
  t.match(stele([]).stdout, /Commands/, "no command is no mistake")
  t.match(stele(["--version"]).stdout, /^stele \d+\.\d+\.\d+\n$/)
  for (const shell of ["bash", "zsh", "fish"]) t.match(stele(["--completions", shell]).stdout, /inspect/, `${shell} completions`)
})

t.test("`stele` colours its output when it may, and not when it must not", async (t) => {
  const coloured = (env: Record<string, string>) => stele(["explain", "limits"], { env }).stdout.includes("\u001b[")
  t.notOk(coloured({}), "not a terminal")
  t.ok(coloured({ FORCE_COLOR: "1" }))
  t.notOk(coloured({ FORCE_COLOR: "1", NO_COLOR: "1" }), "NO_COLOR wins")
  t.notOk(coloured({ FORCE_COLOR: "0" }))
})

t.test("`stele` ends quietly when its reader goes away", async (t) => {
  const { stdout, stderr } = stele(["-c", `"$0" runtime/cli/main.ts explain codes --json | head -c 10; echo " \${PIPESTATUS[0]}"`, process.execPath], {
    program: ["bash"],
  })
  t.equal(stderr, "")
  t.match(stdout, / 0\n$/)
})
