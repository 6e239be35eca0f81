/** A transaction of services' SQL, in the store's thread, as its owner holds it. */
import type { SqlOperation, SqlResults, SqlStatement, SqlTransaction } from "../../port/sql.ts"
import type { Bridge } from "../bridge.ts"
import { copyOf } from "../operation.ts"
import type { Hold } from "./sql-hold.ts"
import type { Writer } from "./writer.ts"

interface Step {
  readonly id: number
  readonly wanted: SqlStatement | "commit" | "rollback"
}

export async function beginOver(bridge: Bridge, tenant: Uint8Array = new Uint8Array(0)): Promise<SqlTransaction> {
  const id = (await bridge.ask("begin", new Uint8Array(tenant))) as number
  const step = (wanted: Step["wanted"]): Promise<unknown> => bridge.ask("step", { id, wanted })
  return {
    run: (statement) => step(copyOf({ op: "sql", ...statement }) as SqlOperation) as Promise<SqlResults["sql"]>,
    commit: () => step("commit") as Promise<void>,
    rollback: () => step("rollback") as Promise<void>,
  }
}

/** Transactions that have ended without their owner: so many are remembered until it hears of it. */
const endedMax = 1_000

/** The thread's side. */
export function transactionsOf(writer: Writer): { begin(tenant: Uint8Array): Promise<number>; step(step: Step): Promise<unknown> } {
  const holds = new Map<number, Hold>()
  let next = 0
  return {
    async begin(tenant) {
      const hold = await writer.begin(tenant)
      const id = next++
      holds.set(id, hold)
      const [oldest] = holds.keys()
      // One that is still open ends by itself, and its owner is told the same.
      if (holds.size > endedMax && oldest !== undefined) holds.delete(oldest)
      return id
    },
    step({ id, wanted }) {
      const hold = holds.get(id)
      if (wanted === "commit" || wanted === "rollback") holds.delete(id)
      if (hold !== undefined) return hold.step(wanted)
      return wanted === "rollback" ? Promise.resolve(undefined) : Promise.reject(writer.ended())
    },
  }
}
