/**
 * Plugins that Extism's own development kits make, unmodified: one compiled here with the kit for AssemblyScript, and those
 * that Extism's Go host is tested with (Rust, TinyGo, Go, Haskell), where Go's tools can get that module.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import createPlugin from "@extism/extism"
import t from "tap"
import { withNumbers } from "../../host/foreign/extism/user.ts"
import { Host, type LoadOptions, memoryHttp, memoryLog, type Plugin } from "../../host/mod.ts"
import { isFull } from "../seed.ts"

const log = memoryLog()
const http = memoryHttp((request) => ({
  status: request.url.endsWith("/todos/1") ? 200 : 404,
  headers: [["content-type", "text/html"]],
  body: `{"url":"${request.url}"}`,
}))
const host = await Host.open({ cache: false, ports: { log, http } })
t.teardown(() => host.close())

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const call = async (plugin: Plugin, name: string, input = ""): Promise<string> =>
  new TextDecoder().decode((await plugin.call(name, [encode(input)])) as Uint8Array)

const run = promisify(execFile)
/** What programs made for WASI look at before they do anything. */
const programs = ["clock:wall", "clock:monotonic", "random"]
const upper = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).toUpperCase()

// ── AssemblyScript ──────────────────────────────────────────────────────────

const source = `
import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk"
import { error_set } from "@extism/as-pdk/lib/env"

function onAbort(message: string | null, file: string | null, line: u32, column: u32): void {}

@external("extism:host/user", "shout")
declare function shout(text: u64): u64

export function countVowels(): i32 {
  const text = Host.inputString()
  let count = 0
  for (let i = 0; i < text.length; i++) if ("aeiouAEIOU".includes(text.charAt(i))) count++
  let total = count
  const before = Var.getString("total")
  if (before !== null) total += I32.parseInt(before)
  Var.set("total", Uint8Array.wrap(String.UTF8.encode(total.toString())))
  Host.log(LogLevel.Info, "counted " + count.toString())
  const unit = Config.get("unit")
  Host.outputString(count.toString() + " of " + total.toString() + " " + (unit === null ? "vowels" : unit))
  return 0
}
export function fail(): i32 {
  error_set(Memory.allocateString("no: " + Host.inputString()).offset)
  return 1
}
export function loud(): i32 {
  const offset = shout(Memory.allocateString(Host.inputString()).offset)
  Host.outputString(new Memory(offset, 6).toString())
  return 0
}
export function echo(): i32 {
  Host.output(Host.input())
  return 0
}
`

async function compile(): Promise<Uint8Array<ArrayBuffer>> {
  const asc = await import("assemblyscript/asc")
  const folder = join(import.meta.dirname, "..")
  let wasm: Uint8Array | undefined
  const stderr = asc.createMemoryStream()
  const { error } = await asc.main(["kit.ts", "--baseDir", folder, "--outFile", "kit.wasm", "-O", "--runtime", "stub", "--use", "abort=kit/onAbort"], {
    stderr,
    readFile: async (name: string, from: string) => (name === "kit.ts" ? source : await readFile(join(from, name), "utf8").catch(() => null)),
    writeFile: async (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== "string") wasm = contents
    },
    listFiles: () => [],
  } as unknown as Parameters<typeof asc.main>[1])
  if (error !== null || wasm === undefined) throw new Error(`${stderr.toString()}${String(error)}`)
  return new Uint8Array(wasm)
}

t.test("a plugin made with the kit for AssemblyScript does here what it does in Extism", async (t) => {
  const bytes = await compile()
  const shout = (text: Uint8Array): Uint8Array => encode(new TextDecoder().decode(text).toUpperCase())
  const imports = { "extism:host/user": { shout } }
  const grants = ["log", "config:unit", "call:shout"]
  await using plugin = await host.load(bytes, { grants, imports, config: { unit: "signs" }, instances: { reuse: "principal" } })
  const told: Array<string> = []
  const logger = { ...console, info: (text: string) => void told.push(text) }
  const peer = await createPlugin(
    { wasm: [{ data: bytes }] },
    {
      config: { unit: "signs" },
      logger,
      functions: { "extism:host/user": { shout: (cx, text: bigint) => cx.store(shout(cx.read(text)?.bytes() as Uint8Array)) } },
    },
  )
  const theirs = async (name: string, input: string): Promise<string | undefined> => (await peer.call(name, encode(input)))?.string()
  for (const [name, input, expected] of [
    ["countVowels", "Hello World", "3 of 3 signs"],
    ["countVowels", "ünïcode and æ", "3 of 6 signs"],
    ["echo", "ab", "ab"],
    ["echo", "0123456789abcdef!", "0123456789abcdef!"],
    ["loud", "quiet!", "QUIET!"],
  ] as const) {
    t.equal(await call(plugin, name, input), expected, `${name} here`)
    t.equal(await theirs(name, input), expected, `${name} in Extism`)
  }
  await t.rejects(call(plugin, "fail", "because"), { code: "STELE-PLG-0001", reason: { payload: "no: because" } })
  await t.rejects(theirs("fail", "because"), { message: "Plugin-originated error: no: because" })
  t.same(told, ["counted 3", "counted 3"])
  t.same(
    log.records.map(({ level, message }) => `${level} ${message}`),
    ["info counted 3", "info counted 3"],
  )
  await peer.close()
})

// ── Go, compiled here ───────────────────────────────────────────────────────

const goSource = `package main

import (
	"strings"

	pdk "github.com/extism/go-pdk"
)

//go:wasmimport extism:host/user shout
func shout(uint64) uint64

//go:wasmexport loud
func loud() int32 {
	pdk.Log(pdk.LogInfo, "loud was called")
	unit, ok := pdk.GetConfig("unit")
	if !ok {
		unit = "none"
	}
	count := pdk.GetVarInt("count") + 1
	pdk.SetVarInt("count", count)
	mem := pdk.AllocateString(pdk.InputString())
	defer mem.Free()
	out := pdk.FindMemory(shout(mem.Offset()))
	pdk.OutputString(string(out.ReadBytes()) + " " + unit + strings.Repeat("+", count))
	return 0
}

//go:wasmexport fail
func fail() int32 {
	pdk.SetErrorString("no: " + pdk.InputString())
	return 1
}

func main() {}
`

t.test("a plugin made with the kit for Go runs", isFull ? {} : { skip: "its compiler takes a minute: STELE_TEST_FULL=1 runs it" }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-go-"))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, "main.go"), goSource)
  await writeFile(join(folder, "go.mod"), "module example\n\ngo 1.24\n\nrequire github.com/extism/go-pdk v1.1.3\n")
  const env = { ...process.env, GOOS: "wasip1", GOARCH: "wasm", GOFLAGS: "-mod=mod" }
  try {
    await run("go", ["build", "-buildmode=c-shared", "-o", "plugin.wasm", "."], { cwd: folder, env, timeout: 600_000 })
  } catch (error) {
    t.comment(`go cannot build it here: ${String(error).split("\n", 1)[0] ?? ""}`)
    return
  }
  await using plugin = await host.load(new Uint8Array(await readFile(join(folder, "plugin.wasm"))), {
    grants: [...programs, "log", "config:unit", "call:shout"],
    config: { unit: "signs" },
    imports: { "extism:host/user": { shout: upper } },
    instances: { reuse: "principal" },
    limits: { deadlineMs: 20_000 },
  })
  t.equal(await call(plugin, "loud", "grüße"), "GRÜSSE signs+")
  t.equal(await call(plugin, "loud", "two"), "TWO signs++")
  await t.rejects(call(plugin, "fail", "because"), { code: "STELE-PLG-0001", reason: { payload: "no: because" } })
  t.equal(log.records.at(-1)?.message, "loud was called")
})

// ── What Extism's Go host is tested with ────────────────────────────────────

const version = "v1.7.1"

/** The folder of that module, or why it is not there. */
async function goModule(): Promise<string | { readonly missing: string }> {
  try {
    const { stdout } = await run("go", ["mod", "download", "-json", `github.com/extism/go-sdk@${version}`], { timeout: 60_000 })
    return (JSON.parse(stdout) as { readonly Dir: string }).Dir
  } catch (error) {
    return { missing: (error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no go here" : "go cannot get the module" }
  }
}

const folder = await goModule()

type Answer = string | RegExp | { readonly fails: string | RegExp } | { readonly exits: number } | { readonly stops: true }

interface Made {
  readonly file: string
  readonly options?: LoadOptions
  /** It gets a directory as `/mnt` with a file in it, to read or to write too. */
  readonly data?: "read" | "write"
  /** Export, input, and the answer or a pattern of it; an error by its text. */
  readonly calls: ReadonlyArray<readonly [name: string, input: string, answer: Answer]>
}

const behind =
  (sign: string) =>
  (bytes: Uint8Array): string =>
    `${sign}${new TextDecoder().decode(bytes)}`

const made: ReadonlyArray<Made> = [
  { file: "config.wasm", calls: [["run_test", "", `{"config": "<unset by host>"}`]] },
  { file: "config.wasm", options: { grants: ["config:thing"], config: { thing: "hello" } }, calls: [["run_test", "", `{"config": "hello"}`]] },
  {
    file: "host.wasm",
    options: { grants: ["call:mult"], imports: { "extism:host/user": { mult: withNumbers((a: bigint, b: bigint) => a * b) } } },
    calls: [["run_test", "", "42 x 2 = 84"]],
  },
  {
    file: "host_memory.wasm",
    options: { grants: ["call:host#to_upper"], imports: { host: { to_upper: upper } } },
    calls: [["run_test", "Frodo", "HELLO FRODO!"]],
  },
  {
    file: "host_multiple.wasm",
    options: { grants: ["call:*"], imports: { "extism:host/user": { hostGreenMessage: behind("🟢:"), hostPurpleMessage: behind("🟣:") } } },
    calls: [
      ["say_green", "John Doe", "🟢:🫱 Hey from say_green John Doe"],
      ["say_purple", "Jane Doe", "🟣:👋 Hello from say_purple Jane Doe"],
    ],
  },
  { file: "http.wasm", options: { grants: ["http:GET:https://jsonplaceholder.typicode.com/*"] }, calls: [["run_test", "", /todos.1/]] },
  {
    file: "http_headers.wasm",
    options: { grants: ["http:GET:https://example.com/*"] },
    calls: [["http_get", `{"url":"https://example.com/"}`, /"content-type":"text.html"/]],
  },
  { file: "exit.wasm", options: { grants: ["config:code"], config: { code: "0" } }, calls: [["_start", "", ""]] },
  { file: "exit.wasm", options: { grants: ["config:code"], config: { code: "500" } }, calls: [["_start", "", { exits: 500 }]] },
  { file: "fs.wasm", data: "write", calls: [["run_test", "", "hello world!"]] },
  {
    file: "read_write.wasm",
    options: { grants: ["config:path"], config: { path: "/mnt/test.txt" } },
    data: "read",
    calls: [
      ["try_read", "", "hello world!"],
      ["try_write", "hello hello!", { fails: /Failed to write file/ }],
    ],
  },
  { file: "std_command.wasm", options: { grants: programs }, calls: [["_start", "ben", "hello ben"]] },
  { file: "std_command.wasm", options: { grants: programs, metering: "fuel" }, calls: [["_start", "ben", "hello ben"]] },
  {
    file: "hello_haskell.wasm",
    options: { grants: [...programs, "config:greeting"], config: { greeting: "Howdy" } },
    calls: [["testing", "John", "Howdy, John"]],
  },
  {
    file: "sleep.wasm",
    options: { grants: [...programs, "config:duration"], config: { duration: "30" }, limits: { deadlineMs: 200 } },
    calls: [["run_test", "", { stops: true }]],
  },
  {
    file: "var.wasm",
    options: { instances: { reuse: "principal" } },
    calls: [["run_test", "", "a: 0"]],
  },
  { file: "alloc.wasm", calls: [["run_test", "", ""]] },
  { file: "hello.wasm", calls: [["run_test", "", "Hello, world!"]] },
  { file: "fail.wasm", calls: [["run_test", "", { fails: "Some error message" }]] },
  { file: "input_offset.wasm", calls: [["input_offset_length", "hello world", /^\u000b/]] },
  {
    file: "count_vowels.wasm",
    options: { instances: { reuse: "principal" } },
    calls: [
      ["count_vowels", "aaa", `{"count":3,"total":3,"vowels":"aeiouAEIOU"}`],
      ["count_vowels", "bbba", `{"count":1,"total":4,"vowels":"aeiouAEIOU"}`],
    ],
  },
]

t.test("plugins that Extism's Go host is tested with run", typeof folder === "string" ? {} : { skip: folder.missing }, async (t) => {
  const mnt = await mkdtemp(join(tmpdir(), "stele-kits-"))
  t.teardown(() => rm(mnt, { recursive: true }))
  await writeFile(join(mnt, "test.txt"), "hello world!")
  for (const { file, options, data, calls } of made) {
    const path = join(folder as string, "wasm", file)
    if (!existsSync(path)) {
      t.fail(`there is no ${file}`)
      continue
    }
    await using plugin = await host.load(new Uint8Array(await readFile(path)), {
      ...options,
      grants: [...(options?.grants ?? []), ...(data === undefined ? [] : [`fs:read:${mnt}`]), ...(data === "write" ? [`fs:write:${mnt}`] : [])],
      limits: { deadlineMs: 20_000, fuel: Number.MAX_SAFE_INTEGER, ...options?.limits },
      ...(data === undefined ? {} : { wasi: { directories: { "/mnt": mnt } } }),
    })
    for (const [name, input, answer] of calls) {
      const about = `${file}#${name}`
      if (typeof answer === "string") t.equal(await call(plugin, name, input).catch(String), answer, about)
      else if (answer instanceof RegExp) t.match(await call(plugin, name, input).catch(String), answer, about)
      else {
        const error = await call(plugin, name, input).catch((thrown: unknown) => thrown)
        if ("fails" in answer) t.match(error, { code: "STELE-PLG-0001", reason: { payload: answer.fails } }, about)
        else if ("exits" in answer) t.match(error, { code: "STELE-PLG-0012", reason: { status: answer.exits } }, about)
        else t.match(error, { code: "STELE-LIM-0010" }, about)
      }
    }
  }
})
