/** What a group's operations on usage are about, before anything is read: what is no record is refused with its own operation, not with the group. */
import { SteleError } from "../../../schemas/error/family.ts"
import { dayOf, type UsageOperation } from "../../port/usage.ts"
import { Fields } from "../record.ts"
import { type NumberedUsage, RollUp, unpackUsage } from "../usage.ts"
import { kinds } from "../usage-row.ts"
import type { Import } from "./table.ts"

export type Asked =
  | {
      readonly kind: "record"
      readonly records: Uint8Array
      readonly names: ReadonlyArray<Uint8Array>
      readonly entries: ReadonlyArray<NumberedUsage>
    }
  | { readonly kind: "forget"; readonly beforeId: Uint8Array; readonly countMax: number }
  | { readonly kind: "import forgotten"; readonly id: Uint8Array }
  | {
      readonly kind: "import day"
      readonly day: number
      readonly plugin: Uint8Array
      readonly sums: Uint8Array
      readonly names: ReadonlyArray<Uint8Array>
    }
  | { readonly kind: "import record"; readonly names: ReadonlyArray<Uint8Array>; readonly entry: NumberedUsage }

/** @throws StorageError `Record`, ConfigError */
function importOf(store: string, { record }: Import): Asked {
  const fields = new Fields(store, "usage", record)
  const [kind] = record.order
  const about = record.order.subarray(1)
  if (kind === kinds.forgotten && about.length === 0) {
    const id = fields.bytes("id")
    fields.end()
    if (id.length !== 16) throw fields.refusal("its id has not 16 bytes")
    return { kind: "import forgotten", id }
  }
  if (kind === kinds.day && about.length > 4) {
    const sums = fields.bytes("sums")
    fields.end()
    const plugin = about.subarray(4)
    const names = [plugin]
    try {
      RollUp.unpackNamed(sums, (name) => names.push(name))
    } catch (error) {
      throw error instanceof RangeError ? fields.refusal(error.message) : error
    }
    return { kind: "import day", day: Buffer.from(about).readUInt32BE(), plugin, sums, names }
  }
  if (kind === kinds.record && about.length === 16) {
    const { names, entries } = unpackUsage(fields.bytes("record"))
    fields.end()
    const [entry] = entries
    if (entry === undefined || entries.length > 1 || Buffer.compare(entry.id, about) !== 0) throw fields.refusal("it is not the one record of its order")
    return { kind: "import record", names, entry }
  }
  throw fields.refusal("its order is nothing of usage")
}

/** What is asked, or why it is refused. */
export function askedOf(store: string, operation: UsageOperation | Import): Asked | SteleError {
  try {
    if (operation.op === "import") return importOf(store, operation)
    if (operation.op === "forget") return { kind: "forget", beforeId: operation.beforeId, countMax: operation.countMax }
    return { kind: "record", records: operation.records, ...unpackUsage(operation.records) }
  } catch (error) {
    if (error instanceof SteleError) return error
    throw error
  }
}

/** Ids whose rows it looks at. */
export const idsIn = (asked: Asked): ReadonlyArray<Uint8Array> =>
  asked.kind === "record" ? asked.entries.map(({ id }) => id) : asked.kind === "import record" ? [asked.entry.id] : []

/** Roll-ups that it may change. */
export function daysIn(asked: Asked): ReadonlyArray<readonly [day: number, plugin: Uint8Array]> {
  if (asked.kind === "import day") return [[asked.day, asked.plugin]]
  return asked.kind === "record" ? asked.entries.map(({ id, plugin }) => [dayOf(id), asked.names[plugin] as Uint8Array] as const) : []
}
