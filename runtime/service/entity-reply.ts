/** Replies of entities: rows with an end that whoever asked waits for and takes away. */
import { StorageError } from "../../schemas/error/storage.ts"
import { checkLimit } from "../../host/port/port.ts"
import { entityLimits } from "../port/entity.ts"
import { textOf } from "../port/place.ts"
import type { Operation, Store } from "../port/store.ts"
import { watch } from "../storage/watch.ts"
import { isPassing } from "./entity-member.ts"
import { EntityPlaces } from "./entity-place.ts"

const { randomUUID } = process.getBuiltinModule("node:crypto")

const utf8 = new TextEncoder()
const [isReply, isFailure] = [0, 1]
/** How long a watch rests that the store had no answer for, ms. */
const retryMs = 250
/** Replies that are removed in one batch. */
const removedMax = 500

const row = (places: EntityPlaces, name: string, kind: number, bytes: Uint8Array): Operation => {
  const value = new Uint8Array(1 + bytes.length)
  value[0] = kind
  value.set(bytes, 1)
  return { op: "set", ...places.reply(name), value, ttlMs: entityLimits.replyKeptMs }
}
export const replyRow = (places: EntityPlaces, name: string, reply: Uint8Array): Operation => row(places, name, isReply, reply)
export const failureRow = (places: EntityPlaces, name: string, detail: string): Operation => row(places, name, isFailure, utf8.encode(detail))

interface Asked {
  readonly id: string
  resolve(reply: Uint8Array): void
  reject(error: Error): void
}

/** Those of one process: one watch for all that it waits for, while it waits for any. */
export class Replies {
  readonly #store: Store
  readonly #places: EntityPlaces
  readonly #caller = randomUUID()
  readonly #asked = new Map<string, Asked>()
  readonly #removed: Array<string> = []
  #isRemoving = false
  #count = 0
  #end: AbortController | undefined
  #begun: Promise<void> | undefined

  constructor(store: Store, places: EntityPlaces) {
    this.#store = store
    this.#places = places
  }

  /** Sends by `send`, which is given the name of the reply's row, and waits for what comes there. */
  async ask(id: string, timeoutMs: number, send: (reply: string) => Promise<void>): Promise<Uint8Array> {
    checkLimit("entity", "asksMax", "questions", entityLimits.asksMax, this.#asked.size + 1)
    const name = `${this.#caller}/${this.#count++}`
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    // Whoever it is rejected for may not wait yet.
    promise.catch(() => {})
    this.#asked.set(name, { id, resolve, reject })
    const { type } = this.#places
    const timer = setTimeout(() => reject(new StorageError("EntityTimeout", { store: this.#store.name, type, id, waitedMs: timeoutMs })), timeoutMs)
    try {
      await this.#watching()
      await send(name)
      return await promise
    } finally {
      clearTimeout(timer)
      this.#asked.delete(name)
      if (this.#asked.size === 0) this.#stop()
    }
  }

  #stop(): void {
    this.#end?.abort()
    this.#end = undefined
    this.#begun = undefined
  }

  /** From a revision before the first question was sent. */
  #watching(): Promise<void> {
    this.#begun ??= this.#begin()
    return this.#begun
  }

  async #begin(): Promise<void> {
    const end = new AbortController()
    this.#end = end
    try {
      const after = await this.#store.ask({ ask: "revision", tenant: this.#places.tenant })
      void this.#watch(after, end.signal)
    } catch (error) {
      this.#stop()
      throw error
    }
  }

  async #watch(from: number, signal: AbortSignal): Promise<void> {
    const { tenant, key: prefix } = this.#places.replies(this.#caller)
    const root = this.#places.reply("")
    for (let after = from; !signal.aborted;) {
      try {
        for await (const { key, kind, revision } of watch(this.#store, { tenant, prefix, after, signal })) {
          // Side by side: those that came together are asked for together.
          if (kind === "set") void this.#taken(EntityPlaces.rest(root, key))
          after = revision
        }
      } catch (error) {
        after = (await this.#caughtUp(error)) ?? after
      }
    }
  }

  /** After a failure of the watch: where to go on. Who asked is told of one that will not pass. */
  async #caughtUp(failure: unknown): Promise<number | undefined> {
    try {
      if (isPassing(failure)) await new Promise((resume) => setTimeout(resume, retryMs))
      else if (failure instanceof StorageError && failure.reason._tag === "Compacted") {
        // Too much was written meanwhile: what came is found by its name.
        const after = await this.#store.ask({ ask: "revision", tenant: this.#places.tenant })
        for (const name of this.#asked.keys()) void this.#taken(name)
        return after
      } else throw failure
    } catch (error) {
      if (isPassing(error)) return undefined
      for (const { reject } of this.#asked.values()) reject(error as Error)
      this.#stop()
    }
    return undefined
  }

  /** Until it is there or is not, as long as somebody waits for it. */
  async #taken(name: string): Promise<void> {
    do {
      try {
        return await this.#take(name)
      } catch (error) {
        if (!isPassing(error)) return this.#asked.get(name)?.reject(error as Error)
      }
      await new Promise((resume) => setTimeout(resume, retryMs))
    } while (this.#asked.has(name))
  }

  async #take(name: string): Promise<void> {
    const found = await this.#store.ask({ ask: "get", ...this.#places.reply(name) })
    if (found === undefined) return
    void this.#remove(name)
    const asked = this.#asked.get(name)
    const [kind, bytes] = [found.value[0], found.value.subarray(1)]
    const { type } = this.#places
    if (kind === isReply) asked?.resolve(bytes)
    else asked?.reject(new StorageError("EntityRefused", { store: this.#store.name, type, id: asked.id, detail: textOf(bytes) }))
  }

  /** What came while others were being removed goes with the next commit. */
  async #remove(name: string): Promise<void> {
    this.#removed.push(name)
    if (this.#isRemoving) return
    this.#isRemoving = true
    while (this.#removed.length > 0) {
      const names = this.#removed.splice(0, removedMax)
      // A row that stays has an end of its own.
      await this.#store.apply(names.map((each): Operation => ({ op: "delete", ...this.#places.reply(each) }))).catch(() => {})
    }
    this.#isRemoving = false
  }
}
