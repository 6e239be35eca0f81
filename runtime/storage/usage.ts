/**
 * Usage records as bytes, for every database alike. Names (plugins, exports, outcomes, grants) are written once and numbered:
 * in a packed batch by their place in it, in a store by their id. Equal records are equal bytes, by which a record sent
 * again is told from a conflict.
 */
import { ConfigError } from "../../schemas/error/config.ts"
import { tenantPrefix } from "../../host/port/port.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Store } from "../port/store.ts"
import { firstId, msOf, type UsageAnswer, type UsageEntry, type UsageSums } from "../port/usage.ts"
import { Packer, Unpacker } from "./varint.ts"

/** A record with its names numbered. `costs` are wallNs, fuel + 1 or 0, memoryPeakBytes, bytesIn, bytesOut, dropped. */
export interface NumberedUsage {
  readonly id: Uint8Array
  readonly plugin: number
  readonly export: number
  readonly outcome: number
  readonly costs: ReadonlyArray<number | bigint>
  readonly hostCalls: ReadonlyArray<readonly [grant: number, calls: number | bigint]>
}

const costCount = 6
const utf8 = new TextEncoder()
/** A byte order mark at the start of a name belongs to it. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const fuelMax = 0xffff_ffff_ffff_ffffn

/** The tenant's part of every key: as for the ports that guests see. */
export function tenantBytes(tenant: string): Uint8Array {
  if (!tenant.isWellFormed()) throw new ConfigError("Option", { option: "tenant", expected: "well-formed text", actual: "half a surrogate pair" })
  return utf8.encode(tenantPrefix(tenant).slice(0, -1))
}
export const tenantText = (bytes: Uint8Array): string => decoder.decode(bytes).replaceAll("%2F", "/").replaceAll("%25", "%")

/** The content of a row, without its id. */
function packContent(into: Packer, { plugin, export: name, outcome, costs, hostCalls }: Omit<NumberedUsage, "id">): void {
  into.number(plugin)
  into.number(name)
  into.number(outcome)
  for (const cost of costs) into.number(cost)
  into.number(hostCalls.length)
  for (const [grant, calls] of hostCalls) {
    into.number(grant)
    into.number(calls)
  }
}

/** A row's content: the same with the names' numbers in the store. */
export function numberNames(into: Packer, entry: NumberedUsage, idOf: (name: number) => number): Uint8Array {
  packContent(into, {
    plugin: idOf(entry.plugin),
    export: idOf(entry.export),
    outcome: idOf(entry.outcome),
    costs: entry.costs,
    hostCalls: entry.hostCalls.map(([grant, calls]) => [idOf(grant), calls]),
  })
  return into.take()
}

export function unpackContent(from: Unpacker): Omit<NumberedUsage, "id"> {
  const [plugin, name, outcome] = [from.number(), from.number(), from.number()]
  const costs: Array<number | bigint> = []
  for (let i = 0; i < costCount; i++) costs.push(i === 1 ? from.value() : from.number())
  const hostCalls: Array<readonly [number, number | bigint]> = []
  for (let count = from.number(); count > 0; count--) hostCalls.push([from.number(), from.number()])
  return { plugin, export: name, outcome, costs, hostCalls }
}

/** Any order does that is the same everywhere: equal records must be equal bytes. */
const byName = (a: readonly [string, unknown], b: readonly [string, unknown]): number => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)

/**
 * Records of one tenant as the bytes of a `record` operation; `tenant` of the records is not read.
 * @throws RangeError when a cost is not a whole number ≥ 0
 */
export function packUsage(entries: ReadonlyArray<UsageEntry>): Uint8Array {
  const names = new Map<string, number>()
  const numberOf = (name: string): number => {
    let number = names.get(name)
    if (number === undefined) names.set(name, (number = names.size))
    return number
  }
  const body = new Packer()
  for (const entry of entries) {
    const { id, fuel, dropped = 0 } = entry
    if (id.length !== 16) throw new RangeError(`Cannot pack an id of ${id.length} bytes: it has 16`)
    if (fuel !== undefined && (fuel < 0n || fuel > fuelMax)) throw new RangeError(`Cannot pack fuel of ${fuel}: it has 64 bits, and no sign`)
    body.raw(id)
    packContent(body, {
      plugin: numberOf(entry.plugin),
      export: numberOf(entry.export),
      outcome: numberOf(entry.outcome),
      costs: [entry.wallNs, fuel === undefined ? 0 : fuel + 1n, entry.memoryPeakBytes, entry.bytesIn, entry.bytesOut, dropped],
      hostCalls: Object.entries(entry.hostCalls)
        .toSorted(byName)
        .map(([grant, calls]) => [numberOf(grant), calls]),
    })
  }
  const head = new Packer()
  head.number(names.size)
  for (const name of names.keys()) head.bytes(utf8.encode(name))
  head.raw(body.take())
  return head.take()
}

const refuse = (detail: string): never => {
  throw new ConfigError("Option", { option: "records", expected: "packed usage records", actual: detail })
}

/**
 * What `packUsage` packed, checked: a batch may come from another process.
 * @throws ConfigError `Option` when the bytes are not such a batch
 */
export function unpackUsage(bytes: Uint8Array): { readonly names: ReadonlyArray<Uint8Array>; readonly entries: ReadonlyArray<NumberedUsage> } {
  const names: Array<Uint8Array> = []
  const entries: Array<NumberedUsage> = []
  try {
    const from = new Unpacker(bytes)
    for (let count = from.number(); count > 0; count--) names.push(from.bytes())
    while (!from.isAtEnd) {
      const id = from.raw(16)
      // Version 7 and the variant of RFC 9562: nothing else has its time where `msOf` reads it.
      if ((id[6] as number) >> 4 !== 7 || (id[8] as number) >> 6 !== 2) refuse("an id that is no UUID of version 7")
      const content = unpackContent(from)
      const used = [content.plugin, content.export, content.outcome, ...content.hostCalls.map(([grant]) => grant)]
      if (used.some((name) => name >= names.length)) refuse("a name that is not in it")
      if ((content.costs[1] as number | bigint) > fuelMax + 1n) refuse("fuel of more than 64 bits")
      entries.push({ id, ...content })
    }
  } catch (error) {
    if (error instanceof RangeError) refuse(error.message)
    throw error
  }
  return { names, entries }
}

/** A row as it was recorded. */
export function entryOf(tenant: string, id: Uint8Array, payload: Uint8Array, nameOf: (id: number) => string): UsageEntry {
  const { plugin, export: name, outcome, costs, hostCalls } = unpackContent(new Unpacker(payload))
  const [wallNs, fuel, memoryPeakBytes, bytesIn, bytesOut, dropped] = costs as [number, number | bigint, number, number, number, number]
  return {
    id,
    tenant,
    plugin: nameOf(plugin),
    export: nameOf(name),
    outcome: nameOf(outcome) as UsageEntry["outcome"],
    wallNs,
    ...(BigInt(fuel) === 0n ? {} : { fuel: BigInt(fuel) - 1n }),
    memoryPeakBytes,
    bytesIn,
    bytesOut,
    hostCalls: Object.fromEntries(hostCalls.map(([grant, calls]) => [nameOf(grant), Number(calls)])),
    ...(dropped === 0 ? {} : { dropped }),
  }
}

/** An exact sum that costs what an inexact one does until it is large. */
export class Sum {
  #low = 0
  #high = 0n

  add(value: number | bigint): void {
    if (typeof value === "number" && this.#low + value <= Number.MAX_SAFE_INTEGER) this.#low += value
    else this.#high += BigInt(value)
  }

  get value(): bigint {
    return this.#high + BigInt(this.#low)
  }
}

/** Sums with their grants numbered, as a roll-up's row holds them. */
export class RollUp {
  /** calls, failed, dropped, wallNs, fuel, bytesIn, bytesOut. */
  readonly #sums = Array.from({ length: 7 }, () => new Sum())
  readonly #hostCalls = new Map<number, Sum>()
  #memoryPeakBytes = 0

  #grant(grant: number, calls: number | bigint): void {
    let sum = this.#hostCalls.get(grant)
    if (sum === undefined) this.#hostCalls.set(grant, (sum = new Sum()))
    sum.add(calls)
  }

  /** Adds a record. `isOk`: its outcome is `ok`. */
  add({ costs, hostCalls }: Pick<NumberedUsage, "costs" | "hostCalls">, isOk: boolean): void {
    const [wallNs, fuel, memoryPeakBytes, bytesIn, bytesOut, dropped] = costs as [number, number | bigint, number, number, number, number]
    const isCall = dropped === 0
    const spent = typeof fuel === "number" ? Math.max(0, fuel - 1) : fuel - 1n
    const parts = [isCall ? 1 : 0, isCall && !isOk ? 1 : 0, dropped, wallNs, spent, bytesIn, bytesOut]
    for (let i = 0; i < parts.length; i++) (this.#sums[i] as Sum).add(parts[i] as number | bigint)
    this.#memoryPeakBytes = Math.max(this.#memoryPeakBytes, memoryPeakBytes)
    for (const [grant, calls] of hostCalls) this.#grant(grant, calls)
  }

  /** Adds what a row holds; `numberOf` gives a grant the number that it has here. */
  addRow(payload: Uint8Array, numberOf: (grant: number) => number = (grant) => grant): void {
    const from = new Unpacker(payload)
    for (const sum of this.#sums) sum.add(from.value())
    this.#memoryPeakBytes = Math.max(this.#memoryPeakBytes, from.number())
    for (let count = from.number(); count > 0; count--) this.#grant(numberOf(from.number()), from.value())
    if (!from.isAtEnd) throw new RangeError("It goes on after its end")
  }

  /** As a row: the same sums are the same bytes. */
  pack(into: Packer): Uint8Array {
    for (const sum of this.#sums) into.number(sum.value)
    into.number(this.#memoryPeakBytes)
    into.number(this.#hostCalls.size)
    for (const [grant, sum] of [...this.#hostCalls].toSorted(([a], [b]) => a - b)) {
      into.number(grant)
      into.number(sum.value)
    }
    return into.take()
  }

  /** As it is exported, with its grants by name. */
  packNamed(nameOf: (grant: number) => string): Uint8Array {
    const grants = [...this.#hostCalls.keys()].map((grant) => [nameOf(grant), grant] as const).toSorted(byName)
    const into = new Packer()
    into.number(grants.length)
    for (const [name] of grants) into.bytes(utf8.encode(name))
    const numbered = new RollUp()
    for (const [i, sum] of this.#sums.entries()) numbered.#sums[i]?.add(sum.value)
    numbered.#memoryPeakBytes = this.#memoryPeakBytes
    for (const [i, [, grant]] of grants.entries()) numbered.#grant(i, this.#hostCalls.get(grant)?.value ?? 0n)
    into.raw(numbered.pack(new Packer()))
    return into.take()
  }

  /** What `packNamed` packed. @throws RangeError when it did not */
  static unpackNamed(bytes: Uint8Array, idOf: (name: Uint8Array) => number): RollUp {
    const from = new Unpacker(bytes)
    const grants: Array<number> = []
    for (let count = from.number(); count > 0; count--) grants.push(idOf(from.bytes()))
    const numbered = new RollUp()
    numbered.addRow(from.rest())
    const found = new RollUp()
    for (const [i, sum] of numbered.#sums.entries()) found.#sums[i]?.add(sum.value)
    found.#memoryPeakBytes = numbered.#memoryPeakBytes
    for (const [i, sum] of numbered.#hostCalls) {
      const grant = grants[i]
      if (grant === undefined) throw new RangeError("A grant has no name")
      found.#grant(grant, sum.value)
    }
    return found
  }

  sums(nameOf: (grant: number) => string): UsageSums {
    const [calls, failed, dropped, wallNs, fuel, bytesIn, bytesOut] = this.#sums.map(({ value }) => value) as [
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
      bigint,
    ]
    const hostCalls = new Map<string, bigint>()
    // Each tenant's names have numbers of their own.
    for (const [grant, { value }] of this.#hostCalls) hostCalls.set(nameOf(grant), (hostCalls.get(nameOf(grant)) ?? 0n) + value)
    const memoryPeakBytes = BigInt(this.#memoryPeakBytes)
    return { calls, failed, dropped, wallNs, fuel, memoryPeakBytes, bytesIn, bytesOut, hostCalls: Object.fromEntries([...hostCalls].toSorted(byName)) }
  }
}

/** Where the ids of a time range begin and end. */
export const rangeOf = (fromMs: number, toMs: number, after: Uint8Array | undefined): readonly [from: Uint8Array, to: Uint8Array] => {
  const from = firstId(fromMs)
  return [after !== undefined && Buffer.compare(after, from) > 0 ? after : from, firstId(toMs)]
}

/** What a record was refused for, as an error; undefined when it was kept. */
export function usageError(store: Pick<Store, "name" | "limits">, id: Uint8Array, answer: UsageAnswer, nowMs = Date.now()): StorageError | undefined {
  const about = { store: store.name, id: uuidText(id) }
  switch (answer) {
    case "conflict":
      return new StorageError("UsageConflict", about)
    case "late":
      return new StorageError("UsageLate", about)
    case "ahead":
      return new StorageError("UsageAhead", { ...about, aheadMs: msOf(id) - nowMs, aheadMsMax: store.limits.usage.aheadMsMax })
    default:
      return undefined
  }
}

/** `01936f2e-7c00-7000-8000-000000000000`. */
export const uuidText = (id: Uint8Array): string =>
  Buffer.from(id)
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
