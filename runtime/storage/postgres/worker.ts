/**
 * The thread that writes, and that answers guests, who wait in their calls. Whatever holds a lock from one message to the next is made here: a caller
 * that blocks its thread would otherwise wait for a lock that the same thread holds in a transaction it cannot end.
 */
import type { Fence } from "../../port/fence.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation, Question } from "../../port/store.ts"
import { type Line, serve } from "../bridge.ts"
import { Asker } from "./asker.ts"
import type { ConnectionSettings } from "./connection.ts"
import type { Handed, Seen } from "./handed.ts"
import { isOfAll, type Overseer } from "./overseer.ts"
import { Pool } from "./pool.ts"
import { type LeaseOfAll, noRing, Ring } from "./queue-ring.ts"
import { checkService } from "./session.ts"
import { transactionsOf } from "./sql-transaction.ts"
import { Writer } from "./writer.ts"

const { isMainThread, workerData } = process.getBuiltinModule("node:worker_threads")

/** What the thread is started with. */
export interface Opening {
  readonly kind: "stele-postgres"
  readonly settings: Pick<ConnectionSettings, "address" | "password" | "role">
  /** For leases of queues without a tenant, alone. */
  readonly worker: Pick<ConnectionSettings, "address" | "password"> | undefined
  readonly limits: StoreLimits
  readonly connectionsMax: number
  readonly pendingMax: number
  readonly line: Line
}

/** A batch for the thread from a caller that also writes itself, with what it knows of the tenant; the answer says it of `wanted`. */
export interface Writing {
  readonly batch: ReadonlyArray<Operation>
  readonly handed: Handed | undefined
  readonly wanted: Uint8Array | undefined
  /** Its caller's thread stands still until it is answered. */
  readonly isBlocking?: boolean
}

export interface Written {
  readonly answers: ReadonlyArray<unknown>
  readonly handed: Handed | undefined
}

/** A commit that a caller asked for and got no answer to. */
export interface Doubt {
  readonly tenant: Uint8Array
  readonly seen: Seen
  readonly operation: Uint8Array
}

export interface Serving {
  /** Answers here what concerns all tenants: where there is one session for everything. */
  readonly overseer?: (pool: Pool) => Overseer
  /** And hands out jobs of all tenants. */
  readonly ring?: (pool: Pool, writer: Writer) => Ring
  /** What else is answered here. */
  readonly more?: (pool: Pool) => Readonly<Record<string, (argument: never) => Promise<unknown>>>
  /** When the last session is over. */
  readonly after?: () => Promise<void>
}

/** Serves a store over sessions made by `settings`. */
export function serveStore(
  { worker, limits, connectionsMax, pendingMax, line }: Pick<Opening, "worker" | "limits" | "connectionsMax" | "pendingMax" | "line">,
  settings: ConnectionSettings,
  { overseer: overseerOf, ring: ringOf, more, after = async () => {} }: Serving = {},
): void {
  const { address } = settings
  const pool = new Pool(settings, connectionsMax, (connection) => checkService(connection, address))
  const writer = new Writer(pool, limits, pendingMax)
  const asker = new Asker(pool, limits)
  const ring = ringOf?.(pool, writer) ?? (worker === undefined ? undefined : Ring.of(worker, limits.queue, (batch) => writer.apply(batch)))
  const apply = async (batch: ReadonlyArray<Operation>, isBlocking = false): Promise<ReadonlyArray<unknown>> => {
    const [first] = batch
    if (batch.length !== 1 || first?.op !== "lease" || first.tenant !== undefined) return await writer.apply(batch, isBlocking)
    if (ring === undefined) throw noRing(address.name)
    return [await ring.lease(first as LeaseOfAll)]
  }
  const overseer = overseerOf?.(pool)
  const ask = async (question: Question): Promise<unknown> => {
    if (question.ask === "queue" && question.tenant === undefined && ring !== undefined) return await ring.depth(question.key)
    return await (overseer !== undefined && isOfAll(question) ? overseer.ask(question) : asker.ask(question))
  }
  /** Where there is one session, an open transaction has it. */
  const block = (): void => {
    if (connectionsMax === 1) writer.endAll()
  }
  serve(
    line,
    {
      open: () => pool.use(async () => {}),
      apply: (batch: ReadonlyArray<Operation>) => apply(batch),
      async write({ batch, handed, wanted, isBlocking = false }: Writing): Promise<Written> {
        if (isBlocking) block()
        if (handed !== undefined) writer.take(handed)
        const answers = await apply(batch, isBlocking)
        return { answers, handed: wanted === undefined ? undefined : writer.hand(wanted) }
      },
      wasKept: ({ tenant, seen, operation }: Doubt) => writer.wasKept(tenant, seen, operation),
      ask,
      applySync(batch: ReadonlyArray<Operation>) {
        block()
        return apply(batch, true)
      },
      askSync(question: Question) {
        block()
        return ask(question)
      },
      ...transactionsOf(writer),
      ...more?.(pool),
      ...(overseer === undefined
        ? {}
        : { info: () => overseer.info(), check: () => overseer.check(), fence: (fence: Fence | undefined) => overseer.fence(fence) }),
    },
    async () => {
      await writer.close()
      await ring?.close()
      asker.close()
      await pool.close()
      await after()
    },
  )
}

const opening = workerData as Opening | null
if (!isMainThread && opening?.kind === "stele-postgres") serveStore(opening, opening.settings)
