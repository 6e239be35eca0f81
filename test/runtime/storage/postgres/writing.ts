/** What writes and what reads, on this thread and nothing else: a rule can be taken out of it, which a thread of the store's own would not see. */
import type { Operation, Question } from "../../../../runtime/port/store.ts"
import { parseAddress } from "../../../../runtime/storage/postgres/address.ts"
import { Asker } from "../../../../runtime/storage/postgres/asker.ts"
import { Pool } from "../../../../runtime/storage/postgres/pool.ts"
import { checkService } from "../../../../runtime/storage/postgres/session.ts"
import { postgresLimitsFrom } from "../../../../runtime/storage/postgres/store.ts"
import { Writer } from "../../../../runtime/storage/postgres/writer.ts"

export interface Writing extends AsyncDisposable {
  apply(batch: ReadonlyArray<Operation>): Promise<ReadonlyArray<unknown>>
  ask(question: Question): Promise<unknown>
}

export function writing(of: string, password: string): Writing {
  const address = parseAddress(of)
  const limits = postgresLimitsFrom({})
  const pool = new Pool({ address, password }, 2, (connection) => checkService(connection, address))
  const [writer, asker] = [new Writer(pool, limits, 1_000), new Asker(pool, limits)]
  return {
    apply: (batch) => writer.apply(batch),
    ask: (question) => asker.ask(question),
    async [Symbol.asyncDispose]() {
      await writer.close()
      asker.close()
      await pool.close()
    },
  }
}
