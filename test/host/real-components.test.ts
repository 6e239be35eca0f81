/**
 * Components from toolchains as they are: the examples (AssemblyScript, and TypeScript in QuickJS), and one world from
 * C, Rust and JavaScript; and one program of WASI preview 1 from Go, Rust and C, which does the same under `node:wasi`. Where a
 * toolchain is not installed, one line says so.
 */
import { execFile, spawnSync } from "node:child_process"
import { copyFile, mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t from "tap"
import { Host, type LoadOptions, type Plugin } from "../../host/mod.ts"
import { memoryKeyValue, memoryLog, tenantKey } from "../../host/port/mod.ts"
import { componentOf } from "./component-builder.ts"
import { sampled } from "../seed.ts"

t.setTimeout(1_800_000)
const run = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(`real-components/${name}`, import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-real-"))
t.teardown(() => rm(folder, { recursive: true }))

const log = memoryLog()
const keyValue = memoryKeyValue()
await keyValue.set(tenantKey("default", "prices/tea"), new TextEncoder().encode("2.50"))
const host = await Host.open({ cache: false, ports: { log, keyValue } })
t.teardown(() => host.close())

/** Under the deadline, and under fuel: metering must not change what a component answers. */
const tiers = ["deadline", "fuel", "off"] as const
/** A deadline where the tier has one: without metering it is refused. */
const deadlineOf = (metering: (typeof tiers)[number], deadlineMs: number) => (metering === "off" ? {} : { deadlineMs })

// ── Examples ────────────────────────────────────────────────────────────────

const example = (name: string, options: LoadOptions = {}): Promise<Plugin> =>
  host.load(new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url), options)
const exampleText = (path: string): Promise<string> => readFile(new URL(`../../plugins/examples/${path}`, import.meta.url), "utf8")

for (const metering of tiers) {
  t.test(`the AssemblyScript greeter greets when it has its grants (${metering})`, async (t) => {
    await using plugin = await example("greeter", { metering, grants: ["log", "kv:read:prices/*"] })
    const result = await plugin.call("acme:greeter/api#greet", [{ name: "Zoë 𝄞" }] as never)
    t.same(result, { message: "Hello, Zoë 𝄞!", teaPrice: "2.50" })
    t.match(log.records.at(-1), { level: "info", context: "greeter", message: "Greeted Zoë 𝄞", plugin: plugin.digest })
    await t.rejects(plugin.call("acme:greeter/api#greet", [{ name: "" }] as never), {
      code: "STELE-PLG-0001",
      reason: { payload: "Cannot greet a visitor without a name" },
    })
    t.same(
      plugin
        .describe()
        .grants.used.map(({ grant }) => grant)
        .sort(),
      ["kv:read:prices/*", "log"],
    )
  })

  t.test(`the AssemblyScript text statistics count the Constitution's words when its text is given (${metering})`, async (t) => {
    await using plugin = await example("text-stats", { metering, grants: ["log"] })
    const text = await exampleText("text-stats/data/constitution.txt")
    const summary = (await plugin.call("stele:example-text/analysis#analyze", [text, { top: 3, minLetters: 4 }] as never)) as Readonly<Record<string, unknown>>
    t.equal(summary["words"], (text.match(/[A-Za-z]+(?:['’][A-Za-z]+)*/g) ?? []).length)
    t.equal(summary["length"], text.length)
    t.equal((summary["topWords"] as ReadonlyArray<unknown>).length, 3)
  })

  t.test(`the QuickJS table statistics find Michelson's mean when the table of 1879 is given (${metering})`, async (t) => {
    await using plugin = await example("table-stats", { metering, limits: { ...deadlineOf(metering, 10_000), fuel: 50_000_000_000 } })
    const table = (await plugin.call("stele:example-table/statistics#describe", [
      await exampleText("table-stats/data/light.csv"),
      { separator: ",", correlations: false },
    ] as never)) as {
      readonly rows: number
      readonly columns: ReadonlyArray<{ readonly content: { readonly val: Readonly<Record<string, number>> } }>
    }
    t.equal(table.rows, 100)
    // Stigler, "Do robust estimators work with real data?", 1977: mean 299,852.4 km/s.
    t.equal(Math.round((table.columns[2]?.content.val["mean"] ?? 0) * 10) / 10, 299_852.4)
    await t.rejects(plugin.call("stele:example-table/statistics#describe", ["a;b\n1;2\n3\n", { separator: ";", correlations: false }] as never), {
      code: "STELE-PLG-0001",
      reason: { payload: { tag: "ragged-row", val: { line: 3, expected: 2, found: 1 } } },
    })
  })
}

t.test("the snoop is refused when its grant is missing, and the error names the grant", async (t) => {
  await t.rejects(example("snoop", { grants: ["log"] }), { code: "STELE-CAP-0003", message: /kv:/ })
})

t.test("the spinner is stopped when it never ends, and answers when it does", async (t) => {
  await using plugin = await example("spinner")
  const startedMs = performance.now()
  await t.rejects(plugin.call("stele:example-spinner/wheel#spin", [1] as never, { deadlineMs: 100 }), { code: "STELE-LIM-0010" })
  t.ok(performance.now() - startedMs < 1_000)
  t.equal(await plugin.call("stele:example-spinner/wheel#spin", [0] as never), 0n)
})

// ── One world, many toolchains ──────────────────────────────────────────────

/** The low 31 bits of the 32-bit FNV-1a: componentize-qjs 0.4.5 traps on a bigint in a `u64`, and cuts a `u32` at 2^31 − 1. */
const checksumOf = (text: string): number =>
  new TextEncoder().encode(text).reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193) >>> 0, 0x811c9dc5) & 0x7fffffff

/** Builds the component, or says why it cannot. */
type Build = () => Promise<Uint8Array | string>

async function hasTool(command: string, args: ReadonlyArray<string> = ["--version"]): Promise<boolean> {
  return run(command, args).then(
    () => true,
    () => false,
  )
}

const wit = (): Promise<string> => readFile(here("real.wit"), "utf8")

const clang: Build = async () => {
  if (!(await hasTool("clang")) || !(await hasTool("wasm-ld"))) return "clang with wasm-ld is not installed"
  const object = join(folder, "c.o")
  const core = join(folder, "c.wasm")
  await run("clang", ["--target=wasm32", "-O2", "-ffreestanding", "-nostdlib", "-Wall", "-Werror", "-c", here("real.c"), "-o", object])
  await run("wasm-ld", ["--no-entry", object, "-o", core])
  return componentOf(await wit(), new Uint8Array(await readFile(core)))
}

/** Several Rusts may be installed, and only some have the library: rustup's comes first, Debian's stands where Debian puts it. */
const rust: Build = async () => {
  const core = join(folder, "rust.wasm")
  const linker = (await hasTool("wasm-ld")) ? ["-C", "linker=wasm-ld"] : []
  const options = ["--edition=2021", "--target=wasm32-unknown-unknown", "-O", "-C", "panic=abort", "--crate-type=cdylib"]
  let skip = "rustc is not installed"
  for (const rustc of [process.env["RUSTC"] ?? "rustc", "/usr/bin/rustc"]) {
    if (!(await hasTool(rustc))) continue
    try {
      await run(rustc, [...linker, ...options, here("real.rs"), "-o", core])
      return componentOf(await wit(), new Uint8Array(await readFile(core)))
    } catch (error) {
      if (!/can't find crate for `core`|may not be installed/.test(String((error as { stderr?: string }).stderr))) throw error
      skip = "no Rust here has the wasm32-unknown-unknown library"
    }
  }
  return skip
}

const quickJs: Build = async () => {
  const { componentize } = await import("componentize-qjs")
  const { component } = await componentize({
    witPath: here("real.wit"),
    world: "real",
    jsSource: await readFile(here("real.js"), "utf8"),
    sync: true,
    stubWasi: true,
    optSize: true,
  })
  return new Uint8Array(component)
}

const starlingMonkey: Build = async () => {
  const { componentize } = await import("@bytecodealliance/componentize-js")
  // Texts, not paths: given paths, 0.23 looks for the WIT where its sandbox finds no files. Its types want a path all the same.
  const options = { worldName: "real", disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"] }
  const { component } = await componentize(await readFile(here("real.js"), "utf8"), await wit(), options as never)
  return new Uint8Array(component)
}

/** CPython as a component: it imports files, sockets, clocks and random, whatever the program does. */
const python: Build = async () => {
  if (!(await hasTool("componentize-py"))) return "componentize-py is not installed"
  const out = join(folder, "python.wasm")
  // Beside its source Python leaves what it compiled.
  const app = join(folder, "python")
  await mkdir(app)
  await copyFile(here("real.py"), join(app, "real.py"))
  await run("componentize-py", ["-d", here("real.wit"), "-w", "real", "componentize", "-p", app, "real", "-o", out])
  return new Uint8Array(await readFile(out))
}

const toolchains: Readonly<Record<string, Build>> = {
  clang,
  Rust: rust,
  QuickJS: quickJs,
  StarlingMonkey: starlingMonkey,
  Python: python,
}

const interpreters = ["QuickJS", "StarlingMonkey", "Python"]
/** Seconds of processors to make, tens of megabytes: a short run has one of the two, and makes plugins in Python elsewhere. */
const large = ["Python", "StarlingMonkey"]
const taken = sampled(large, 2)

for (const [name, build] of Object.entries(toolchains)) {
  if (large.includes(name) && !taken.includes(name)) continue
  t.test(`a component from ${name} answers when it is called`, async (t): Promise<void> => {
    const bytes = await build()
    if (typeof bytes === "string") {
      t.pass(bytes, { skip: bytes })
      return
    }
    t.comment(`${name}: ${bytes.length} bytes`)
    // Megabytes of an interpreter take seconds to load.
    for (const metering of interpreters.includes(name) ? sampled(tiers, 3, interpreters.indexOf(name)) : tiers) {
      const notes: Array<string> = []
      const startedMs = performance.now()
      const plugin = await host.load(bytes, {
        metering,
        grants: name === "Python" ? ["clock:wall", "clock:monotonic", "random"] : [],
        imports: { "test:real/host": { note: (text: string) => void notes.push(text) } },
        limits: { ...deadlineOf(metering, 20_000), fuel: 50_000_000_000, loadMs: 120_000, functionBodyBytesMax: 8 << 20, memoryBytesMax: 256 << 20 },
      })
      t.comment(`${metering}: loaded in ${Math.round(performance.now() - startedMs)} ms`)
      t.same(
        plugin
          .describe()
          .exports.map((found) => found.name)
          .filter((found) => found.startsWith("test:real")),
        ["test:real/api#summarize", "test:real/api#sort"],
      )
      const text = "the quick brown fox jumps over the lazy dog"
      t.same(await plugin.call("test:real/api#summarize", [text] as never), { words: 9, longest: "quick", checksum: checksumOf(text) }, metering)
      t.same(notes, ["quick"])
      const long = "lorem ipsum ".repeat(2_000)
      t.match((await plugin.call("test:real/api#summarize", [long] as never)) as object, { words: 4_000, checksum: checksumOf(long) })
      await t.rejects(plugin.call("test:real/api#summarize", ["   "] as never), { code: "STELE-PLG-0001", reason: { payload: "no words" } })
      t.same(await plugin.call("test:real/api#sort", [[3, 1, -2.5, 1e300, 0]] as never), Float64Array.of(-2.5, 0, 1, 3, 1e300))
      t.same(await plugin.call("test:real/api#sort", [[]] as never), new Float64Array(0))
      t.equal(plugin.instances, 0)
      await plugin.close()
    }
  })
}

// ── One program, many toolchains ────────────────────────────────────────────

const go =
  (command: string, ...flags: ReadonlyArray<string>): Build =>
  async () => {
    if (!(await hasTool(command, ["version"]))) return `${command} is not installed`
    const out = join(folder, `${command}.wasm`)
    await run(command, ["build", ...flags, "-o", out, here("program.go")], { env: { ...process.env, GOOS: "wasip1", GOARCH: "wasm", GO111MODULE: "off" } })
    return new Uint8Array(await readFile(out))
  }

const rustProgram: Build = async () => {
  const out = join(folder, "program-rust.wasm")
  let skip = "rustc is not installed"
  for (const rustc of [process.env["RUSTC"] ?? "rustc", "/usr/bin/rustc"]) {
    if (!(await hasTool(rustc))) continue
    // The target's older name is all that an older Rust knows.
    for (const target of ["wasm32-wasip1", "wasm32-wasi"]) {
      try {
        await run(rustc, ["--edition=2021", `--target=${target}`, "-O", "-C", "strip=symbols", here("program.rs"), "-o", out])
        return new Uint8Array(await readFile(out))
      } catch (error) {
        if (
          !/can't find crate for `std`|may not be installed|Could not find specification|error loading target/i.test(
            String((error as { stderr?: string }).stderr),
          )
        )
          throw error
        skip = "no Rust here has the library of WASI preview 1"
      }
    }
  }
  return skip
}

const cProgram: Build = async () => {
  if (!(await hasTool("clang")) || !(await hasTool("wasm-ld"))) return "clang with wasm-ld is not installed"
  const out = join(folder, "program-c.wasm")
  try {
    await run("clang", ["--target=wasm32-wasi", "-O2", "-Wall", "-Werror", here("program.c"), "-o", out])
  } catch (error) {
    if (/'(ctype|dirent|stdio)\.h' file not found|cannot open .*(crt1|libclang_rt)/.test(String((error as { stderr?: string }).stderr)))
      return "clang has no wasi-libc here"
    throw error
  }
  return new Uint8Array(await readFile(out))
}

const programToolchains: Readonly<Record<string, Build>> = {
  Go: go("go", "-ldflags=-s -w"),
  TinyGo: go("tinygo", "-target=wasip1"),
  Rust: rustProgram,
  C: cProgram,
}

/** A directory with one file, its own for each run. */
async function box(): Promise<string> {
  const path = await realpath(await mkdtemp(join(folder, "box-")))
  await writeFile(join(path, "in.txt"), "some text\n")
  return path
}

/** The program under `node:wasi`, in a process of its own: it blocks, and exits. */
async function underNode(bytes: Uint8Array): Promise<unknown> {
  const path = await box()
  const file = join(path, "../program.wasm")
  await writeFile(file, bytes)
  const source = `const { WASI } = require("node:wasi"); const { readFileSync } = require("node:fs")
    const wasi = new WASI({ version: "preview1", args: ["program", "/box", "a", "b c"], env: { GREETING: "hello" }, preopens: { "/box": ${JSON.stringify(path)} } })
    const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(${JSON.stringify(file)})), wasi.getImportObject())
    process.exit(wasi.start(instance))`
  const child = spawnSync(process.execPath, ["--no-warnings", "--eval", source], { input: "a line\nanother\n", encoding: "utf8" })
  return { output: child.stdout, errors: child.stderr, end: child.status, files: (await readdir(path, { recursive: true })).sort(byText) }
}
const byText = (a: string, b: string): number => (a < b ? -1 : 1)

for (const [name, build] of Object.entries(programToolchains)) {
  t.test(`a program from ${name} does what it does under node:wasi`, async (t): Promise<void> => {
    const bytes = await build()
    if (typeof bytes === "string") {
      t.pass(bytes, { skip: bytes })
      return
    }
    t.comment(`${name}: ${bytes.length} bytes`)
    const expected = await underNode(bytes)
    t.match(expected, { end: 3, errors: "done\n" })
    for (const metering of tiers) {
      const path = await box()
      let [output, errors] = ["", ""]
      const startedMs = performance.now()
      await using plugin = await host.load(bytes, {
        metering,
        grants: [`fs:read:${path}`, `fs:write:${path}`, "clock:wall", "clock:monotonic", "random"],
        limits: { ...deadlineOf(metering, 20_000), fuel: 50_000_000_000, loadMs: 120_000 },
        wasi: {
          args: ["program", "/box", "a", "b c"],
          env: { GREETING: "hello" },
          directories: { "/box": path },
          stdin: "a line\nanother\n",
          stdout: (chunk) => void (output += new TextDecoder().decode(chunk)),
          stderr: (chunk) => void (errors += new TextDecoder().decode(chunk)),
        },
      })
      t.comment(`${metering}: loaded in ${Math.round(performance.now() - startedMs)} ms`)
      const end = await plugin.call("wasi:cli/run#run", []).then(
        () => 0,
        (error: unknown) => (error as { readonly reason: { readonly status: number } }).reason.status,
      )
      t.same({ output, errors, end, files: (await readdir(path, { recursive: true })).sort(byText) }, expected, metering)
    }
  })
}
