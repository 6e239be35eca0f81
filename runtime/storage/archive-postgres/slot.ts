/** The replication slot by which a server keeps its log until an archive has it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { ServerError } from "../postgres/connection.ts"
import type { Replication } from "../postgres/replication.ts"
import { lsnOf } from "./lsn.ts"

/** How long one waits for the session of an archiver that is gone to leave the slot. */
const leaveMsMax = 15_000

/**
 * Makes the slot, if there is none or it holds nothing any more, or in any case when what it holds is of no use; answers from where on it holds the log.
 * @throws ServerError, StorageError `Overwritten`
 */
export async function holdSlot(session: Replication, slot: string, store: string, isAnew: boolean): Promise<number> {
  const look = async () => (await session.command(`READ_REPLICATION_SLOT "${slot}"`))[0] ?? {}
  const before = await look()
  // A slot that the server gave up, since it held more than it may, is still there and has no place.
  const held = lsnOf(before["restart_lsn"] ?? "")
  if (held !== undefined && !isAnew) return held
  if ((before["slot_type"] ?? null) !== null) await whenFree(() => session.command(`DROP_REPLICATION_SLOT "${slot}"`))
  await session.command(`CREATE_REPLICATION_SLOT "${slot}" PHYSICAL RESERVE_WAL`)
  const made = lsnOf((await look())["restart_lsn"] ?? "")
  if (made === undefined) throw new StorageError("Overwritten", { store, detail: "its new replication slot holds nothing" })
  return made
}

/** Tries again while the slot is said to be in use (`object_in_use`): the session of an archiver that was killed ends a moment later. */
export async function whenFree<A>(work: () => Promise<A>): Promise<A> {
  for (const untilMs = performance.now() + leaveMsMax; ;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof ServerError) || error.sqlState !== "55006" || performance.now() > untilMs) throw error
      await new Promise((resume) => setTimeout(resume, 200))
    }
  }
}
