import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { memoryEvent, memoryKeyValue } from "../../../host/port/mod.ts"
import { guestEvent, guestKeyValue } from "../../../runtime/storage/guest.ts"
import { type SqliteOptions, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { eventCases } from "./event-cases.ts"
import { cases, type Check } from "./key-value-cases.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-storage-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0

interface Backend {
  readonly keyValue: ReturnType<typeof memoryKeyValue> | ReturnType<typeof guestKeyValue>
  readonly event: ReturnType<typeof memoryEvent>
  close(): Promise<void>
}

const backends: Readonly<Record<string, (limits: Pick<SqliteOptions, "keyValue" | "event">) => Promise<Backend>>> = {
  memory: async ({ keyValue, event }) => ({ keyValue: memoryKeyValue(keyValue), event: memoryEvent(event), async close() {} }),
  sqlite: async (limits) => {
    const store = await SqliteStore.open(join(folder, `${files++}.db`), limits)
    return {
      keyValue: guestKeyValue(store),
      event: guestEvent(store),
      async close() {
        t.same(store.reader.check(), [], "check")
        await store.close()
      },
    }
  },
}

const all: ReadonlyArray<{
  readonly group: string
  readonly title: string
  readonly limits: Pick<SqliteOptions, "keyValue" | "event">
  readonly run: (backend: Backend, check: Check) => void
}> = [
  ...cases.map(({ group, title, limits = {}, run }) => ({
    group,
    title,
    limits: { keyValue: limits },
    run: ({ keyValue }: Backend, check: Check) => run(keyValue, check),
  })),
  ...eventCases.map(({ group, title, limits = {}, run }) => ({
    group,
    title,
    limits: { event: limits },
    run: ({ event }: Backend, check: Check) => run(event, check),
  })),
]

const passed: Record<string, Record<string, number>> = {}
for (const [name, open] of Object.entries(backends)) {
  for (const { group, title, limits, run } of all) {
    t.test(`${name}: ${title}`, async (t) => {
      const backend = await open(limits)
      run(backend, {
        same: (found, wanted, message) => void t.strictSame(found, wanted, message),
        throws(attempt, wanted, message) {
          let thrown: unknown
          try {
            attempt()
          } catch (error) {
            thrown = error
          }
          t.match(thrown, wanted, message)
        },
      })
      await backend.close()
      const groups = (passed[name] ??= {})
      groups[group] = (groups[group] ?? 0) + (t.passing() ? 1 : 0)
    })
  }
}

t.teardown(() => {
  const groups = [...new Set(all.map(({ group }) => group))]
  const rows = [
    ["", ...groups],
    ...Object.entries(passed).map(([name, of]) => [name, ...groups.map((group) => `${of[group] ?? 0}/${all.filter((each) => each.group === group).length}`)]),
  ]
  for (const row of rows) t.comment(row.map((cell) => cell.padEnd(10)).join(""))
})
