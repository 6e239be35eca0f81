/** What a conformance case is: something every store does alike, in words of `runtime/port`. */
import type { Place } from "../../../../runtime/port/place.ts"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import type { Store } from "../../../../runtime/port/store.ts"

export interface Check {
  same(found: unknown, wanted: unknown, message: string): void
  throws(run: () => unknown, wanted: Record<string, unknown>, message: string): void
  /** The same for what answers later. */
  refused(run: () => Promise<unknown>, wanted: Record<string, unknown>, message: string): Promise<void>
}

/** What a backend may declare that it does not have. */
export type Capability = "blocking" | "watch" | "usage" | "sql"

export interface StoreCase {
  readonly group: string
  readonly title: string
  readonly needs?: Capability
  readonly limits?: StoreLimitOptions
  /** `other` opens a second store of the same kind, which is closed with the case. */
  run(store: Store, check: Check, other: () => Promise<Store>): Promise<void> | void
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const hex = (value: Uint8Array): string => Buffer.from(value).toString("hex")
export const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString("latin1"))
/** A name's bytes are its characters' codes: names that are not UTF-8 have their place too. */
export const raw = (name: string): Uint8Array => new Uint8Array(Buffer.from(name, "latin1"))
export const at = (name: string, tenant = "ada"): Place => ({ tenant: raw(tenant), key: raw(name) })

export const set = (name: string, value: string | Uint8Array = name, more: { readonly ttlMs?: number; readonly tenant?: string } = {}) => ({
  op: "set" as const,
  ...at(name, more.tenant),
  value: typeof value === "string" ? bytes(value) : value,
  ttlMs: more.ttlMs,
})
export const append = (name: string, payload: string, more: { readonly expect?: bigint; readonly tenant?: string } = {}) => ({
  op: "append" as const,
  ...at(name, more.tenant),
  payload: bytes(payload),
  expect: more.expect,
})
export const get = async (store: Store, name: string, tenant?: string): Promise<string | undefined> =>
  text((await store.ask({ ask: "get", ...at(name, tenant) }))?.value)
export const versionOf = async (store: Store, name: string, tenant?: string): Promise<number | undefined> =>
  (await store.ask({ ask: "get", ...at(name, tenant) }))?.version

/** Asks until it is so; a store's clock is its own, so that nothing here can wait for a time. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 20_000
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error("It did not come to be so within 20 s")
    await new Promise((resume) => setTimeout(resume, 1))
  }
}

/** Writes keys whose values have ended when this is over. */
export async function ended(store: Store, names: ReadonlyArray<string>, tenant?: string): Promise<void> {
  await store.apply(names.map((name) => set(name, name, { ttlMs: 1, ...(tenant === undefined ? {} : { tenant }) })))
  for (const name of names) await until(async () => (await store.ask({ ask: "get", ...at(name, tenant) })) === undefined)
}

/** Numbers that depend on nothing but the seed. */
export function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

export const [overLimit, badOption, conflict, compacted, badRecord] = ["STELE-CAP-0008", "STELE-CFG-0002", "STELE-STO-0040", "STELE-STO-0041", "STELE-STO-0042"]
