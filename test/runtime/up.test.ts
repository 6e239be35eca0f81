/** The main job: the run over the example plugins, and the prompt off and on a terminal. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm, rmdir, stat, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { ownFolder } from "../../runtime/shipped.ts"
import { example, root, stele } from "./command-line.ts"

// Each test starts several processes, on machines that may be busy.
t.setTimeout(280_000)

interface Shown {
  readonly plugin: string
  readonly shows: string
  readonly isAsShown: boolean
  readonly result?: Readonly<Record<string, unknown>>
  readonly usage?: Readonly<Record<string, unknown>>
  readonly error?: { readonly code: string }
  readonly wallNs?: number
  readonly nextCallNs?: number
}
interface Report {
  readonly isOk: boolean
  readonly plugins: ReadonlyArray<Shown>
}

t.test("`stele up --once --json` prints the run as one line when all goes as it should", async (t) => {
  const { code, stdout } = stele(["up", "--once", "--json"])
  t.equal(code, 0)
  t.equal(stdout.trimEnd().split("\n").length, 1)
  const report = JSON.parse(stdout) as Report
  t.ok(report.isOk)
  const of = (name: string): Shown => report.plugins.find(({ plugin }) => plugin === name) as Shown
  t.same(of("greeter").result, { message: "Hello, Ada!", teaPrice: "2.80 €" })
  t.equal(of("text-stats").result?.words, 4369)
  t.equal(of("table-stats").result?.rows, 100)
  for (const name of ["greeter", "nearest", "text-stats", "table-stats"]) {
    t.match(of(name).usage?.fuel, /^[1-9]\d*$/, `${name} paid fuel`)
    t.ok((of(name).usage?.memoryPeakBytes as number) > 0, `${name} held memory`)
  }
  t.equal(of("snoop").error?.code, "STELE-CAP-0003")
  t.equal(of("spinner").error?.code, "STELE-LIM-0010")
  t.ok((of("spinner").wallNs ?? 0) >= 100e6, "it had its 100 ms")
  t.ok((of("spinner").nextCallNs ?? 0) > 0, "and the next call worked")
})

t.test("`stele up --once` prints results, pictures and refusals for people when nothing else is asked", async (t) => {
  const { code, stdout, stderr } = stele(["up", "--once"])
  t.equal(code, 0, stderr)
  for (const text of [
    "Hello, Ada!",
    "█",
    "┃",
    "299,852.4",
    "error[STELE-CAP-0003]",
    "refused",
    "stopped",
    "✓ greeter answered",
    "fuel",
    "used kv:read:prices/* 1×",
  ])
    t.ok(stdout.includes(text), text)
  t.notMatch(stdout, /\u001b/, "no escapes off a terminal")
})

const session = (lines: ReadonlyArray<string>, flags: ReadonlyArray<string> = []) => stele(["up", ...flags], { input: `${lines.join("\n")}\n` })

t.test("the prompt acts on the loaded plugins when commands come line by line", async (t) => {
  const { code, stdout, stderr } = session([
    "# a comment, and a blank line",
    "",
    'call greeter greet {name: "Bo"}',
    "revoke greeter kv:read:prices/*",
    "grant greeter kv:read:prices/*",
    'call greeter greet {"name": "Cy"} --usage',
    "load snoop --grant log --grant kv:write:prices/*",
    "call snoop tamper",
    'call greeter greet "{name: \\"Di\\"}"',
    "inspect snoop",
    "reload snoop",
    `load ${example("spinner")} --as wheel`,
    "call wheel spin 0",
    "usage",
    "help",
    "exit",
    "call greeter greet too-late",
  ])
  t.equal(code, 0, stderr)
  for (const text of [
    '{message: "Hello, Bo!", tea-price: some("2.80 €")}',
    "greeter is granted log\n",
    "greeter is granted log, kv:read:prices/*\n",
    '{message: "Hello, Cy!"',
    "The price of tea is now 0.00",
    '{message: "Hello, Di!", tea-price: some("0.00")}',
    "kv:read:* (granted)",
    "loaded wheel in",
    "plugin",
    "COMMAND --help",
  ]) {
    t.ok(stdout.includes(text), text)
  }
  t.notOk(stdout.includes("stele>"), "no prompt off a terminal")
  t.notOk(stdout.includes("too-late") || stderr.includes("too-late"), "nothing after exit")
})

t.test("`reload` keeps what was revoked revoked, and what was granted again inside it", async (t) => {
  const { stdout, stderr } = session([
    "grant greeter kv:read:*",
    "revoke greeter kv:read:p*",
    "reload greeter",
    'call greeter greet {name: "Ed"}',
    "grant greeter kv:read:prices/tea",
    "reload greeter",
    "help reload",
  ])
  t.match(stdout, /loaded greeter in .*, granted log, kv:read:\*, without kv:read:p\*\n/)
  t.match(stderr, "access was denied")
  t.match(stdout, /loaded greeter in .*, granted log, kv:read:\*, kv:read:prices\/tea, without kv:read:p\*\n/)
  t.match(stdout, "reload NAME [flags]")
})

t.test("the prompt goes on, and its exit code tells, when a command fails", async (t) => {
  const { code, stdout, stderr } = session([
    "cal greeter",
    "call greter greet x",
    'call greeter greet "no end',
    "call greeter greet -",
    "revoke greeter kv:read:prices/*",
    'call greeter greet {name: "Ed"}',
    "revoke greeter kv:read:prices/*",
    "call spinner spin 1 --deadline 20ms",
    "call spinner spin 0",
  ])
  for (const text of ['did you mean "call"', 'did you mean "greeter"', "does not end", "use @FILE", "access was denied", "Nothing of", "STELE-LIM-0010"])
    t.ok(stderr.includes(text), text)
  t.match(stdout, /\n0\n/, "the last command was answered")
  t.equal(code, 7, "the code of the last one that failed")
})

t.test("the prompt answers in JSON, one line each, when `--json` is given", async (t) => {
  const { stdout } = session(['call greeter greet {name: "Bo"}', "call greeter gret x", "usage greeter", "help"], ["--json"])
  const [report, greeting, failure, usage, help] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.ok(report?.isOk)
  t.match(greeting, { result: { message: "Hello, Bo!" }, usage: { outcome: "ok" } })
  t.match(failure, { error: { code: "STELE-PLG-0003", exitCode: 4 } })
  t.match(usage, { usage: [{ plugin: "greeter", calls: 3, failed: 0 }] })
  t.hasOwnProp(help?.commands as object, "reload")
})

/** util-linux `script` gives a process a terminal. */
const hasScript = spawnSync("script", ["--version"]).status === 0

t.test(
  "the prompt completes words, and ends with 130 when Ctrl-C is pressed on a terminal",
  { skip: hasScript ? false : "needs util-linux script" },
  async (t) => {
    const terminal = spawn("script", ["-qefc", `${process.execPath} runtime/cli/main.ts up --storage memory`, "/dev/null"], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", TERM: "xterm" },
    })
    let shown = ""
    /** What is pressed once the text since the last press matches. Tab comes alone: within pasted text it is no key. */
    const keys: Array<readonly [RegExp, string]> = [
      [/stele> /, "call greeter gr"],
      [/call greeter gr/, "\t"],
      [/eet/, ' {name: "Bo"}\r'],
      [/Hello, Bo!.*stele> /s, "\u0003"],
    ]
    let from = 0
    terminal.stdout.setEncoding("utf8").on("data", (text: string) => {
      shown += text
      const [next] = keys
      if (next === undefined || !next[0].test(shown.slice(from))) return
      from = shown.length
      keys.shift()
      terminal.stdin.write(next[1])
    })
    t.teardown(() => terminal.kill())
    const [code] = (await once(terminal, "close")) as [number | null]
    t.match(shown, /Hello, Bo!/, "Tab completed the export")
    t.equal(code, 130)
  },
)

t.test("the prompt ends with 130 when Ctrl-C is pressed while a guest holds the thread", { skip: hasScript ? false : "needs util-linux script" }, async (t) => {
  const terminal = spawn("script", ["-qefc", `${process.execPath} runtime/cli/main.ts up --storage memory`, "/dev/null"], {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1", TERM: "xterm" },
  })
  let shown = ""
  let isCalled = false
  let pressing: NodeJS.Timeout | undefined
  terminal.stdout.setEncoding("utf8").on("data", (text: string) => {
    shown += text
    if (!isCalled && shown.includes("stele> ")) {
      isCalled = true
      terminal.stdin.write("call spinner spin 1 --deadline 1h\r")
    }
    // Pressed as people do, until it helps; what comes before the call has begun is a key of the prompt.
    if (/1h\r+\n/.test(shown)) pressing ??= setInterval(() => terminal.stdin.write("\u0003"), 200)
  })
  terminal.stdin.on("error", () => {})
  t.teardown(() => (clearInterval(pressing), terminal.kill()))
  const [code] = (await once(terminal, "close")) as [number | null]
  t.equal(code, 130)
})

t.test(
  "`ownFolder()` is a folder of this user alone, whoever has its name already",
  { skip: process.platform === "win32" && "there are no modes" },
  async (t) => {
    const parent = await mkdtemp(join(tmpdir(), "stele-own-"))
    t.teardown(() => rm(parent, { recursive: true }))
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777
    const first = ownFolder(parent)
    t.equal(ownFolder(parent), first, "the same the next time")
    t.equal(await modeOf(first), 0o700)
    await chmod(first, 0o777)
    const second = ownFolder(parent)
    t.not(second, first, "others may write there")
    t.equal(await modeOf(second), 0o700)
    await rmdir(first)
    await symlink(tmpdir(), first)
    t.not(ownFolder(parent), first, "a link to elsewhere")
  },
)
