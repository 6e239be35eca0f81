/**
 * Watching a tenant's keys: changes in the order of their revisions, each at least once. Nothing is remembered for a watcher but by itself: it
 * goes on after a revision, in another process or after a crash too.
 */
import type { Change } from "../port/key-value.ts"
import type { Store } from "../port/store.ts"

export interface WatchOptions {
  readonly tenant: Uint8Array
  /** Keys that start with this. */
  readonly prefix: Uint8Array
  /** Changes with a greater revision: that of a `revision` or `entries` answer, of the last change handled, or 0 for all that is kept. */
  readonly after: number
  /** Ends the watch, also one that waits. */
  readonly signal?: AbortSignal | undefined
}

/** How long a change stays unseen at most of which no hint came: another process's on SQLite, or one whose hint was lost, ms. */
const pollMs = 250
/** Changes read at once. */
const pageMax = 1_000

/**
 * Changes of a tenant's keys as they are committed, until the signal ends it. The store says when to look again, and is asked every
 * 250 ms beside, since what other processes commit may come without a hint.
 * @throws StorageError `Compacted` when changes that were not seen yet are not kept any more: read what is there and
 * watch from the revision that comes with it; and whatever the store throws
 */
export async function* watch(store: Store, { tenant, prefix, after, signal }: WatchOptions): AsyncGenerator<Change, void, void> {
  let wake = (): void => {}
  let isHinted = false
  const hint = (): void => {
    isHinted = true
    wake()
  }
  const stopListening = store.onCommit(hint)
  signal?.addEventListener("abort", hint)
  try {
    const isOver = (): boolean => signal?.aborted === true
    for (let from = after; !isOver();) {
      isHinted = false
      const page = await store.ask({ ask: "changes", tenant, key: prefix, after: from, countMax: pageMax })
      for (const change of page.changes) {
        if (isOver()) return
        yield change
      }
      from = page.revision
      if (page.changes.length === pageMax) continue
      // What came between the question and here is not waited for.
      if (isHinted) continue
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pollMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      wake = () => {}
    }
  } finally {
    stopListening()
    signal?.removeEventListener("abort", hint)
  }
}
