/**
 * Plugins that Extism's own development kits make, unmodified: one compiled here with the kit for AssemblyScript, and those
 * that Extism's Go host is tested with (Rust, TinyGo, Go, Haskell), where Go's tools can get that module.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import createPlugin from "@extism/extism"
import t from "tap"
import { Host, type LoadOptions, memoryLog, type Plugin } from "../../host/mod.ts"

const log = memoryLog()
const host = await Host.open({ cache: false, ports: { log } })
t.teardown(() => host.close())

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const call = async (plugin: Plugin, name: string, input = ""): Promise<string> =>
  new TextDecoder().decode((await plugin.call(name, [encode(input)])) as Uint8Array)

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

// ── What Extism's Go host is tested with ────────────────────────────────────

const run = promisify(execFile)
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

interface Made {
  readonly file: string
  readonly options?: LoadOptions
  /** Export, input, and the answer or a pattern of it; an error by its text. */
  readonly calls: ReadonlyArray<readonly [name: string, input: string, answer: string | RegExp | { readonly fails: string }]>
}

const made: ReadonlyArray<Made> = [
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
  for (const { file, options, calls } of made) {
    const path = join(folder as string, "wasm", file)
    if (!existsSync(path)) {
      t.fail(`there is no ${file}`)
      continue
    }
    await using plugin = await host.load(new Uint8Array(await readFile(path)), { ...options, limits: { deadlineMs: 10_000, ...options?.limits } })
    for (const [name, input, answer] of calls) {
      if (typeof answer === "string") t.equal(await call(plugin, name, input), answer, `${file}#${name}`)
      else if (answer instanceof RegExp) t.match(await call(plugin, name, input), answer, `${file}#${name}`)
      else await t.rejects(call(plugin, name, input), { code: "STELE-PLG-0001", reason: { payload: answer.fails } } as never, `${file}#${name}`)
    }
  }
})
