/** What a move remembers in the store that it fills: where it comes from, and how far each tenant's tables are. */
import type { TenantTotal } from "../../port/tenant.ts"
import type { Store } from "../../port/store.ts"

/**
 * The journal's tenant. No guest and no service has it: in the names of theirs a percent sign is written "%25". While it is
 * there, the store is not complete.
 */
const tenant = new TextEncoder().encode("%move")
const originKey = new TextEncoder().encode("origin")
const pageMax = 1_000

/** One tenant's rows in one table. */
export interface Pair {
  readonly tenant: Uint8Array
  readonly table: string
}

/** How far a pair is copied. */
export interface Copied {
  /** The source's totals before it was copied: while they are the same, nothing has changed. */
  readonly keys: number
  readonly bytes: number
  readonly sums: number
  /** Order of the last record copied, hexadecimal; absent when there was none. */
  readonly last?: string
  /** The source's revision before it was copied: later changes have a greater one. */
  readonly revision: number
  /** False while records after `last` are missing. */
  readonly isWhole: boolean
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")
export const nameOf = ({ tenant: whose, table }: Pair): string => `${table}/${hex(whose)}`
export const isJournal = (whose: Uint8Array): boolean => hex(whose) === hex(tenant)
export const isSame = (a: Pick<TenantTotal, "keys" | "bytes" | "sums">, b: Pick<TenantTotal, "keys" | "bytes" | "sums">): boolean =>
  a.keys === b.keys && a.bytes === b.bytes && a.sums === b.sums

/** From where a store is being filled; undefined for one that is complete. */
export async function originOf(store: Store): Promise<string | undefined> {
  const found = await store.ask({ ask: "get", tenant, key: originKey })
  return found === undefined ? undefined : new TextDecoder().decode(found.value)
}

export class Journal {
  readonly #store: Store
  readonly #pairs = new Map<string, Copied & Pair>()

  private constructor(store: Store) {
    this.#store = store
  }

  /** The journal of a move from `origin`, begun or found. */
  static async open(store: Store, origin: string): Promise<Journal> {
    const journal = new Journal(store)
    await store.apply([{ op: "set", tenant, key: originKey, value: Buffer.from(origin) }])
    const prefix = Buffer.from("pair/")
    for (let beyond: Uint8Array | undefined; ;) {
      const { entries, isComplete } = await store.ask({ ask: "entries", tenant, key: prefix, beyond, countMax: pageMax, bytesMax: Infinity })
      for (const { key, value } of entries) {
        const [, table = "", whose = ""] = Buffer.from(key).toString().split("/")
        const pair = { tenant: Buffer.from(whose, "hex"), table }
        journal.#pairs.set(nameOf(pair), { ...(JSON.parse(Buffer.from(value).toString()) as Copied), ...pair })
      }
      if (isComplete) return journal
      beyond = entries.at(-1)?.key
    }
  }

  get(pair: Pair): Copied | undefined {
    return this.#pairs.get(nameOf(pair))
  }

  get pairs(): Iterable<Copied & Pair> {
    return this.#pairs.values()
  }

  /** Says how far a pair is. Written before the next step begins, so that a step that was killed is done again. */
  async put(pair: Pair, copied: Copied): Promise<void> {
    this.#pairs.set(nameOf(pair), { ...copied, tenant: pair.tenant, table: pair.table })
    await this.#store.apply([{ op: "set", tenant, key: Buffer.from(`pair/${nameOf(pair)}`), value: Buffer.from(JSON.stringify(copied)) }])
  }

  /** The store is complete from here on. */
  async close(): Promise<void> {
    // Its origin last would leave a complete store closed after a crash; first, it leaves rows that mean nothing.
    await this.#store.apply([{ op: "delete", tenant, key: originKey }])
    await removeJournal(this.#store)
  }
}

/** Removes what a journal has left. */
export async function removeJournal(store: Store): Promise<void> {
  for (const countMax = pageMax; ;) {
    const [count] = await store.apply([{ op: "erase", tenant, countMax }])
    if (count < countMax) return
  }
}
