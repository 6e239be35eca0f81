/** Runs the conformance cases on backends, and prints which groups each passes. A backend is one line: how to open a store of it. */
import type { TAP } from "tap"
import { memoryEvent, memoryKeyValue } from "../../../../host/port/mod.ts"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { guestEvent, guestKeyValue } from "../../../../runtime/storage/guest.ts"
import { eraseTenant } from "../../../../runtime/storage/record.ts"
import { eventCases } from "../event-cases.ts"
import { cases } from "../key-value-cases.ts"
import { blobCases } from "./blob.ts"
import type { Capability, Check, StoreCase } from "./case.ts"
import { changeCases } from "./change.ts"
import { keyValueCases } from "./key-value.ts"
import { logCases } from "./log.ts"
import { rewriteCases } from "./rewrite.ts"
import { sqlCases } from "./sql.ts"
import { tenantCases } from "./tenant.ts"
import { usageCases } from "./usage.ts"

export interface Backend {
  readonly name: string
  /** What it does not have: cases that need it are not run, and the table says so. */
  readonly lacks?: ReadonlyArray<Capability>
  /** Titles of cases whose figures it cannot have: they are not run, and the table says so. */
  readonly skips?: ReadonlySet<string>
  /** Whether one part of it takes room in another: cases that limit other parts share no store then. */
  readonly isOnePiece?: boolean
  /** Stores that are kept open for later cases, at most. */
  readonly openMax?: number
  /** A new store, with nothing in it. */
  readonly open: (limits: StoreLimitOptions) => Promise<Store>
}

type Ports = { readonly keyValue: ReturnType<typeof guestKeyValue>; readonly event: ReturnType<typeof guestEvent> }

/** What guests see, through their ports: the host's own in memory pass it too. */
interface GuestCase {
  readonly group: string
  readonly title: string
  readonly limits: StoreLimitOptions
  readonly run: (ports: Ports, check: Check) => void
}

const guestCases: ReadonlyArray<GuestCase> = [
  ...cases.map(({ group, title, limits = {}, run }) => ({
    group,
    title,
    limits: { keyValue: limits },
    run: ({ keyValue }: Ports, check: Check) => run(keyValue, check),
  })),
  ...eventCases.map(({ group, title, limits = {}, run }) => ({
    group,
    title,
    limits: { event: limits },
    run: ({ event }: Ports, check: Check) => run(event, check),
  })),
]

export const storeCases: ReadonlyArray<StoreCase> = [
  ...guestCases.map(({ group, title, limits, run }): StoreCase => ({
    group,
    title,
    limits,
    needs: "blocking",
    run: (store, check) => run({ keyValue: guestKeyValue(store), event: guestEvent(store) }, check),
  })),
  ...keyValueCases,
  ...changeCases,
  ...logCases,
  ...blobCases,
  ...tenantCases,
  ...rewriteCases,
  ...usageCases,
  ...sqlCases,
]

function checkOf(t: Pick<TAP, "strictSame" | "match">): Check {
  const holds = (error: unknown, wanted: object, message: string): void => {
    t.match(error ?? "nothing was thrown", wanted, message)
    t.strictSame(error instanceof Error, true, `${message}: an error`)
  }
  return {
    same: (found, wanted, message) => void t.strictSame(found, wanted, message),
    throws(run, wanted, message) {
      let thrown: unknown
      try {
        run()
      } catch (error) {
        thrown = error
      }
      holds(thrown, wanted, message)
    },
    async refused(run, wanted, message) {
      holds(
        await run().then(
          () => undefined,
          (error: unknown) => error,
        ),
        wanted,
        message,
      )
    },
  }
}

/** Takes everything out of a store: the next case finds it as new, but for its revisions. */
async function empty(store: Store): Promise<void> {
  for (;;) {
    const [tenant] = await store.ask({ ask: "tenants", after: undefined, countMax: 1 })
    if (tenant === undefined) return
    await eraseTenant(store, tenant)
  }
}

type Part = keyof StoreLimitOptions
/** The parts of a store that are limited: `{ keyValue: {} }` limits nothing. */
const partsOf = (limits: StoreLimitOptions): ReadonlyArray<Part> => (Object.keys(limits) as Array<Part>).filter((part) => JSON.stringify(limits[part]) !== "{}")

/** Whether the case is run on a store without limits. */
export const isOfDefault = ({ limits = {} }: StoreCase): boolean => partsOf(limits).length === 0

/**
 * What a store is opened with for cases of these limits: cases that limit other parts share it, since opening a store costs
 * more than most cases, and none of them comes near the default limits. Those without limits have one to themselves.
 */
const sharedLimits: ReadonlyMap<string, StoreLimitOptions> = (() => {
  const none: StoreLimitOptions = {}
  const stores: Array<{ [part in Part]?: unknown }> = []
  const found = new Map<string, StoreLimitOptions>()
  for (const { limits = {} } of storeCases) {
    const parts = partsOf(limits)
    if (found.has(JSON.stringify(limits))) continue
    let store = parts.length === 0 ? none : stores.find((other) => parts.every((part) => !(part in other)))
    if (store === undefined) stores.push((store = {}))
    for (const part of parts) Object.assign(store, { [part]: limits[part] })
    found.set(JSON.stringify(limits), store as StoreLimitOptions)
  }
  return found
})()

/** Kept for later cases that want more than one store. */
const othersMax = 2

/** One store for all cases with the same limits. Emptied and checked after each. */
class Stores {
  readonly #backend: Backend
  readonly #open = new Map<string, Store>()
  readonly #others: Array<Store> = []

  constructor(backend: Backend) {
    this.#backend = backend
  }

  #limits(own: StoreLimitOptions): StoreLimitOptions {
    return this.#backend.isOnePiece === true ? own : (sharedLimits.get(JSON.stringify(own)) as StoreLimitOptions)
  }

  async get(own: StoreLimitOptions): Promise<Store> {
    const limits = this.#limits(own)
    const name = JSON.stringify(limits)
    const known = this.#open.get(name)
    if (known !== undefined) return known
    for (const [other, store] of this.#open) {
      if (this.#open.size < (this.#backend.openMax ?? Number.POSITIVE_INFINITY)) break
      this.#open.delete(other)
      await store.close()
    }
    const store = await this.#backend.open(limits)
    this.#open.set(name, store)
    return store
  }

  /** After a case that failed its store may be anything: the next gets another. */
  async drop(own: StoreLimitOptions): Promise<void> {
    const name = JSON.stringify(this.#limits(own))
    const store = this.#open.get(name)
    this.#open.delete(name)
    await store?.close()
  }

  /** One more, with nothing in it. */
  async other(): Promise<Store> {
    return this.#others.pop() ?? this.#backend.open({})
  }

  /** After a case: those that it had besides are emptied for the next, if it passed. */
  async giveBack(others: ReadonlyArray<Store>, isPassed: boolean): Promise<void> {
    for (const other of others) {
      if (isPassed) await empty(other)
      if (isPassed && this.#others.length < othersMax) this.#others.push(other)
      else await other.close()
    }
  }

  async close(): Promise<void> {
    for (const store of [...this.#open.values(), ...this.#others]) await store.close()
  }
}

/** Runs one case on a store of its own making; for harnesses that want to know whether it fails. */
export async function runCase({ limits = {}, run }: StoreCase, backend: Backend, check: Check): Promise<void> {
  const others: Array<Store> = []
  const store = await backend.open(limits)
  try {
    await run(store, check, async () => {
      const other = await backend.open({})
      others.push(other)
      return other
    })
    check.same(await store.check(), [], "check")
    await empty(store)
    check.same(await store.check(), [], "check when empty")
  } finally {
    for (const each of [store, ...others]) await each.close()
  }
}

/** What became of the cases on a backend, by group. */
export interface Result {
  readonly groups: Readonly<Record<string, { readonly passed: number; readonly run: number }>>
  /** The titles of those that failed, with what they said. */
  readonly failed: ReadonlyArray<string>
}

const applies = ({ lacks, skips }: Backend, { needs, title }: StoreCase): boolean =>
  !(needs !== undefined && lacks?.includes(needs) === true) && skips?.has(title) !== true

/** Runs every case on a backend without a test runner: for programs that other engines run. `share`: every how many of the cases; `from`: beginning where. */
export async function runAll(backend: Backend, check: Check, share = 1, from = 0): Promise<Result> {
  const stores = new Stores(backend)
  const groups: Record<string, { passed: number; run: number }> = {}
  const failed: Array<string> = []
  for (const each of storeCases.filter((one, i) => applies(backend, one) && (i + from) % share === 0)) {
    const { group, title, limits = {}, run } = each
    const count = (groups[group] ??= { passed: 0, run: 0 })
    count.run++
    const others: Array<Store> = []
    let isPassed = false
    try {
      const store = await stores.get(limits)
      await run(store, check, async () => {
        const other = await stores.other()
        others.push(other)
        return other
      })
      check.same(await store.check(), [], "check")
      await empty(store)
      check.same(await store.check(), [], "check when empty")
      count.passed++
      isPassed = true
    } catch (error) {
      failed.push(`${title}: ${error instanceof Error ? error.message : String(error)}`)
      await stores.drop(limits)
    } finally {
      await stores.giveBack(others, isPassed)
    }
  }
  await stores.close()
  return { groups, failed }
}

/** A row of the table that another process makes. */
export interface Elsewhere {
  readonly name: string
  /** Every how many of the cases it runs; default 1. */
  readonly share?: number
  readonly run: () => Promise<Result>
}

type Counts = Map<string, { passed: number; run: number }>
const groupsOf = (all: ReadonlyArray<{ readonly group: string }>): ReadonlyArray<string> => [...new Set(all.map(({ group }) => group))]

/** The cases on each backend, as tests, and at the end the table of them. */
export function conformance(
  t: TAP,
  backends: ReadonlyArray<Backend>,
  { isWithHost = false, elsewhere = [] }: { readonly isWithHost?: boolean; readonly elsewhere?: ReadonlyArray<Elsewhere> } = {},
): void {
  const table = new Map<string, Counts>()
  const note = (name: string, group: string, isPassed: boolean): void => {
    const counts: Counts = table.get(name) ?? new Map<string, { passed: number; run: number }>()
    const count = counts.get(group) ?? { passed: 0, run: 0 }
    counts.set(group, { passed: count.passed + (isPassed ? 1 : 0), run: count.run + 1 })
    table.set(name, counts)
  }
  if (isWithHost)
    for (const { group, title, limits, run } of guestCases)
      void t.test(`host: ${title}`, async (t) => {
        run({ keyValue: memoryKeyValue(limits.keyValue) as Ports["keyValue"], event: memoryEvent(limits.event) }, checkOf(t))
        note("host", group, t.passing())
      })
  for (const backend of backends) {
    const stores = new Stores(backend)
    for (const { group, title, limits = {}, run } of storeCases.filter((each) => applies(backend, each))) {
      void t.test(`${backend.name}: ${title}`, async (t) => {
        const store = await stores.get(limits)
        const others: Array<Store> = []
        try {
          await run(store, checkOf(t), async () => {
            const other = await stores.other()
            others.push(other)
            return other
          })
          t.strictSame(await store.check(), [], "check")
          await empty(store)
          t.strictSame(await store.check(), [], "check when empty")
        } finally {
          await stores.giveBack(others, t.passing())
          if (!t.passing()) await stores.drop(limits)
        }
        note(backend.name, group, t.passing())
      })
    }
    void t.test(`${backend.name}: its stores close`, () => stores.close())
  }
  for (const { name, share = 1, run } of elsewhere)
    void t.test(`${name}: one of ${share} cases`, async (t) => {
      const { groups, failed } = await run()
      t.strictSame(failed, [])
      const ran = Object.values(groups).reduce((sum, each) => sum + each.run, 0)
      t.ok(ran >= Math.floor(storeCases.length / share), `${ran} of ${storeCases.length}`)
      table.set(name, new Map(Object.entries(groups)))
    })
  t.teardown(() => {
    const groups = groupsOf(storeCases)
    const names = [...table.keys()]
    const rows = [
      ["", ...names],
      ...groups.map((group) => [
        group,
        ...names.map((name) => {
          const count = table.get(name)?.get(group)
          return count === undefined ? "-" : `${count.passed}/${count.run}`
        }),
      ]),
      ["all", ...names.map((name) => String([...(table.get(name)?.values() ?? [])].reduce((sum, { passed }) => sum + passed, 0)))],
    ]
    const width = Math.max(12, ...names.map(({ length }) => length + 2))
    for (const row of rows)
      t.comment(
        row
          .map((cell, i) => cell.padEnd(i === 0 ? 20 : width))
          .join("")
          .trimEnd(),
      )
  })
}
