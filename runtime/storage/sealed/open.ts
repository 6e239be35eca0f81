/** Answers of a store with what is sealed in them opened, and what is the sealed store's own left out. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Answers, Question } from "../../port/store.ts"
import { openedJob, openedQueueField, openedSchedules, queueFields, queueTable, withFields } from "./job.ts"
import { type Keyring, table as keyValue } from "./keyring.ts"
import { host, isOwn, ownMax, ownTexts } from "./place.ts"
import { sealBytes } from "./seal.ts"
import { ask, type Steps } from "./step.ts"
import { isOwnRecord, sealedField } from "./table.ts"
import { opened } from "./value.ts"

/** How often an answer is asked for again whose keys were given up between its reading and theirs. */
const rereadsMax = 4
const utf8 = new TextEncoder()

/** The same question until its answer's keys are there: one that is read while its tenant is resealed may name keys that are gone since. */
export function* asked<Q extends Question>(keyring: Keyring, question: Q): Steps<Answers[Q["ask"]]> {
  for (let attempt = 0; ; attempt++) {
    const answer = yield* ask(widened(question))
    try {
      return (yield* openedAnswer(keyring, question, answer)) as Answers[Q["ask"]]
    } catch (error) {
      const isMissing = error instanceof StorageError && error.reason._tag === "KeyMissing"
      if (!isMissing || attempt >= rereadsMax) throw error
    }
  }
}

/** Bytes are counted as they are asked for, opened: so many sealed ones may have to be read. */
function widened(question: Question): Question {
  if (question.ask !== "entries" && question.ask !== "log") return question
  return { ...question, bytesMax: question.bytesMax + sealBytes * Math.max(0, question.countMax) }
}

/** How many of these go into so many bytes; the first one always does. */
function fitting(sizes: ReadonlyArray<number>, bytesMax: number): number {
  let bytes = 0
  const over = sizes.findIndex((size, i) => {
    bytes += size
    return i > 0 && !(bytes <= bytesMax)
  })
  return over < 0 ? sizes.length : over
}

function* openedAnswer(keyring: Keyring, question: Question, answer: unknown): Steps<unknown> {
  switch (question.ask) {
    case "get": {
      const found = answer as Answers["get"]
      return found === undefined || isOwn(question.key) ? found : { ...found, value: yield* opened(keyring, keyValue, question, found.value, found.version) }
    }
    case "entries":
      return yield* entries(keyring, question, answer as Answers["entries"])
    case "list":
      return yield* listed(question, answer as Answers["list"])
    case "changes":
      return yield* changed(question, answer as Answers["changes"])
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
      return {
        ...page,
        entries: open.slice(
          0,
          fitting(
            open.map(({ payload }) => payload.length),
            question.bytesMax,
          ),
        ),
      }
    }
    case "job": {
      const job = answer as Answers["job"]
      return job === undefined ? undefined : yield* openedJob(keyring, question, job)
    }
    case "dead": {
      const jobs: Array<Answers["dead"][number]> = []
      for (const job of answer as Answers["dead"]) jobs.push(yield* openedJob(keyring, question, job))
      return jobs
    }
    case "schedules":
      return yield* openedSchedules(keyring, question, answer as Answers["schedules"])
    case "export":
      return yield* exported(keyring, question, answer as Answers["export"])
    case "tenants":
      return yield* tenants(question, answer as Answers["tenants"])
    default:
      return answer
  }
}

/** A page that has nothing but the store's own would look like the last one: then the next is asked for. */
function* entries(keyring: Keyring, question: Extract<Question, { readonly ask: "entries" }>, page: Answers["entries"]): Steps<Answers["entries"]> {
  const { tenant } = question
  const open: Array<Answers["entries"]["entries"][number]> = []
  for (const entry of page.entries) {
    const { key, value, version } = entry
    if (!isOwn(key)) open.push({ ...entry, value: yield* opened(keyring, keyValue, { tenant, key }, value, version) })
  }
  const last = page.entries.at(-1)?.key
  if (open.length === 0 && !page.isComplete && last !== undefined) {
    const next = { ...question, beyond: last }
    return { ...(yield* entries(keyring, next, (yield* ask(widened(next))) as Answers["entries"])), revision: page.revision }
  }
  const count = fitting(
    open.map(({ key, value }) => key.length + value.length),
    question.bytesMax,
  )
  return { ...page, entries: open.slice(0, count), isComplete: page.isComplete && count === open.length }
}

function* changed(question: Extract<Question, { readonly ask: "changes" }>, page: Answers["changes"]): Steps<Answers["changes"]> {
  const changes = page.changes.filter(({ key }) => !isOwn(key))
  if (changes.length > 0 || page.changes.length === 0) return { changes, revision: page.revision }
  const next = { ...question, after: page.revision }
  return yield* changed(next, yield* ask(next))
}

function* exported(keyring: Keyring, question: Extract<Question, { readonly ask: "export" }>, page: Answers["export"]): Steps<Answers["export"]> {
  const { table, tenant } = question
  const open: Array<Answers["export"]["records"][number]> = []
  for (const record of page.records) {
    if (isOwnRecord(table, record)) continue
    if (table === queueTable) {
      const fields: Array<Parameters<typeof withFields>[1][number]> = []
      for (const field of queueFields(tenant, record)) fields.push([field, yield* openedQueueField(keyring, field)])
      open.push(withFields(record, fields))
      continue
    }
    const field = sealedField(table, tenant, record)
    const { version } = record.fields
    open.push(
      field === undefined
        ? record
        : field.with(yield* opened(keyring, table, field.place, field.bytes, typeof version === "bigint" ? Number(version) : undefined)),
    )
  }
  const last = page.records.at(-1)?.order
  if (open.length > 0 || page.isComplete || last === undefined) return { ...page, records: open }
  const next = { ...question, after: last }
  return yield* exported(keyring, next, yield* ask(next))
}

/** Keys are answered as text, in which an own key is without its first byte: others may look like it, and must stay. */
function* listed(question: Extract<Question, { readonly ask: "list" }>, keys: Answers["list"]): Steps<Answers["list"]> {
  if (!keys.some((key) => ownTexts.has(key))) return keys
  // Asked for with as many more as may be left out: fewer than were asked for would mean that there are no more.
  const more = yield* ask({ ...question, countMax: question.countMax + ownMax })
  const own = new Set<string>()
  for (const key of more) if (ownTexts.has(key) && !(yield* ask({ ask: "has", tenant: question.tenant, key: utf8.encode(key) }))) own.add(key)
  return more.filter((key, i) => !own.has(key) && !(ownTexts.has(key) && more.indexOf(key) < i)).slice(0, question.countMax)
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
