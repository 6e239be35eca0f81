// How a process starts: with what the engine has compiled of its program before, in memory and on disk, or without. @alone
import { execFileSync, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { parse } from "@bytecodealliance/jco-transpile/wasm-tools"
import { rehearse } from "../../host/isolate/rehearse.ts"
import { sampleBase64 } from "../../host/isolate/sample.gen.ts"
import type { Link } from "../../host/isolate/link.ts"
import { tell } from "../../host/isolate/protocol.ts"
import { Spares } from "../../host/isolate/spare.ts"
import { platform } from "../../host/platform/isolate/platform.ts"
import { sealed, unsealed } from "../../host/platform/isolate/process/code.ts"
import { toBase64 } from "../../schemas/value/base64.ts"
import { address } from "./built.ts"
import { writeGuests } from "./embedding-guests.ts"
import { bin } from "./engine.ts"
import { until } from "./isolate-parts.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-start-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)

t.test("a rehearsal loads the sample, calls it twice and is asked by it each time", async (t) => {
  t.same(await rehearse(platform), [tell.ready, tell.done, tell.hostCall, tell.result, tell.hostCall, tell.result])
})

t.test("the sample is what its text says", async (t) => {
  const text = readFileSync(new URL("../../host/isolate/sample.wat", import.meta.url), "utf8")
  t.equal(toBase64(await parse(text)), sampleBase64)
})

/** Loads a plugin into a process of its own with the published package, and stays as long as its standard input is open. */
const program = `import { Host } from ${JSON.stringify(address)}
const host = await Host.open()
const plugin = await host.load(${JSON.stringify(join(folder, "basic.wasm"))}, { isolation: "process" })
console.log(await plugin.call("add", [40, 2]))
await new Promise((done) => process.stdin.on("end", done).resume())
await host.close()`
const cache = join(folder, "cache")
const args = ["--input-type=module", "-e", program]
const env = { ...process.env, STELE_CACHE: cache }
const run = (): string => execFileSync(bin("node"), args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"], timeout: 60_000 })

t.test("another isolate is started for the next time when the first has loaded, and not beside it", async (t) => {
  const started: Array<string> = []
  const link = { ended: new Promise(() => undefined) } as unknown as Link
  const spares = new Spares({ start: (kind) => (started.push(kind), link), confinement: () => [] })
  t.equal(spares.take("process", { heapBytesMax: 1 }), link)
  await new Promise((done) => setTimeout(done, 200))
  t.same(started, ["process"])
  spares.refill("process", { heapBytesMax: 1 })
  t.ok(await until(() => started.length === 2))
  t.equal(spares.take("process", { heapBytesMax: 1 }), link)
  t.equal(started.length, 2, "it is the one that is taken next")
})

t.test("what is compiled is kept on disk, used by the next program, and made anew where somebody has changed it", async (t) => {
  // Only a built program is given as text, and so only its compilation is kept.
  if (!t.match(address, /\/dist\//, "the build is as new as its sources")) return
  const host = spawn(bin("node"), args, { env, stdio: ["pipe", "ignore", "inherit"] })
  t.teardown(() => host.kill("SIGKILL"))
  const entry = await until(
    async () => (await readdir(cache).catch(() => [])).find((name) => name.startsWith("m-") && readFileSync(join(cache, name)).length > 200_000),
    100_000,
  )
  host.kill("SIGKILL")
  t.equal(run(), "42\n", "with it")
  const path = join(cache, entry)
  const bytes = await readFile(path)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
  await writeFile(path, bytes)
  t.equal(run(), "42\n", "somebody else's is not run")
  await writeFile(path, "")
  t.equal(run(), "42\n", "nor is a part of one")
})

t.test("what was compiled of another program is not taken for this one's", async (t) => {
  const store = { secret: new Uint8Array(32).fill(7) }
  const bytes = Uint8Array.of(1, 2, 3)
  const entry = sealed("aa", bytes, store)
  t.same(unsealed("aa", entry, store), bytes)
  t.equal(unsealed("ab", entry, store), undefined)
  t.equal(unsealed("aa", entry, { secret: new Uint8Array(32) }), undefined)
})

t.test("a host without a descriptor left refuses to start a process, lives, and starts one when it can", { skip: process.platform === "win32" }, async (t) => {
  const hungry = `import { openSync, closeSync } from "node:fs"
import { Host } from ${JSON.stringify(new URL("../../host/mod.ts", import.meta.url).href)}
const host = await Host.open({ cache: false })
const load = () => host.load(${JSON.stringify(join(folder, "basic.wasm"))}, { isolation: "process", instances: { max: 1 } })
await (await load()).call("add", [1, 2])
await new Promise((done) => setTimeout(done, 300))
const held = []
try {
  for (;;) held.push(openSync("/dev/null"))
} catch {}
closeSync(held.pop())
const codes = []
for (let i = 0; i < 3; i++) await load().then((plugin) => codes.push("loaded"), (error) => codes.push(error.code))
await new Promise((done) => setTimeout(done, 300))
for (const one of held) closeSync(one)
console.log(codes.includes("STELE-ISO-0003"), await (await load()).call("add", [40, 2]))
process.exit(0)`
  const said = execFileSync("sh", ["-c", 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', bin("node"), hungry], { encoding: "utf8", timeout: 60_000 })
  t.equal(said, "true 42\n")
})
