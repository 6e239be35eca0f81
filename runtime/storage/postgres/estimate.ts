/** Bytes that all tenants have together, as far as a thread knows: asked for now and then, and what it wrote since is added. */
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation } from "../../port/store.ts"
import { bytesOfRecord } from "../record.ts"
import type { Table } from "./table.ts"

/** How long it is believed, in ms, while it is not near a limit. */
const ageMsMax = 1_000

export class Estimate {
  /** By table. */
  bytes = new Map<string, number>()
  /** Of `performance.now()`, when it was asked for. */
  atMs = Number.NEGATIVE_INFINITY

  add(grown: ReadonlyMap<string, number>): void {
    for (const [table, bytes] of grown) this.bytes.set(table, (this.bytes.get(table) ?? 0) + bytes)
  }

  /** Must it be asked for before these operations: it was long ago, or they come near a limit? */
  isVague(byTable: ReadonlyMap<Table, ReadonlyArray<Operation>>, limits: StoreLimits): boolean {
    if (performance.now() - this.atMs > ageMsMax) return true
    for (const [table, operations] of byTable) {
      const asked = operations.reduce(
        (sum, operation) =>
          sum + (operation.op === "import" ? bytesOfRecord(operation.record) : operation.op === "rewrite" ? operation.to.length : table.grows(operation)),
        0,
      )
      if ((this.bytes.get(table.name) ?? 0) + asked > 0.9 * table.bytesMax(limits)) return true
    }
    return false
  }
}
