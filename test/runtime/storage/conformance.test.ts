/**
 * One list of cases for every kind of store. A backend that needs a server has a file of its own that calls `conformance` with
 * its line. A short run has every third case where a store lies over another that has them all. @long
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { StoreLimitOptions } from "../../../runtime/port/limits.ts"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { TenantFilesStore } from "../../../runtime/storage/tenants/mod.ts"
import { answer } from "../../host/engine.ts"
import { sealedBackend } from "./sealed/backend.ts"
import { conformance, type Result, storeCases } from "./suite/conformance.ts"
import { isFull, sample, sampled } from "../../seed.ts"

t.setTimeout(900_000)

const folder = await mkdtemp(join(tmpdir(), "stele-storage-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0

/** What has ended of other tenants counts until it is removed: their files are not read for a limit. */
const filesSkips = new Set(["what has ended does not count against `totalBytesMax`, however much of it"])
const openFiles = (limits: StoreLimitOptions) => TenantFilesStore.open(join(folder, `${files++}`), limits)

/** Most of what the suite takes is waiting for the disk: the other engines wait together. */
const others = ["deno", "bun"] as const
/** Every how many of the cases they run: what differs between engines is below all of them. */
const share = isFull ? 1 : 8
/** What a short run leaves out of the cases on stores that lie over another. */
function leftOut(shift: number): ReadonlySet<string> {
  const taken = new Set(sampled(storeCases, 3, shift))
  return new Set(storeCases.filter((each) => !taken.has(each)).map(({ title }) => title))
}
let onOthers: Promise<ReadonlyArray<Result>> | undefined
const suiteOn = (engine: (typeof others)[number]): Promise<Result> =>
  answer(engine, "../runtime/storage/suite-program.ts", ["sqlite", String(share), String(sample)])

t.test("the suite has at least 200 cases, each with a title of its own", async (t) => {
  t.ok(storeCases.length >= 200, `${storeCases.length}`)
  t.equal(new Set(storeCases.map(({ group, title }) => `${group} ${title}`)).size, storeCases.length)
})

const sealedMemory = sealedBackend("sealed memory", async (limits) => new MemoryStore(limits))

conformance(
  t,
  [
    { name: "memory", open: async (limits) => new MemoryStore(limits) },
    { name: "sqlite", open: (limits) => SqliteStore.open(join(folder, `${files++}.db`), limits) },
    { name: "tenant files", lacks: ["sql"], skips: filesSkips.union(leftOut(0)), openMax: 6, open: openFiles },
    { ...sealedMemory, skips: leftOut(1).union(sealedMemory.skips ?? new Set()) },
    ...(isFull
      ? [
          sealedBackend("sealed sqlite", (limits) => SqliteStore.open(join(folder, `${files++}.db`), limits)),
          { ...sealedBackend("sealed files", openFiles), lacks: ["sql" as const], openMax: 6 },
        ]
      : []),
  ],
  {
    isWithHost: true,
    elsewhere: others.map((engine, i) => ({
      name: share === 1 ? `sqlite on ${engine}` : `an eighth on ${engine}`,
      share,
      run: async () => (await (onOthers ??= Promise.all(others.map(suiteOn))))[i] as Result,
    })),
  },
)
