/** Answers of a store with what is sealed in them opened, and what is the sealed store's own left out. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { Answers, Question } from "../../port/store.ts"
import { type Keyring, table as keyValue } from "./keyring.ts"
import { host, isOwn, ownTexts } from "./place.ts"
import type { Ring } from "./ring.ts"
import { idOf, isSameId, unseal } from "./seal.ts"
import { ask, type Steps } from "./step.ts"
import { isOwnRecord, sealedField } from "./table.ts"

/** How often an answer is asked for again whose keys were given up between its reading and theirs. */
const rereadsMax = 4
const utf8 = new TextEncoder()

const broken = (keyring: Keyring, table: string, { key }: Place): StorageError =>
  new StorageError("SealBroken", { store: keyring.store.name, table, key: textOf(key) })

/**
 * A value by the keys at hand; undefined when none of them sealed it.
 * @throws StorageError `SealBroken`
 */
export function openedBy(keyring: Keyring, ring: Ring, table: string, place: Place, bytes: Uint8Array): Uint8Array | undefined {
  const id = idOf(bytes)
  if (id === undefined) return undefined
  for (const key of ring.keys) {
    if (!isSameId(key.id, id)) continue
    const plain = unseal(key, table, place, bytes)
    if (plain === undefined) throw broken(keyring, table, place)
    return plain
  }
  return undefined
}

/**
 * A value, opened; one from before the store was sealed as it is. No such value can name a key of the tenant: ids are drawn
 * later, and told to nobody. Where versions are known, they must agree.
 * @throws StorageError `SealBroken`, `KeyMissing`
 */
export function* opened(keyring: Keyring, table: string, place: Place, bytes: Uint8Array, version?: number): Steps<Uint8Array> {
  const id = idOf(bytes)
  const wasPlain = (plainUpTo: number | undefined): boolean => plainUpTo !== undefined && (version === undefined || version <= plainUpTo)
  let held = yield* keyring.held(place.tenant)
  const plain = held === undefined ? undefined : openedBy(keyring, held.ring, table, place, bytes)
  if (plain !== undefined) return plain
  const isPlain = (): boolean => wasPlain(held === undefined ? keyring.state.plainUpTo : held.ring.plainUpTo)
  if (id === undefined && isPlain()) return bytes
  held = yield* keyring.read(place.tenant)
  const now = held === undefined ? undefined : openedBy(keyring, held.ring, table, place, bytes)
  if (now !== undefined) return now
  if (isPlain()) return bytes
  throw id === undefined ? broken(keyring, table, place) : keyring.missing(place.tenant, id)
}

/** The same question until its answer's keys are there: one that is read while its tenant is resealed may name keys that are gone since. */
export function* asked<Q extends Question>(keyring: Keyring, question: Q): Steps<Answers[Q["ask"]]> {
  for (let attempt = 0; ; attempt++) {
    const answer = yield* ask(question)
    try {
      return (yield* openedAnswer(keyring, question, answer)) as Answers[Q["ask"]]
    } catch (error) {
      const isMissing = error instanceof StorageError && error.reason._tag === "KeyMissing"
      if (!isMissing || attempt >= rereadsMax) throw error
    }
  }
}

function* openedAnswer(keyring: Keyring, question: Question, answer: unknown): Steps<unknown> {
  switch (question.ask) {
    case "get": {
      const found = answer as Answers["get"]
      return found === undefined || isOwn(question.key) ? found : { ...found, value: yield* opened(keyring, keyValue, question, found.value, found.version) }
    }
    case "entries": {
      const { entries, ...page } = answer as Answers["entries"]
      const open: Array<(typeof entries)[number]> = []
      for (const entry of entries) {
        const { key, value, version } = entry
        if (!isOwn(key)) open.push({ ...entry, value: yield* opened(keyring, keyValue, { tenant: question.tenant, key }, value, version) })
      }
      return { ...page, entries: open }
    }
    case "list":
      return yield* listed(question, answer as Answers["list"])
    case "changes": {
      const { changes, revision } = answer as Answers["changes"]
      return { changes: changes.filter(({ key }) => !isOwn(key)), revision }
    }
    case "events": {
      const { events, lost } = answer as Answers["events"]
      const open: Array<(typeof events)[number]> = []
      for (const event of events) open.push({ ...event, payload: yield* opened(keyring, "event", question, event.payload) })
      return { events: open, lost }
    }
    case "log": {
      const { entries, ...page } = answer as Answers["log"]
      const open: Array<(typeof entries)[number]> = []
      for (const entry of entries) open.push({ ...entry, payload: yield* opened(keyring, "log", question, entry.payload) })
      return { ...page, entries: open }
    }
    case "export": {
      const { records, ...page } = answer as Answers["export"]
      const open: Array<(typeof records)[number]> = []
      for (const record of records) {
        if (isOwnRecord(question.table, record)) continue
        const field = sealedField(question.table, question.tenant, record)
        const version = record.fields["version"]
        open.push(
          field === undefined
            ? record
            : field.with(yield* opened(keyring, question.table, field.place, field.bytes, typeof version === "bigint" ? Number(version) : undefined)),
        )
      }
      return { ...page, records: open }
    }
    case "tenants":
      return yield* tenants(question, answer as Answers["tenants"])
    default:
      return answer
  }
}

/** Own keys come last, as text without their first byte: others may look like them, and come before them. */
function* listed({ tenant }: Place, keys: Answers["list"]): Steps<Answers["list"]> {
  let from = keys.length
  while (from > 0 && ownTexts.has(keys[from - 1] as string)) from--
  const kept = keys.slice(0, from)
  for (const key of new Set(keys.slice(from))) if (yield* ask({ ask: "has", tenant, key: utf8.encode(key) })) kept.push(key)
  return kept
}

/** The host's tenant is none that has anything, if it has only what says that the store is sealed. */
function* tenants(question: Extract<Question, { readonly ask: "tenants" }>, found: Answers["tenants"]): Steps<Answers["tenants"]> {
  if (found[0]?.length !== 0) return found
  for (const table of yield* ask({ ask: "tables" })) {
    const { records } = yield* ask({ ask: "export", table, tenant: host, after: undefined, countMax: 1 })
    if (records.some((record) => !isOwnRecord(table, record))) return found
  }
  return yield* ask({ ...question, after: host })
}
