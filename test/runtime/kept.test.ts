/** What `stele up` keeps: plugins, their grants and what they stored, over restarts and over being killed. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { tenantKey } from "../../host/port/mod.ts"
import { Host } from "../../runtime/mod.ts"
import { Installations } from "../../runtime/service/installation.ts"
import { example, jsonError, root, stele } from "./command-line.ts"

t.setTimeout(280_000)
const folder = await mkdtemp(join(tmpdir(), "stele-kept-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const main = join(root, "runtime/cli/main.ts")

/** Runs `stele up --json` on a store, and answers with each command's line. */
const session = (storage: string, lines: ReadonlyArray<string>) => {
  const { stdout, stderr, code } = stele(["up", "--json", "--storage", storage], { input: `${lines.join("\n")}\n` })
  const [run = "", ...answers] = stdout.trimEnd().split("\n")
  return {
    code,
    stderr,
    run: JSON.parse(run) as { readonly restored: ReadonlyArray<string>; readonly isOk: boolean },
    answers: answers.map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

/** The same for a process that is killed as soon as the last command has answered. */
async function killed(storage: string, lines: ReadonlyArray<string>): Promise<void> {
  const child = spawn(process.execPath, [main, "up", "--json", "--storage", storage], { cwd: root, stdio: ["pipe", "pipe", "ignore"] })
  child.stdin.write(`${lines.join("\n")}\n`)
  let text = ""
  for await (const chunk of child.stdout) {
    text += String(chunk)
    // One line for the run, one for each command.
    if (text.split("\n").length > lines.length + 1) break
  }
  const exited = once(child, "exit")
  child.kill("SIGKILL")
  await exited
}

t.test("plugins, grants and stored values are there again after kill -9", async (t) => {
  const storage = `sqlite:${join(folder, "killed.db")}`
  await killed(storage, [
    `load ${example("snoop")} --as clerk --grant log --grant kv:write:prices/*`,
    "call clerk tamper",
    "revoke clerk log",
    "grant greeter kv:read:stock/*",
    "revoke text-stats log",
  ])
  const { run, answers, stderr } = session(storage, ["inspect clerk", "inspect greeter", 'call greeter greet {name: "Bo"}', "unload clerk", "unload clerk"])
  t.strictSame(run.restored, ["clerk", "greeter", "nearest", "spinner", "table-stats", "text-stats"], stderr)
  t.ok(run.isOk, "what somebody changed is not expected to do what the example shows")
  t.match(answers[0], { grants: { granted: ["kv:write:prices/*"] } })
  t.match(answers[1], { grants: { granted: ["log", "kv:read:prices/*", "kv:read:stock/*"] } })
  t.match(answers[2], { result: { message: "Hello, Bo!" } })
  t.match(answers[3], { unloaded: "clerk" })
  t.match(answers[4], { error: { code: "STELE-CFG-0003" } })
  t.strictSame(session(storage, []).run.restored, ["greeter", "nearest", "spinner", "table-stats", "text-stats"])
})

t.test("a plugin is loaded again from its kept bytes when its file is gone", async (t) => {
  const storage = `sqlite:${join(folder, "gone.db")}`
  const file = join(folder, "mine.wasm")
  await copyFile(join(root, example("greeter")), file)
  session(storage, [`load ${file} --grant log --grant kv:read:prices/* --limit stackBytesMax=64KiB --tenant default`])
  await rm(file)
  const { run, answers } = session(storage, ['call mine greet {name: "Cy"}', "reload mine", "inspect mine"])
  t.ok(run.restored.includes("mine"))
  t.match(answers[0], { result: { message: "Hello, Cy!" } })
  t.match(answers[1], { error: { code: "STELE-PLG-0008" } }, "it cannot be loaded anew")
  t.match(answers[2], { limits: { stackBytesMax: 65_536 } })
})

t.test("what cannot be loaded again is named, harms nothing else, and can be forgotten", async (t) => {
  const path = join(folder, "broken.db")
  session(`sqlite:${path}`, [])
  {
    await using host = await Host.open({ storage: `sqlite:${path}` })
    const installations = new Installations(host.ports)
    const [first] = await installations.all()
    await installations.put({ ...(first as NonNullable<typeof first>), name: "lost", digest: `sha256:${"0".repeat(64)}` })
    await host.ports.keyValue.set(tenantKey("", "plugin/noise"), Buffer.from("{"))
    await host.ports.keyValue.set(tenantKey("", "plugin/other"), Buffer.from('{"from": "another version"}'))
  }
  const { run, stderr, answers } = session(`sqlite:${path}`, ["unload lost"])
  t.notOk(run.restored.includes("lost"))
  t.ok(run.isOk)
  t.match(stderr, /Cannot load "lost" again[^]*STELE-PLG-0008/)
  t.match(answers[0], { unloaded: "lost" })
  t.notMatch(session(`sqlite:${path}`, []).stderr, /lost/)
})

t.test("`stele up --storage-key` seals what it keeps, and a store that is sealed is refused without its key", async (t) => {
  const path = join(folder, "sealed.db")
  const key = join(folder, "key")
  await writeFile(key, Buffer.alloc(32, 7))
  const run = (...flags: ReadonlyArray<string>) => stele(["up", "--once", "--json", "--storage", `sqlite:${path}`, ...flags])
  for (let i = 0; i < 2; i++) t.equal(run("--storage-key", `file:${key}`).code, 0)
  t.notMatch(await readFile(path, "latin1"), /2\.80/, "no price in the file")
  t.match(jsonError(run()), { code: "STELE-STO-0073" })
  await writeFile(key, Buffer.alloc(32, 8))
  t.match(jsonError(run("--storage-key", `file:${key}`)), { code: "STELE-STO-0072" })
})

t.test("`stele up` keeps its store in the data folder of its user, and nothing where there is none", async (t) => {
  const data = join(folder, "data")
  const run = (env: Record<string, string>) => stele(["up", "--once", "--json"], { env: { STELE_STORAGE: "", ...env } })
  const storageOf = (text: string): unknown => (JSON.parse(text) as { readonly storage: unknown }).storage
  t.equal(storageOf(run({ XDG_DATA_HOME: data }).stdout), `sqlite:${join(data, "stele", "stele.db")}`)
  t.equal(storageOf(run({ XDG_DATA_HOME: "", HOME: folder }).stdout), `sqlite:${join(folder, ".local", "share", "stele", "stele.db")}`)
  t.equal(storageOf(run({ STELE_STORAGE: "memory" }).stdout), "memory")
  await writeFile(join(folder, "file"), "")
  const nowhere = run({ XDG_DATA_HOME: join(folder, "file") })
  t.equal(nowhere.code, 0)
  t.equal(storageOf(nowhere.stdout), "memory")
  t.match(nowhere.stderr, /STELE-STO-0002[^]*Nothing will be kept when this ends/)
  const chosen = run({ STELE_STORAGE: `sqlite:${join(folder, "file", "x.db")}` })
  t.equal(chosen.code, 69, "what was asked for is not replaced by memory")
})
