/**
 * The writes whose survival is judged: batch `n` of a seed is the same in the program that writes it and in the judge,
 * so a store is right when it holds exactly what the first `n` batches make, for some `n` that covers every acknowledgement.
 */
import type { EventOperation } from "../../../../runtime/port/event.ts"
import type { KeyValueOperation } from "../../../../runtime/port/key-value.ts"
import { randomFrom } from "../random.ts"

const keys = 24
const topics = 2
/** The key that every batch sets to its number. */
export const progress = "progress"

/** Ends in a counter out of its range: none of the batch may be kept. */
export const isRefused = (n: number): boolean => n % 13 === 6

/** A number, some text that depends on it, and no two alike. */
function valueOf(seed: number, n: number, bytes: number): Buffer {
  const random = randomFrom(seed ^ Math.imul(n + 1, 0x9e37_79b1))
  const value = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at++) value[at] = random(256)
  value.write(`${n}:`)
  return value
}

export function batchOf(seed: number, n: number, tenant: string): ReadonlyArray<KeyValueOperation | EventOperation> {
  const place = (name: string) => ({ tenant: Buffer.from(tenant), key: Buffer.from(name) })
  const random = randomFrom(seed + Math.imul(n, 2_654_435_761))
  const batch: Array<KeyValueOperation | EventOperation> = [{ op: "set", ...place(progress), value: Buffer.from(String(n)) }]
  for (let more = random(4); more > 0; more--) {
    const name = `key-${random(keys)}`
    const what = random(10)
    // Mostly one page; now and then several, so that a batch spans many frames of the log.
    const bytes = random(8) === 0 ? 3_000 + random(20_000) : 20 + random(400)
    if (what < 6) batch.push({ op: "set", ...place(name), value: valueOf(seed, n, bytes) })
    else if (what < 8) batch.push({ op: "delete", ...place(name) })
    else batch.push({ op: "publish", ...place(`topic-${random(topics)}`), payload: valueOf(seed, n, 20 + random(300)) })
  }
  batch.push({ op: "increment", ...place("count"), delta: 1n, min: 0n, max: isRefused(n) ? -1n : 1_000_000n })
  return batch
}

/** What a store holds of one tenant. */
export interface Content {
  readonly values: ReadonlyMap<string, Buffer>
  readonly events: ReadonlyMap<string, ReadonlyArray<Buffer>>
}

/** The contents after each of the first `count` batches; the last of them that was not refused is named by `progress`. */
export function contentsOf(seed: number, count: number): ReadonlyMap<number, Content> {
  const contents = new Map<number, Content>()
  const values = new Map<string, Buffer>()
  const events = new Map<string, ReadonlyArray<Buffer>>()
  contents.set(-1, { values: new Map(), events: new Map() })
  for (let n = 0; n < count; n++) {
    if (isRefused(n)) continue
    for (const operation of batchOf(seed, n, "")) {
      const name = Buffer.from(operation.key).toString()
      if (operation.op === "set") values.set(name, Buffer.from(operation.value))
      else if (operation.op === "delete") values.delete(name)
      else if (operation.op === "increment") values.set(name, Buffer.from(String(Number(values.get(name) ?? 0) + 1)))
      else if (operation.op === "publish") events.set(name, [...(events.get(name) ?? []), Buffer.from(operation.payload)])
    }
    contents.set(n, { values: new Map(values), events: new Map(events) })
  }
  return contents
}

export const topicNames: ReadonlyArray<string> = Array.from({ length: topics }, (_, i) => `topic-${i}`)
