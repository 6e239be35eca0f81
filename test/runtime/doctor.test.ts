/** `stele doctor`: what a store stands on, and what to do where it cannot be relied on. */
import { copyFile, glob, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { tenantKey } from "../../host/port/mod.ts"
import type { Diagnosis } from "../../runtime/doctor/diagnosis.ts"
import { measureSyncs } from "../../runtime/doctor/disk.ts"
import { guestKeyValue } from "../../runtime/storage/guest.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { stele } from "./command-line.ts"

t.setTimeout(120_000)
// On the disk of the checkout: temporary files may lie in memory.
await mkdir(new URL("../../.cache", import.meta.url), { recursive: true })
const folder = await mkdtemp(fileURLToPath(new URL("../../.cache/stele-doctor-", import.meta.url)))
t.teardown(() => rm(folder, { recursive: true, force: true }))

interface Report {
  readonly status: Diagnosis["status"]
  readonly diagnoses: ReadonlyArray<Diagnosis>
}
const diagnosed = (address: string, env: Record<string, string> = {}) => {
  const { code, stdout, stderr } = stele(["doctor", address, "--json"], { env })
  const report = JSON.parse(stdout) as Report
  return { code, stderr, report, of: (about: string) => report.diagnoses.find((each) => each.about === about) }
}
const write = async (path: string, value: string): Promise<void> => {
  await using store = await SqliteStore.open(path)
  guestKeyValue(store).set(tenantKey("ada", "k"), Buffer.from(value))
}

t.test("`stele doctor` measures the disk, counts commits and leaves nothing behind", async (t) => {
  const path = join(folder, "sound.db")
  await write(path, "1")
  const { code, of, report } = diagnosed(`sqlite:${path}`)
  t.equal(code, 0)
  t.not(report.status, "fail")
  t.match(of("store")?.found, /sound\.db: .* 1 commits/)
  t.equal(of("commits")?.status, "ok")
  t.match(of("sync")?.found, /a second, \d+ µs each/)
  t.same(await Array.fromAsync(glob(".stele-sync*", { cwd: folder })), [])
  const shown = stele(["doctor", `sqlite:${path}`])
  t.match(shown.stdout, /✓ disk space/)
})

t.test("`stele doctor` says that a file is made when it is first used, and makes none", async (t) => {
  const path = join(folder, "none.db")
  t.match(diagnosed(`sqlite:${path}`).of("store"), { status: "ok", found: /is made when/ })
  t.notOk(existsSync(path))
})

t.test("`stele doctor` names a command for a folder that is not there, and for commits that went missing", async (t) => {
  const missing = diagnosed(`sqlite:${join(folder, "nowhere", "x.db")}`)
  t.equal(missing.code, 3)
  t.match(missing.of("folder"), { status: "fail", treatment: /^mkdir -p / })
  const [path, old] = [join(folder, "lost.db"), join(folder, "old.db")]
  await write(path, "1")
  await copyFile(path, old)
  await write(path, "2")
  for (const suffix of ["-wal", "-shm"]) await rm(path + suffix, { force: true })
  await copyFile(old, path)
  const lost = diagnosed(`sqlite:${path}`)
  t.equal(lost.code, 3)
  t.match(lost.of("commits"), { status: "fail", found: "commit 2 was acknowledged, and the store ends at 1" })
})

t.test("`stele doctor` tells another program's database, and one that is none, by their code's own words", async (t) => {
  const path = join(folder, "noise.db")
  await writeFile(path, Buffer.alloc(8_192, "noise"))
  const { code, of } = diagnosed(`sqlite:${path}`)
  t.equal(code, 3)
  t.equal(of("store")?.status, "fail")
})

t.test(
  "`stele doctor` does not take memory for a disk, nor believe syncs that a library takes away",
  { skip: existsSync("/dev/shm") ? false : "no /dev/shm" },
  async (t) => {
    t.match(diagnosed("sqlite:/dev/shm/stele-doctor.db").of("sync"), { status: "warn", found: /in memory/ })
    t.match(diagnosed(`sqlite:${join(folder, "x.db")}`, { LD_PRELOAD: "/nowhere/libeatmydata.so" }).of("sync"), { status: "fail", found: /LD_PRELOAD/ })
  },
)

t.test("`measureSyncs()` counts what it did", async (t) => {
  const { syncsPerSecond, medianUs } = measureSyncs(folder)
  t.ok(syncsPerSecond > 0 && medianUs > 0)
  t.ok(Math.abs(syncsPerSecond * medianUs - 1e6) < 0.2 * 1e6 + syncsPerSecond, "one is the inverse of the other")
})

t.test("`stele doctor memory` looks at no disk", async (t) => {
  const { code, of } = diagnosed("memory")
  t.equal(code, 0)
  t.match(of("store")?.found, /^memory/)
  for (const about of ["disk space", "sync", "folder"]) t.equal(of(about), undefined, about)
})

t.test("`stele doctor` looks at the machine: what is missing comes with how to have it", async (t) => {
  const { code, report, of } = diagnosed("memory", { PATH: folder, STELE_WASMTIME_PYTHON: "" })
  t.equal(code, 0)
  for (const about of [
    "engine",
    "stopping",
    "waiting",
    "isolation",
    "isolation limits",
    "descriptors",
    "memory control",
    "wasmtime",
    "plugins in AssemblyScript",
    "plugins in TypeScript",
    "plugins in C",
    "plugins in Rust",
    "plugins in Go",
    "plugins in Python",
    "GPU",
    "cache",
  ])
    t.ok(of(about), about)
  t.match(of("plugins in C"), { status: "ok", found: "not here: clang, wasm-ld", treatment: /apt-get install clang lld/ })
  t.match(of("plugins in Go"), { found: "not here: go 1.24", treatment: /go\.dev/ })
  t.match(of("plugins in Python"), { found: "not here: componentize-py", treatment: /pip install componentize-py/ })
  t.match(of("plugins in AssemblyScript"), { found: /npm install --save-dev assemblyscript/ }, "what a project brings itself is asked of the project")
  t.match(of("wasmtime"), { found: /not installed/, treatment: /pip install wasmtime/ })
  // Where it lies does not depend on PATH.
  t.match(of("isolation")?.found, /bubblewrap|setpriv/)
  t.notMatch(JSON.stringify(report), /cgroup/, "what isolation does not use is not asked for")
  for (const { about, status, treatment } of report.diagnoses) t.ok(status === "ok" || treatment !== undefined, about)
})

t.test("`stele doctor` fails where the cache cannot be written to", async (t) => {
  const file = join(folder, "file")
  await writeFile(file, "")
  const { code, of } = diagnosed("memory", { STELE_CACHE: join(file, "cache") })
  t.equal(code, 3)
  t.match(of("cache"), { status: "fail", found: /cannot be written to/, treatment: /STELE_CACHE/ })
})
