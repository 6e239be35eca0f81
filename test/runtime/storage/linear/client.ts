/**
 * Clients that fight over few keys of a store, and say what they asked and what they were answered. A backend is anything
 * with the `Store` interface: `backends` opens one by its address, so that a process of its own can.
 */
import { StorageError } from "../../../../schemas/error/storage.ts"
import { placeOf } from "../../../../runtime/port/place.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { randomFrom } from "../random.ts"
import type { Action, Answer, Call } from "./checker.ts"

/** What the clients use of a store. */
export type Register = Pick<Store, "apply" | "ask">

/** By the scheme of an address: one line for each backend that is to be tried. */
const backends: Readonly<Record<string, (rest: string) => Promise<Store>>> = {
  sqlite: (path) => SqliteStore.open(path),
}

export async function openBackend(address: string): Promise<Store> {
  const at = address.indexOf(":")
  const open = backends[address.slice(0, at)]
  if (open === undefined) throw new Error(`Cannot open "${address}": the backends are ${Object.keys(backends).join(", ")}`)
  return open(address.slice(at + 1))
}

/** A start or an end of a call, as it is written down. `id` joins them. */
export type Event =
  | { readonly id: string; readonly client: string; readonly key: string; readonly action: Action; readonly atNs: number }
  | { readonly id: string; readonly answer: Answer; readonly atNs: number }
  /** Refused with nothing kept: as if it had never been asked. */
  | { readonly id: string; readonly isVoid: true }

export interface Load {
  /** No two loads on one store have the same name: values are made of it. */
  readonly name: string
  readonly seed: number
  readonly clients: number
  /** Of all clients together. */
  readonly calls: number
  readonly keys: number
  say(event: Event): void
}

/** One clock for all processes of a machine. */
const nowNs = (): number => Number(process.hrtime.bigint())

const nameOf = (key: number): string => `register-${key}`

async function run(register: Register, key: string, action: Action): Promise<Answer> {
  const place = placeOf(`ada/${key}`)
  switch (action.op) {
    case "get": {
      const found = await register.ask({ ask: "get", ...place })
      return found === undefined ? { op: "get" } : { op: "get", value: Buffer.from(found.value).toString(), version: found.version }
    }
    case "set":
      return { op: "set", version: (await register.apply([{ op: "set", ...place, value: Buffer.from(action.value) }]))[0] }
    case "swap": {
      const [version] = await register.apply([{ op: "swap", ...place, version: action.version, value: Buffer.from(action.value) }])
      return version === undefined ? { op: "swap" } : { op: "swap", version }
    }
    case "delete":
      return { op: "delete", existed: (await register.apply([{ op: "delete", ...place }]))[0] }
  }
}

/** Refusals after which nothing was kept, by what `Store.apply` promises. */
const voids = new Set(["Busy", "Failed", "Overloaded"])

/** Lets the clients work until all calls are made. */
export async function work(register: Register, { name, seed, clients, calls, keys, say }: Load): Promise<void> {
  let next = 0
  const client = async (index: number): Promise<void> => {
    const random = randomFrom(seed + Math.imul(index + 1, 7_919))
    const who = `${name}.${index}`
    /** What this client saw last of each key: what it swaps by, fresh or stale. */
    const seen = new Map<string, number | undefined>()
    while (next < calls) {
      const id = `${name}-${next++}`
      const key = nameOf(random(keys))
      const what = random(100)
      const value = id
      const action: Action =
        what < 35 ? { op: "get" } : what < 50 ? { op: "set", value } : what < 90 ? { op: "swap", version: seen.get(key), value } : { op: "delete" }
      say({ id, client: who, key, action, atNs: nowNs() })
      try {
        const answer = await run(register, key, action)
        say({ id, answer, atNs: nowNs() })
        if (answer.op === "get") seen.set(key, answer.version)
        else if (answer.op !== "delete" && answer.version !== undefined) seen.set(key, answer.version)
        else if (answer.op === "delete") seen.set(key, undefined)
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        if (voids.has(error.reason._tag)) say({ id, isVoid: true })
        // Whether it took effect is not known; no end is said, and this client asks nothing more.
        else return
      }
      // Others' turns: an answer at once would let one client make all calls.
      if (action.op === "get" || random(4) === 0) await new Promise((resume) => setImmediate(resume))
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)))
}

/** Reads every key once. */
export async function readAll(register: Register, keys: number, say: Load["say"]): Promise<void> {
  for (let index = 0; index < keys; index++) {
    const [id, key, action] = [`end-${index}`, nameOf(index), { op: "get" } as const]
    say({ id, client: "end", key, action, atNs: nowNs() })
    say({ id, answer: await run(register, key, action), atNs: nowNs() })
  }
}

/** Calls from what was said, in any order. */
export function callsOf(events: ReadonlyArray<Event>): ReadonlyArray<Call> {
  const calls = new Map<string, Call>()
  for (const event of events) if ("action" in event) calls.set(event.id, { client: event.client, key: event.key, action: event.action, startNs: event.atNs })
  for (const event of events) {
    if ("isVoid" in event) calls.delete(event.id)
    else if ("answer" in event) {
      const call = calls.get(event.id)
      if (call === undefined) throw new Error(`Cannot read the history: "${event.id}" ends and never began`)
      calls.set(event.id, { ...call, end: { atNs: event.atNs, answer: event.answer } })
    }
  }
  return [...calls.values()]
}
