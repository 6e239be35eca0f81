/** Programs as components, through the whole host: what they find when they start, their exit codes, their files, and their end. */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t from "tap"
import { Host, type LoadOptions, memoryFileSystem, memoryObserver, type Plugin, type WasiOptions } from "../../host/mod.ts"
import { Host as StoringHost } from "../../runtime/mod.ts"
import { filesGuest } from "./files-guest.ts"

const folder = mkdtempSync(join(realpathSync(tmpdir()), "stele-program-"))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const host = await Host.open({ cache: false })
t.teardown(() => host.close())
const guest = await filesGuest()
const run = promisify(execFile)

const pause = { pause: (() => undefined) as never }
const filled = (name: string): string => {
  const root = join(folder, name)
  mkdirSync(root)
  writeFileSync(join(root, "f"), "file")
  return root
}
const both = (root: string): ReadonlyArray<string> => [`fs:read:${root}`, `fs:write:${root}`]

t.test("`run()` answers with the exit code, and takes what a call brings instead of what the load did", async (t) => {
  await using plugin = await host.load(guest, { imports: pause, wasi: { args: ["a", "b", "c"] } })
  t.match(await plugin.run(), { exitCode: 3, usage: { outcome: "guest", export: "wasi:cli/run@0.2.12#run" } })
  t.match(await plugin.run({ wasi: { args: [] } }), { exitCode: 0, usage: { outcome: "ok" } })
  t.match(await plugin.run({ wasi: { args: ["one"] } }), { exitCode: 1, usage: { outcome: "guest" } }, "the result's error case")
  t.equal((await plugin.run({ wasi: { args: Array.from({ length: 200 }, () => "x") } })).exitCode, 200)
  t.equal((await plugin.run()).exitCode, 3, "the load's again")
  await t.rejects(plugin.call("wasi:cli/run#run", [] as never), { code: "STELE-PLG-0012", reason: { status: 3 } }, "a call that does not answer is an error")
  await t.rejects(plugin.run({ wasi: { directories: { "/d": folder } } as never }), { code: "STELE-CFG-0002" })
  await t.rejects(plugin.run({ wasi: { argv: [] } as never }), { code: "STELE-CFG-0001", reason: { option: "wasi.argv" } })
  t.equal(plugin.instances, 0)
})

t.test("`run()` says that there is no command, and throws what stops one", async (t) => {
  const { guest: made } = await import("./component-builder.ts")
  await using none = await host.load(await made({ core: `(func (export "f"))`, exports: { f: "" } }))
  await t.rejects(none.run(), { code: "STELE-PLG-0003" })
})

t.test("options of programs are checked when they are given", async (t) => {
  const refused: ReadonlyArray<WasiOptions> = [
    { args: "x" as never },
    { args: ["a\0b"] },
    { env: { "A=B": "c" } },
    { env: { "": "c" } },
    { env: { A: 1 as never } },
    { stdin: 5 as never },
    { stdout: "x" as never },
    { cwd: "a\0" },
    { terminals: ["stdio" as never] },
    { directories: { "": "/x" } },
    { directories: { "/d": 5 as never } },
  ]
  for (const wasi of refused) await t.rejects(host.load(guest, { imports: pause, wasi }), { code: "STELE-CFG-0002" }, JSON.stringify(wasi))
  await t.rejects(host.load(guest, { imports: pause, wasi: { argv: [] } as never }), { code: "STELE-CFG-0001" })
})

t.test("a blocking read of standard input waits for bytes, and no longer than the call may take", async (t) => {
  const bytes = Uint8Array.of(7, 8)
  const load = (wasi: WasiOptions): Promise<Plugin> => host.load(guest, { imports: pause, wasi })
  await using given = await load({ stdin: bytes })
  t.equal(await given.call("wait", [] as never), 7)
  t.equal(await given.call("wait", [] as never), 7, "each run reads from the start")
  t.equal(await given.call("wait", [] as never, { wasi: { stdin: "A" } }), 65)
  t.equal(await given.call("wait", [] as never, { wasi: { stdin: "" } }), 256, "the end")
  await using closed = await load({})
  t.equal(await closed.call("wait", [] as never), 256)
  let asked = 0
  await using slow = await load({ stdin: (bytesMax) => (t.ok(bytesMax > 0), ++asked < 5 ? new Uint8Array(0) : asked === 5 ? Uint8Array.of(9) : undefined) })
  t.equal(await slow.call("wait", [] as never), 9)
  t.equal(await slow.call("wait", [] as never), 256)
  await using never = await load({ stdin: () => new Uint8Array(0) })
  const startedMs = performance.now()
  await t.rejects(never.call("wait", [] as never, { deadlineMs: 60 }), { code: "STELE-LIM-0010" })
  t.ok(performance.now() - startedMs < 5_000)
  t.equal(never.instances, 0)
  await using broken = await load({ stdin: () => "text" as never })
  await t.rejects(broken.call("wait", [] as never), { code: "STELE-PLG-0009" })
})

t.test("a grant that is taken back while the program runs ends its reads, through the open file", async (t) => {
  const root = filled("revoked")
  let pauses = 0
  const load: LoadOptions = {
    grants: both(root),
    wasi: { directories: { "/d": root } },
    imports: { pause: (() => (++pauses === 4 ? void plugin.revoke(`fs:read:${root}`) : undefined)) as never },
  }
  await using plugin = await host.load(guest, load)
  t.match(
    plugin.describe().imports.find(({ name }) => name.startsWith("wasi:filesystem/types")),
    { status: "granted" },
  )
  t.equal(await plugin.call("read", [10] as never), 4, "four reads, then none")
  t.equal(plugin.describe().grants.denied[0]?.count, 6)
  plugin.revoke(`fs:write:${root}`)
  t.match(
    plugin.describe().imports.find(({ name }) => name.startsWith("wasi:filesystem/types")),
    { status: "inert" },
  )
})

t.test(
  "files are closed when the call ends, however it ends, and directories with the plugin",
  { skip: process.platform === "linux" ? false : "counts /proc/self/fd" },
  async (t) => {
    const root = filled("closed")
    const open = (): number => readdirSync("/proc/self/fd").filter((name) => safeLink(`/proc/self/fd/${name}`).startsWith(root)).length
    const safeLink = (path: string): string => {
      try {
        return realpathSync(path)
      } catch {
        return ""
      }
    }
    const plugin = await host.load(guest, { grants: both(root), imports: pause, wasi: { directories: { "/d": root } } })
    t.equal(open(), 1, "the directory itself")
    await plugin.call("open", [50] as never)
    t.equal(open(), 1)
    await t.rejects(plugin.call("open", [1_000] as never), { code: "STELE-LIM-0020" })
    t.equal(open(), 1)
    await plugin.close()
    t.equal(open(), 0)
    await t.rejects(host.load(guest, { grants: [`fs:read:${root}`], imports: {}, wasi: { directories: { "/d": root } } }), { code: "STELE-CAP-0002" })
    t.equal(open(), 0, "a load that fails leaves nothing open")
  },
)

t.test("directories that hold what is the host's own are given to nobody", async (t) => {
  const cache = join(folder, "cache/stele")
  const before = process.env["STELE_CACHE"]
  process.env["STELE_CACHE"] = cache
  try {
    const load = (on: Host, path: string) => on.load(guest, { grants: both("/"), imports: pause, wasi: { directories: { "/d": path } } })
    const root = filled("beside")
    await (await load(host, root)).close()
    for (const path of [folder, join(folder, "cache"), "/"]) {
      mkdirSync(join(folder, "cache"), { recursive: true })
      await t.rejects(load(host, path), { code: "STELE-FSY-0003" }, path)
    }
    const secrets = filled("secrets")
    symlinkSync(secrets, join(folder, "to-secrets"))
    await using guarding = await Host.open({ cache: false, guarded: [secrets] })
    await t.rejects(load(guarding, secrets), { code: "STELE-FSY-0003" })
    await t.rejects(load(guarding, join(folder, "to-secrets")), { code: "STELE-FSY-0003" }, "by another name")
    const place = filled("store")
    await using storing = await StoringHost.open({ cache: false, storage: `sqlite:${join(place, "stele.db")}` })
    await t.rejects(load(storing, place), { code: "STELE-FSY-0003" })
    await (await load(storing, root)).close()
  } finally {
    if (before === undefined) delete process.env["STELE_CACHE"]
    else process.env["STELE_CACHE"] = before
  }
})

t.test("programs find only what they are given", async (t) => {
  await using inMemory = await Host.open({ cache: false, ports: { fileSystem: memoryFileSystem({ "/box/f": "" }), observer: memoryObserver() } })
  await t.rejects(inMemory.load(guest, { imports: pause, wasi: { directories: { "/d": "/box" } } }), { code: "STELE-FSY-0002" })
  await using denied = await inMemory.load(guest, { imports: pause, missing: "trap", wasi: { directories: { "/d": "/box" } } })
  await t.rejects(denied.call("open", [1] as never), { code: "STELE-PLG-0002" }, "the guest traps on what it is answered")
  t.match(denied.describe().grants.denied[0], { grant: "fs:write:/box/f" })
  denied.grant("fs:read:/box")
  denied.grant("fs:write:/box")
  await denied.call("open", [1] as never)
  await using none = await inMemory.load(guest, { imports: pause, grants: both("/box") })
  await t.rejects(none.call("open", [1] as never), { code: /STELE-PLG-00(02|11)/ }, "a grant alone gives no directory")
})

// ── Real programs ───────────────────────────────────────────────────────────

const source = (name: string): string => fileURLToPath(new URL(`wasi-programs/${name}`, import.meta.url))

/** A core module of WASI preview 1, or why there is none. */
const toolchains: Readonly<Record<string, () => Promise<Uint8Array | string>>> = {
  async Rust() {
    const out = join(folder, "files-rust.wasm")
    const linker = (await run("wasm-ld", ["--version"]).catch(() => undefined)) === undefined ? [] : ["-C", "linker=wasm-ld"]
    // The target has had two names.
    for (const rustc of [process.env["RUSTC"] ?? "rustc", "/usr/bin/rustc"])
      for (const target of ["wasm32-wasip1", "wasm32-wasi"])
        if (
          await run(rustc, ["--edition=2021", `--target=${target}`, "-O", "-C", "strip=symbols", ...linker, source("files.rs"), "-o", out]).then(
            () => true,
            () => false,
          )
        )
          return readFileSync(out)
    return "no Rust here has the library of WASI"
  },
  async Go() {
    const out = join(folder, "files-go.wasm")
    const env = { ...process.env, GOOS: "wasip1", GOARCH: "wasm", GOFLAGS: "" }
    const built = await run("go", ["build", "-ldflags=-s -w", "-o", out, source("files.go")], { env }).then(
      () => true,
      () => false,
    )
    return built ? readFileSync(out) : "no Go here builds for WASI"
  },
}
const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
const adapter = readFileSync(new URL(import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, "lib/wasi_snapshot_preview1.command.wasm")))

for (const [name, build] of Object.entries(toolchains)) {
  t.test(`a program in ${name} works in its directory, and finds no way out`, async (t): Promise<void> => {
    const core = await build()
    if (typeof core === "string") {
      t.pass(core, { skip: core })
      return
    }
    const component = await tools.componentNew(core, [["wasi_snapshot_preview1", adapter]])
    t.comment(`${name}: ${component.length} bytes`)
    const secret = filled(`parent-${name}`)
    writeFileSync(join(secret, "secret.txt"), "SECRET")
    const root = join(secret, "given")
    mkdirSync(root)
    symlinkSync("../secret.txt", join(root, "way-out"))
    const out: Array<string> = []
    const errors: Array<string> = []
    const options: LoadOptions = {
      limits: { deadlineMs: 20_000, loadMs: 60_000, functionBodyBytesMax: 8 << 20, memoryBytesMax: 256 << 20 },
      grants: ["clock:wall", "clock:monotonic", "random", ...both(root)],
      wasi: {
        args: ["files", "/data"],
        env: { GREETING: "hello" },
        stdin: "first line\nsecond\n",
        stdout: (bytes) => void out.push(new TextDecoder().decode(bytes)),
        stderr: (bytes) => void errors.push(new TextDecoder().decode(bytes)),
        directories: { "/data": root },
      },
    }
    await using plugin = await host.load(component, options)
    t.equal((await plugin.run()).exitCode, 1)
    t.strictSame(out.join("").split("\n"), [
      'args ["/data"]',
      'env Some("hello")',
      "read world!",
      "length 5",
      "linked hello",
      'names ["a", "linked", "moved", "way-out"]',
      "removed true",
      "out true",
      "out true",
      "out true",
      "stdin first line",
      "",
    ])
    t.equal(errors.join(""), "done\n")
    t.strictSame(readdirSync(root).sort(), ["moved", "way-out"])
    t.equal(readFileSync(join(secret, "secret.txt"), "utf8"), "SECRET")

    // Without grants and directories the same component loads and finds nothing.
    await using bare = await host.load(component, { ...options, grants: ["clock:wall", "clock:monotonic", "random"], wasi: { args: ["files", "/data"] } })
    t.not((await bare.run()).exitCode, 0)
    t.ok(bare.describe().imports.some(({ name: of, status }) => of.startsWith("wasi:filesystem/preopens") && status === "inert"))
  })
}
