import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { type Immediate, type KeyValueLimits, type KeyValuePort, memoryKeyValue } from "../../../host/port/mod.ts"
import { sqliteKeyValue, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { type Case, cases } from "./key-value-cases.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-storage-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0

/** A store and how to close it. What is found through SQLite is also there when the file is opened again. */
const backends: Readonly<Record<string, (limits: Partial<KeyValueLimits>) => Promise<{ readonly store: Immediate<KeyValuePort>; close(): Promise<void> }>>> = {
  memory: async (limits) => ({ store: memoryKeyValue(limits), async close() {} }),
  sqlite: async (limits) => {
    const store = await SqliteStore.open(join(folder, `${files++}.db`), { keyValue: limits })
    return {
      store: sqliteKeyValue(store),
      async close() {
        t.same(store.reader.check(), [], "check")
        await store.close()
      },
    }
  },
}

const passed: Record<string, Record<string, number>> = {}
for (const [name, open] of Object.entries(backends)) {
  for (const each of cases) {
    t.test(`${name}: ${each.title}`, async (t) => {
      const { store, close } = await open(each.limits ?? {})
      each.run(store, {
        same: (found, wanted, message) => void t.strictSame(found, wanted, message),
        throws(run, wanted, message) {
          let thrown: unknown
          try {
            run()
          } catch (error) {
            thrown = error
          }
          t.match(thrown, wanted, message)
        },
      })
      await close()
      const groups = (passed[name] ??= {})
      groups[each.group] = (groups[each.group] ?? 0) + (t.passing() ? 1 : 0)
    })
  }
}

t.teardown(() => {
  const groups = [...new Set(cases.map(({ group }: Case) => group))]
  const rows = [
    ["", ...groups],
    ...Object.entries(passed).map(([name, of]) => [name, ...groups.map((group) => `${of[group] ?? 0}/${cases.filter((c) => c.group === group).length}`)]),
  ]
  for (const row of rows) t.comment(row.map((cell) => cell.padEnd(10)).join(""))
})
