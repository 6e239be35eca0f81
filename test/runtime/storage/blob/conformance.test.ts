import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { ObjectStore } from "../../../../runtime/port/object.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { S3Store } from "../../../../runtime/storage/s3/mod.ts"
import { cases } from "./cases.ts"
import { credentials, startS3 } from "./s3.ts"

t.setTimeout(300_000)
// Some wait for a server's clock, which ticks by the second.
t.jobs = 8
const folder = await mkdtemp(join(tmpdir(), "stele-objects-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let stores = 0
const limits = { uploadsMax: 25, objectBytesMax: 12 << 20, readBytesMax: 7 << 20 }

const server = await startS3(join(folder, "s3"))
t.teardown(() => server.stop())
const load = () => import("@aws-sdk/client-s3")

const backends: Readonly<Record<string, () => Promise<ObjectStore>>> = {
  folder: () => FolderStore.open(join(folder, `objects-${stores++}`), { limits }),
  // As the server is, and with what Amazon's has beside it.
  s3rver: () => S3Store.open(`s3://objects/plain-${stores++}?endpoint=${server.direct}`, { limits, credentials, load }),
  "s3 + front": () => S3Store.open(`s3://objects/front-${stores++}?endpoint=${server.front}`, { limits, credentials, load }),
}

const passed: Record<string, Record<string, { passed: number; unsupported: number }>> = {}
for (const [name, open] of Object.entries(backends)) {
  for (const { group, title, unsupported, run } of cases) {
    t.test(`${name}: ${title}`, { buffered: true }, async (t) => {
      const count = ((passed[name] ??= {})[group] ??= { passed: 0, unsupported: 0 })
      await using store = await open()
      const why = unsupported?.(store)
      if (why !== undefined) {
        count.unsupported++
        t.pass(`declared: ${why}`)
        return
      }
      await run(store, {
        same: (found, wanted, message = "the same") => void t.strictSame(found, wanted, message),
        rejects: async (attempt, code, message = "refused") => void (await t.rejects(attempt(), { code }, message)),
      })
      if (t.passing()) count.passed++
    })
  }
}

t.teardown(() => {
  const groups = [...new Set(cases.map(({ group }) => group))]
  const cell = (name: string, group: string): string => {
    const of = passed[name]?.[group] ?? { passed: 0, unsupported: 0 }
    return `${of.passed}/${cases.filter((each) => each.group === group).length}${of.unsupported > 0 ? ` (${of.unsupported} n/a)` : ""}`
  }
  for (const row of [["", ...groups], ...Object.keys(passed).map((name) => [name, ...groups.map((group) => cell(name, group))])])
    t.comment(row.map((text) => text.padEnd(14)).join(""))
})
