/**
 * The same programs on `js`, `node-wasi` and `wasmtime`: the same output and exit codes, the same refused grants, a stop at
 * the deadline. What an engine does not promise is refused by name. Where there is no wasmtime, one line says so; where
 * `STELE_WASMTIME_PYTHON` names one (`.ci/run`), it must be there.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Host, type LoadOptions, memoryObserver } from "../../runtime/mod.ts"
import { findWasmtime } from "../../runtime/engine/wasmtime.ts"
import type { SteleError } from "../../schemas/error/mod.ts"
import { programs } from "./wasi-programs.ts"

t.setTimeout(240_000)
const folder = realpathSync(mkdtempSync(join(tmpdir(), "stele-engine-")))
t.teardown(() => rmSync(folder, { recursive: true }))
const observer = memoryObserver()
const host = await Host.open({ cache: false, ports: { observer }, network: false })
t.teardown(() => host.close())

const isNamed = (process.env["STELE_WASMTIME_PYTHON"] ?? "") !== ""
const wasmtime = await findWasmtime()
t.comment(wasmtime === undefined ? "no wasmtime" : `wasmtime ${wasmtime.version}`)

/** `node-wasi` in a thread is a row of its own. */
const engines = ["js", "node-wasi", "node-wasi in a thread", "wasmtime"] as const
type Engine = (typeof engines)[number]
const optionsOf = (engine: Engine): Pick<LoadOptions, "engine" | "isolation"> =>
  engine === "node-wasi in a thread" ? { engine: "node-wasi", isolation: "worker" } : { engine }
const openDescriptors = (): number | undefined => (process.platform === "linux" ? readdirSync("/proc/self/fd").length : undefined)
let boxes = 0

interface Outcome {
  readonly end: string
  readonly output: string
  readonly denied: ReadonlyArray<string>
}

/** Runs a program to its end: `ok`, `exit N` or an error's code. */
async function run(engine: Engine, bytes: Uint8Array, options: LoadOptions = {}): Promise<Outcome> {
  observer.drain()
  let output = ""
  const decoder = new TextDecoder()
  const take = (chunk: Uint8Array): void => void (output += decoder.decode(chunk))
  const plugin = await host.load(bytes, {
    ...optionsOf(engine),
    ...options,
    limits: { deadlineMs: 30_000, ...options.limits },
    wasi: { args: ["program"], stdout: take, stderr: take, ...options.wasi },
  })
  let end = "ok"
  try {
    await plugin.call("wasi:cli/run#run", [])
  } catch (error) {
    const { code, reason } = error as SteleError & { readonly reason: { readonly status?: number } }
    end = code === "STELE-PLG-0012" ? `exit ${reason.status}` : code
  }
  await plugin.close()
  return { end, output, denied: observer.drain().flatMap((event) => (event.type === "denial" ? [event.grant] : [])) }
}

/** A directory with one file, its own for each run. */
function box(): string {
  const path = join(folder, `box-${boxes++}`)
  mkdirSync(path)
  writeFileSync(join(path, "a.txt"), "the content\n")
  return path
}

const clocks = ["clock:wall", "clock:monotonic", "random"]

for (const engine of engines) {
  t.test(engine, async (t): Promise<void> => {
    if (engine === "wasmtime" && wasmtime === undefined) {
      if (isNamed) t.fail("the Python that STELE_WASMTIME_PYTHON names has no wasmtime")
      else t.pass("no Python here has the package wasmtime", { skip: "no Python here has the package wasmtime" })
      return
    }
    const ends = async (name: keyof typeof programs, options?: LoadOptions): Promise<Outcome> => run(engine, await programs[name](), options)

    t.same(await ends("hello"), { end: "ok", output: "hello\nto stderr\n", denied: [] })
    t.same(await ends("exit0"), { end: "ok", output: "hello\n", denied: [] })
    t.match(await ends("exit7"), { end: "exit 7" })
    t.match(await ends("trap"), { end: "STELE-PLG-0002" })
    t.same((await ends("arguments", { wasi: { args: ["a", "Zoë"], env: { X: "1", Y: "" } } })).output, "a\0Zoë\0X=1\0Y=\0")
    t.same((await ends("echo", { wasi: { stdin: "standard input" } })).output, "standard input")
    t.same((await ends("echo")).output, "")

    for (const [name, grant] of [
      ["wall", "clock:wall"],
      ["monotonic", "clock:monotonic"],
      ["random", "random"],
      ["sleep", "clock:monotonic"],
    ] as const) {
      const denied = await ends(name)
      t.same(denied.denied, [grant], `${name} is denied and told`)
      if (name !== "sleep") {
        t.equal(denied.end, "exit 76")
        t.match(await ends(name, { grants: clocks }), { end: "ok", denied: [] })
      }
    }
    t.match(await ends("steps", { grants: clocks }), { end: "ok" }, "the monotonic clock has the steps that are granted")

    const path = box()
    const both = { grants: [`fs:read:${path}`, `fs:write:${path}`], wasi: { directories: { "/box": path } } }
    t.match(await ends("show", both), { end: "ok", output: "the content\n" })
    t.match(await ends("make", both), { end: "ok" })
    t.match(await ends("show"), { end: "exit 8" }, "no directory, no descriptor")
    const readOnly = { ...both, grants: [`fs:read:${path}`] }
    if (engine.startsWith("node-wasi")) await t.rejects(ends("show", readOnly), { code: "STELE-ENG-0001", message: /fs:read without fs:write/ })
    else {
      t.match(await ends("show", readOnly), { end: "ok", output: "the content\n" })
      t.not((await ends("make", readOnly)).end, "ok")
    }

    for (const [name, grants] of [
      ["spin", []],
      ["sleep", clocks],
      ["echo", []],
    ] as const) {
      const startedMs = performance.now()
      const stdin = (): Uint8Array => new Uint8Array(0)
      const { end } = await ends(name, { grants, limits: { deadlineMs: 1_000 }, wasi: { stdin } })
      t.match(end, name === "sleep" ? /^STELE-(LIM-0010|CAP-0007)$/ : "STELE-LIM-0010", `${name} is stopped`)
      t.ok(performance.now() - startedMs < 8_000)
    }
    t.match(await ends("grow", { limits: { memoryBytesMax: 10 * 65_536 } }), { end: "exit 8" }, "memory is capped")
    t.match(await ends("flood", { limits: { liftBytesMax: 1 << 20 } }), { end: "STELE-LIM-0005" }, "and so is what it writes")

    await using reactor = await host.load(await programs.reactor(), { ...optionsOf(engine), limits: { deadlineMs: 30_000 } })
    t.equal(await reactor.call("add", [2n ** 40n, -2] as never), 2n ** 40n + 38n)
    t.equal(await reactor.call("half", [3] as never), 1.5)
    await t.rejects(reactor.call("exit", []), { code: "STELE-PLG-0012", reason: { status: 3 } })
    await t.rejects(reactor.call("add", [1] as never), { code: /^STELE-WIT-/ })
    t.equal(reactor.describe().mechanisms.isolation, engine === "js" ? "inline" : engine.endsWith("thread") ? "worker" : "process")
  })
}

t.test("what the engines do not promise is refused by name", async (t) => {
  const hello = await programs.hello()
  const refusals: ReadonlyArray<readonly [LoadOptions, RegExp]> = [
    [{ isolation: "inline" }, /isolation "inline"/],
    [{ metering: "fuel" }, /exact fuel/],
    [{ instances: { reuse: "principal" } }, /instances that are kept/],
    [{ limits: { hostCallsMax: 10 } }, /the limit hostCallsMax/],
    [{ grants: ["random:seeded"] }, /random:seeded/],
  ]
  for (const engine of engines.slice(1))
    for (const [options, message] of refusals) await t.rejects(host.load(hello, { ...optionsOf(engine), ...options }), { code: "STELE-ENG-0001", message })
  await t.rejects(host.load(hello, { engine: "wasmtime", isolation: "worker" }), { code: "STELE-ENG-0001", message: /isolation "worker"/ })
  await t.rejects(host.load(hello, { engine: "node-wasi", limits: { stackBytesMax: 65_536 } }), { code: "STELE-ENG-0001", message: /stackBytesMax/ })
  const component = new URL("../../plugins/examples/spinner/build/spinner.wasm", import.meta.url)
  await t.rejects(host.load(component, { engine: "node-wasi" }), { code: "STELE-ENG-0001", message: /components/ })
  await t.rejects(host.load(hello, { engine: "wasmer" as never }), { code: "STELE-CFG-0002", message: /"js" or "node-wasi" or "wasmtime"/ })
})

t.test("a thread of `node:wasi` waits for nothing that its end would not reach, and leaves nothing behind", async (t) => {
  const before = openDescriptors()
  const path = box()
  execFileSync("mkfifo", [join(path, "pipe")])
  symlinkSync("pipe", join(path, "to-pipe"))
  const both = { grants: [`fs:read:${path}`, `fs:write:${path}`], wasi: { directories: { "/box": path } } }
  const ends = async (name: keyof typeof programs, options?: LoadOptions): Promise<Outcome> => run("node-wasi in a thread", await programs[name](), options)
  t.equal((await ends("openPipe", both)).end, "exit 58", "a pipe is not opened")
  t.equal((await ends("openLink", both)).end, "exit 58", "nor what a link leads to")
  // A function that gives bytes by and by, and then ends.
  const parts = ["stand", "", "ard ", "", "", "input"]
  const stdin = (): Uint8Array | undefined => {
    const part = parts.shift()
    return part === undefined ? undefined : new TextEncoder().encode(part)
  }
  t.same((await ends("echo", { wasi: { stdin } })).output, "standard input")
  t.same((await ends("pollInput", { grants: clocks, wasi: { stdin: "x" } })).end, "exit 1", "input that is there is told of")
  t.same((await ends("pollInput", { grants: clocks, wasi: { stdin: () => new Uint8Array(0) } })).end, "ok", "and a timer beside it ends")
  for (const [name, grants] of [
    ["sleep", clocks],
    ["spin", []],
    ["echo", []],
  ] as const) {
    const startedMs = performance.now()
    t.equal((await ends(name, { grants, limits: { deadlineMs: 300 }, wasi: { stdin: () => new Uint8Array(0) } })).end, "STELE-LIM-0010", name)
    t.ok(performance.now() - startedMs < 5_000, `${name} took ${(performance.now() - startedMs).toFixed(0)} ms`)
  }
  const refusing = (): never => {
    throw new Error("no room")
  }
  await using refused = await host.load(await programs.hello(), { engine: "node-wasi", isolation: "worker", wasi: { stdout: refusing } })
  await t.rejects(refused.call("wasi:cli/run#run", []), /no room/)
  // What is closed when a thread ends is closed a moment later.
  for (let i = 0; i < 100 && openDescriptors() !== before; i++) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(openDescriptors(), before, "no descriptor is left open")
})

t.test("an engine's call can be aborted, does not answer at once, and its process may be killed", async (t) => {
  await using plugin = await host.load(await programs.spin(), { engine: "node-wasi", limits: { deadlineMs: 30_000 } })
  const abort = new AbortController()
  setTimeout(() => abort.abort(), 100)
  await t.rejects(plugin.call("wasi:cli/run#run", [], { signal: abort.signal }), { code: "STELE-PLG-0005" })
  t.throws(() => plugin.callSync("wasi:cli/run#run", []), { code: "STELE-ISO-0004" })
  await using hello = await host.load(await programs.hello(), { engine: "node-wasi" })
  const node = process.env["STELE_NODE"]
  process.env["STELE_NODE"] = "/nowhere/node"
  try {
    await using lost = await host.load(await programs.hello(), { engine: "node-wasi" })
    await t.rejects(lost.call("wasi:cli/run#run", []), { code: "STELE-ENG-0002" })
    process.env["STELE_NODE"] = "/bin/false"
    await using broken = await host.load(await programs.hello(), { engine: "node-wasi" })
    await t.rejects(broken.call("wasi:cli/run#run", []), { code: "STELE-ENG-0003", isRetryable: true })
  } finally {
    if (node === undefined) delete process.env["STELE_NODE"]
    else process.env["STELE_NODE"] = node
  }
  await hello.call("wasi:cli/run#run", [])
})
