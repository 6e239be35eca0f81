/**
 * The keys of a sealed store, as one process knows them. What it knows may be old, and that harms nobody: a write depends on
 * the row of the keys it was sealed by, so that none is kept under a key that was given up meanwhile, and a
 * value by a key that is not known makes the process read the keys again.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { ObjectStore } from "../../port/object.ts"
import type { Operation, Store } from "../../port/store.ts"
import { host, nextKey, previousKey, ringKey, stateKey } from "./place.ts"
import { decodeRing, decodeState, encodeRing, encodeState, newRing, type Ring, type SealedState } from "./ring.ts"
import { idOf, isSameId, seal, type SealingKey, unseal } from "./seal.ts"
import { masterFrom, masterOf } from "./source.ts"
import { apply, ask, run, type Steps } from "./step.ts"
import { isOwnRecord } from "./table.ts"

/** A tenant's keys with the version of their row. */
export interface Held {
  readonly ring: Ring
  readonly version: number
}

/** Keys and values, under whose name what the store itself keeps is sealed. */
export const table = "key_value"
/** Tenants whose keys are remembered. */
const heldMax = 10_000
export const attemptsMax = 64

export const hexOf = (id: Uint8Array): string => Buffer.from(id).toString("hex")
export const nameOf = (tenant: Uint8Array): string => Buffer.from(tenant.buffer, tenant.byteOffset, tenant.length).toString("latin1")
export const isConflict = (error: unknown): boolean => error instanceof StorageError && error.reason._tag === "Conflict"

export class Keyring {
  /** The store below, which sees sealed values only. */
  readonly store: Store
  /** Where the objects of the store's references are, which are sealed by the same keys; absent: no key of a tenant that has references is given up. */
  readonly objects: ObjectStore | undefined
  /** The first seals; others are there while a master key is exchanged. */
  #masters: readonly [SealingKey, ...ReadonlyArray<SealingKey>]
  #state: SealedState = { plainUpTo: undefined }
  readonly #held = new Map<string, Held>()
  /** Errors that say that a master key is not known here. */
  readonly #outdated = new WeakSet<object>()

  constructor(store: Store, master: SealingKey, objects?: ObjectStore) {
    this.store = store
    this.objects = objects
    this.#masters = [master]
  }

  get master(): SealingKey {
    return this.#masters[0]
  }

  get state(): SealedState {
    return this.#state
  }

  #broken({ key }: Place): StorageError {
    return new StorageError("SealBroken", { store: this.store.name, table, key: textOf(key) })
  }

  missing(tenant: Uint8Array, id: Uint8Array): StorageError {
    return new StorageError("KeyMissing", { store: this.store.name, tenant: textOf(tenant), id: hexOf(id) })
  }

  /** Did a read fail because the store has a newer master key? Then nothing is wrong with what was read. */
  isOutdated(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#outdated.has(error)
  }

  /** A record as it is put in its place, under the newest master key. */
  wrap(place: Place, record: Uint8Array): Uint8Array {
    return seal(this.master, table, place, record)
  }

  ringOperation(tenant: Uint8Array, ring: Ring): Operation {
    const place = { tenant, key: ringKey }
    return { op: "set", ...place, value: this.wrap(place, encodeRing(ring)) }
  }

  /** What every batch depends on that seals by keys of this version. */
  guard(tenant: Uint8Array, version: number | undefined): Extract<Operation, { readonly op: "require" }> {
    return { op: "require", tenant, key: ringKey, version }
  }

  /** Opens what `wrap` made, here or in another process, whichever master key that one had. */
  *#unwrap(place: Place, sealed: Uint8Array): Steps<Uint8Array> {
    const id = idOf(sealed)
    if (id === undefined) throw this.#broken(place)
    let master = this.#masters.find((each) => isSameId(each.id, id))
    if (master === undefined) {
      yield* this.#learn()
      master = this.#masters.find((each) => isSameId(each.id, id))
    }
    if (master === undefined) {
      const missing = this.missing(place.tenant, id)
      this.#outdated.add(missing)
      throw missing
    }
    const record = unseal(master, table, place, sealed)
    if (record === undefined) throw this.#broken(place)
    return record
  }

  /** While a master key is exchanged, whoever has either of the two has both. */
  *#learn(): Steps<void> {
    for (const key of [nextKey, previousKey]) {
      const place = { tenant: host, key }
      const found = yield* ask({ ask: "get", ...place })
      const id = found === undefined ? undefined : idOf(found.value)
      const master = id === undefined ? undefined : this.#masters.find((each) => isSameId(each.id, id))
      if (found === undefined || master === undefined) continue
      const secret = unseal(master, table, place, found.value)
      if (secret === undefined) throw this.#broken(place)
      const other = masterFrom(secret)
      const known = this.#masters.filter((each) => !isSameId(each.id, other.id))
      this.#masters = key === nextKey ? [other, ...known] : [this.master, ...known.filter((each) => each !== this.master), other]
    }
  }

  /** Seals by this master key from now on, and opens what any known one sealed. */
  use(master: SealingKey): void {
    this.#masters = [master, ...this.#masters.filter((each) => !isSameId(each.id, master.id))]
  }

  /** Forgets all master keys but the one that seals. */
  settle(): void {
    this.#masters = [this.master]
  }

  /**
   * Reads what the store says of itself; says it first where nothing does.
   * @throws StorageError `WrongKey`, `SealBroken`
   */
  *open(isMade: boolean): Steps<void> {
    const place = { tenant: host, key: stateKey }
    for (let attempt = 0; ; attempt++) {
      const found = yield* ask({ ask: "get", ...place })
      if (found !== undefined) {
        const id = idOf(found.value)
        if (id === undefined) throw this.#broken(place)
        if (!isSameId(id, this.master.id)) {
          yield* this.#learn()
          if (!this.#masters.some((each) => isSameId(each.id, id)))
            throw new StorageError("WrongKey", { store: this.store.name, expected: hexOf(id), given: hexOf(this.master.id) })
        } else yield* this.#learn()
        const state = decodeState(yield* this.#unwrap(place, found.value))
        if (state === undefined) throw this.#broken(place)
        this.#state = state
        return
      }
      const tenants = yield* ask({ ask: "tenants", after: undefined, countMax: 1 })
      const revision = yield* ask({ ask: "revision", tenant: host })
      this.#state = { plainUpTo: tenants.length === 0 ? undefined : revision }
      if (!isMade) return
      try {
        yield* apply([
          { op: "require", ...place, version: undefined },
          { op: "set", ...place, value: this.wrap(place, encodeState(this.#state)) },
        ])
        return
      } catch (error) {
        // Another process has sealed the store meanwhile.
        if (!isConflict(error) || attempt >= attemptsMax) throw error
      }
    }
  }

  /** All tenants are sealed from here on: what is not, is refused. */
  *close(): Steps<void> {
    const place = { tenant: host, key: stateKey }
    const found = yield* ask({ ask: "get", ...place })
    if (found === undefined || this.#state.plainUpTo === undefined) return
    yield* apply([
      { op: "require", ...place, version: found.version },
      { op: "set", ...place, value: this.wrap(place, encodeState({ plainUpTo: undefined })) },
    ])
    this.#state = { plainUpTo: undefined }
  }

  /** As this process knows them. */
  cached(tenant: Uint8Array): Held | undefined {
    return this.#held.get(nameOf(tenant))
  }

  forget(tenant: Uint8Array): void {
    this.#held.delete(nameOf(tenant))
  }

  remember(tenant: Uint8Array, held: Held): void {
    // Tenants are few next to values; a host with very many reads their keys again.
    if (this.#held.size >= heldMax) this.#held.clear()
    this.#held.set(nameOf(tenant), held)
  }

  /** As the store has them; undefined for a tenant without. */
  *read(tenant: Uint8Array): Steps<Held | undefined> {
    const place = { tenant, key: ringKey }
    const found = yield* ask({ ask: "get", ...place })
    if (found === undefined) {
      this.forget(tenant)
      return undefined
    }
    const ring = decodeRing(yield* this.#unwrap(place, found.value))
    if (ring === undefined) throw this.#broken(place)
    const held = { ring, version: found.version }
    this.remember(tenant, held)
    return held
  }

  *held(tenant: Uint8Array): Steps<Held | undefined> {
    return this.cached(tenant) ?? (yield* this.read(tenant))
  }

  /** Before keys are made: are they wrapped by the store's newest master key? */
  *current(): Steps<void> {
    const found = yield* ask({ ask: "get", tenant: host, key: stateKey })
    const id = found === undefined ? undefined : idOf(found.value)
    if (id === undefined || isSameId(id, this.master.id)) return
    yield* this.#learn()
    if (!isSameId(id, this.master.id)) throw this.missing(host, id)
  }

  /** Keys for a tenant that has none: what it has already was written before, or it has nothing. */
  *draft(tenant: Uint8Array): Steps<Ring> {
    yield* this.current()
    if (this.#state.plainUpTo !== undefined) {
      for (const name of yield* ask({ ask: "tables" })) {
        const { records, revision } = yield* ask({ ask: "export", table: name, tenant, after: undefined, countMax: 1 })
        if (records.some((record) => !isOwnRecord(name, record))) return newRing(revision)
      }
    }
    return newRing(undefined)
  }

  /** A tenant's keys, made when it has none; another process may have made them meanwhile. */
  *ensured(tenant: Uint8Array): Steps<Held> {
    const held = yield* this.held(tenant)
    if (held !== undefined) return held
    try {
      return yield* this.write(tenant, undefined, yield* this.draft(tenant))
    } catch (error) {
      const made = isConflict(error) ? yield* this.read(tenant) : undefined
      if (made === undefined) throw error
      return made
    }
  }

  /** Writes a tenant's keys if they are still those of this version; answers what is there now. */
  *write(tenant: Uint8Array, version: number | undefined, ring: Ring): Steps<Held> {
    const [, written] = yield* apply([{ op: "require", tenant, key: ringKey, version }, this.ringOperation(tenant, ring)])
    const held = { ring, version: written as number }
    this.remember(tenant, held)
    return held
  }
}

export interface KeyringOptions {
  /** Say in a store that is not sealed yet that it is from now on. Default true. */
  readonly isMade?: boolean
  /** Where the store's objects are: without it, a tenant with references keeps its old keys. */
  readonly objects?: ObjectStore | undefined
}

/**
 * The keys of a store by the master key that `source` stands for: `file:PATH` or `env:NAME`. A store that is not sealed is from then on, and
 * no process may go on writing to it without the key.
 * @throws StorageError `KeySource`, `WrongKey`, `SealBroken`, and those of the store
 */
export async function openKeyring(source: string, store: Store, { isMade = true, objects }: KeyringOptions = {}): Promise<Keyring> {
  const keyring = new Keyring(store, masterOf(source), objects)
  await run(store, keyring.open(isMade))
  return keyring
}
