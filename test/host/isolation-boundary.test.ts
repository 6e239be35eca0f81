// What stands around a process besides its engine, as the system itself tells: descriptors, privileges, files, limits, and that
// it ends with its host however that ends.
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import { sandboxReport } from "../../host/platform/isolate/process/sandbox.ts"
import { writeGuests } from "./embedding-guests.ts"
import { bin, engines, type EngineName, start } from "./engine.ts"
import { isAlive, until } from "./isolate-parts.ts"

t.setTimeout(180_000)
const hasProc = existsSync("/proc/self/fdinfo")
const report = await sandboxReport()
const folder = await mkdtemp(join(tmpdir(), "stele-boundary-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)
const secret = join(folder, "secret.txt")
await writeFile(secret, "secret")

interface Said {
  readonly answer: number
  readonly confinement: ReadonlyArray<string>
  readonly processes: ReadonlyArray<number>
}

/** Starts the program with descriptors 7 and 50 open, in a shell that becomes it. */
async function started(t: Test, engine: EngineName, kind: "found" | "setpriv" | "bare") {
  const program = fileURLToPath(new URL("boundary-program.ts", import.meta.url))
  const command = [bin(engine), ...(engine === "deno" ? ["run", "--no-prompt", "--allow-all"] : []), program, join(folder, "basic.wasm"), kind]
  const host = spawn("bash", ["-c", 'exec 7<"$0" 50<"$0"; exec "$@"', secret, ...command], { stdio: ["ignore", "pipe", "inherit"] })
  t.teardown(() => host.kill("SIGKILL"))
  let text = ""
  host.stdout.on("data", (chunk) => (text += chunk))
  await until(() => text.includes("\n") || host.exitCode !== null)
  const said = JSON.parse(text) as Said
  return { host, ...said }
}

const status = (pid: number, name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? ""
const ticks = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[11])
const targets = (pid: number): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })

// Where there is no bubblewrap, `setpriv`; where there is neither, the engine itself looks whether its host is there.
t.jobs = 3
for (const engine of engines)
  for (const kind of engine === "node" ? (["found", "setpriv", "bare"] as const) : (["found", "bare"] as const))
    t.test(
      `on ${engine}, ${kind}: no descriptor of the host's reaches a process, and kill -9 of the host ends it`,
      { skip: !hasProc && "there is no procfs here" },
      async (t) => {
        const { host, answer, confinement, processes } = await started(t, engine, kind)
        t.equal(answer, 42)
        t.ok(targets(host.pid as number).includes(secret), "the host has it")
        for (const pid of processes)
          t.notMatch(readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", "\n"), /^(-A|--allow-all)$/m, "nor all permissions of Deno")
        for (const pid of processes) t.notOk(targets(pid).includes(secret), `${pid} has it not`)
        // The guest computes for ever: nothing meters it. One that is spare does not.
        const inner = await until(() => processes.find((pid) => ticks(pid) > 80))
        if (confinement.includes("bubblewrap") || confinement.includes("setpriv")) {
          t.equal(status(inner, "NoNewPrivs"), "1")
          t.match(status(inner, "CapEff"), /^0+$/)
        }
        if (confinement.includes("prlimit")) t.match(readFileSync(`/proc/${inner}/limits`, "latin1"), /Max core file size +0 +0[^]*Max open files +64 +64/)
        if (confinement.includes("bubblewrap")) {
          t.throws(() => readFileSync(join("/proc", String(inner), "root", secret)), "nor has it the files of the host")
          t.not(readlinkSync(`/proc/${inner}/ns/net`), readlinkSync("/proc/self/ns/net"), "nor its network")
        }
        host.kill("SIGKILL")
        for (const pid of processes) await until(async () => !(await isAlive(pid)))
      },
    )

for (const engine of ["node", "deno"] as const)
  t.test(`on ${engine} an isolate that has permissions does not begin`, async (t) => {
    const { status, stdout, stderr } = await start(engine, "../../host/platform/isolate/process/worker.ts", [], { msMax: 30_000 })
    t.same([status, stdout], [1, ""])
    t.match(stderr, /this process has permissions/)
  })

t.test("what was found is what works here", { skip: process.platform !== "linux" && "these are tools of Linux" }, async (t) => {
  const has = (name: string): boolean => ["/usr/bin", "/bin"].some((path) => existsSync(join(path, name)))
  t.equal(report.prlimit, has("prlimit"))
  t.equal(report.descriptors, has("bash"))
  t.equal(report.bubblewrap || report.setpriv, true)
  // One of the two: bubblewrap where its namespaces are allowed.
  if (!has("bwrap")) t.equal(report.bubblewrap, false)
})
