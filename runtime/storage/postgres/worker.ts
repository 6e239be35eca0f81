/**
 * The thread that writes, and that answers guests, who wait in their calls. All writes of a process are made here: a caller that
 * blocks its thread would otherwise wait for a lock that the same thread holds in a transaction it cannot end.
 */
import type { Duplex } from "node:stream"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation, Question } from "../../port/store.ts"
import { type Line, serve } from "../bridge.ts"
import { Asker } from "./asker.ts"
import type { ConnectionSettings } from "./connection.ts"
import { Pool } from "./pool.ts"
import { checkService } from "./session.ts"
import { Writer } from "./writer.ts"

const { isMainThread, workerData } = process.getBuiltinModule("node:worker_threads")

/** What the thread is started with. */
export interface Opening {
  readonly kind: "stele-postgres"
  readonly settings: Pick<ConnectionSettings, "address" | "password" | "role">
  readonly limits: StoreLimits
  readonly connectionsMax: number
  readonly pendingMax: number
  readonly line: Line
}

/** Serves a store over sessions made by `settings`. */
export function serveStore(
  { limits, connectionsMax, pendingMax, line }: Opening,
  settings: ConnectionSettings & { readonly stream?: () => Duplex },
  after: () => Promise<void> = async () => {},
): void {
  const { address } = settings
  const pool = new Pool(settings, connectionsMax, (connection) => checkService(connection, address))
  const writer = new Writer(pool, limits, pendingMax)
  const asker = new Asker(pool, limits)
  serve(
    line,
    {
      open: () => pool.use(async () => {}),
      apply: (batch: ReadonlyArray<Operation>) => writer.apply(batch),
      ask: (question: Question) => asker.ask(question),
    },
    async () => {
      await writer.close()
      asker.close()
      await pool.close()
      await after()
    },
  )
}

const opening = workerData as Opening | null
if (!isMainThread && opening?.kind === "stele-postgres") serveStore(opening, opening.settings)
