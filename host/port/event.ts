import { type Awaitable, checkLimit, type Immediate, limitsFrom, type Port, tenantOf, utf8Length } from "./port.ts"

export interface PublishedEvent {
  /** 1, 2, 3 … within its topic, without gaps. */
  readonly sequence: bigint
  readonly payload: Uint8Array
}

export interface EventBatch {
  readonly events: ReadonlyArray<PublishedEvent>
  /** Events between `after` and the first one returned that are gone: dropped for room. */
  readonly lost: bigint
}

/**
 * Topics (`tenantKey`) as logs: publishing appends, reading never removes, so a plugin that starts afresh for each call
 * keeps its place with one number. A full topic drops its oldest event, and readers are told how many they missed.
 */
export interface EventPort extends Port {
  /** Appends and returns the event's sequence number. Throws `CapabilityError` `PortLimit`. */
  publish(topic: string, payload: Uint8Array): Awaitable<bigint>
  /** Up to `countMax` events with a sequence number greater than `after`, oldest first. */
  read(topic: string, after: bigint, countMax: number): Awaitable<EventBatch>
}

export const eventLimits = {
  /** Bytes of one topic's UTF-8 form, tenant included. */
  topicBytesMax: 1_024,
  /** Bytes of one event. */
  payloadBytesMax: 256 << 10,
  /** Topics of one tenant. */
  tenantTopicsMax: 1_000,
  /** Events kept in one topic. */
  topicEventsMax: 1_000,
  /** Bytes kept in one topic. */
  topicBytesKeptMax: 8 << 20,
  /** Bytes kept in all topics of all tenants; above it nothing is published until `drop` makes room. */
  totalBytesMax: 256 << 20,
}
export type EventLimits = typeof eventLimits

interface Topic {
  readonly payloads: Array<Uint8Array>
  /** Sequence number of `payloads[0]`. */
  first: bigint
  bytes: number
}

/** Topics in memory, lost with the process. */
export function memoryEvent(options: Partial<EventLimits> = {}): Immediate<EventPort> & {
  readonly limits: EventLimits
  /** Forgets a topic and its events; its numbers start again. True when it existed. */
  drop(topic: string): boolean
} {
  const limits = limitsFrom("event", eventLimits, options)
  const topics = new Map<string, Topic>()
  const counts = new Map<string, number>()
  let totalBytes = 0
  return {
    limits,
    publish(name, payload) {
      checkLimit("event", "topicBytesMax", "bytes", limits.topicBytesMax, utf8Length(name))
      checkLimit("event", "payloadBytesMax", "bytes", Math.min(limits.payloadBytesMax, limits.topicBytesKeptMax), payload.length)
      const tenant = tenantOf(name)
      let topic = topics.get(name)
      const count = counts.get(tenant) ?? 0
      if (topic === undefined) checkLimit("event", "tenantTopicsMax", "topics", limits.tenantTopicsMax, count + 1)
      checkLimit("event", "totalBytesMax", "bytes", limits.totalBytesMax, totalBytes + payload.length)
      if (topic === undefined) {
        topic = { payloads: [], first: 1n, bytes: 0 }
        topics.set(name, topic)
        counts.set(tenant, count + 1)
      }
      topic.payloads.push(Uint8Array.from(payload))
      topic.bytes += payload.length
      totalBytes += payload.length
      while (topic.payloads.length > limits.topicEventsMax || topic.bytes > limits.topicBytesKeptMax) {
        const oldest = (topic.payloads.shift() as Uint8Array).length
        topic.first++
        topic.bytes -= oldest
        totalBytes -= oldest
      }
      return topic.first + BigInt(topic.payloads.length) - 1n
    },
    read(name, after, countMax) {
      const topic = topics.get(name)
      if (topic === undefined) return { events: [], lost: 0n }
      const lost = after + 1n < topic.first ? topic.first - after - 1n : 0n
      const skip = after + 1n - topic.first
      const start = skip <= 0n ? 0 : skip > BigInt(topic.payloads.length) ? topic.payloads.length : Number(skip)
      return {
        events: topic.payloads.slice(start, start + countMax).map((payload, i) => ({ sequence: topic.first + BigInt(start + i), payload: payload.slice() })),
        lost,
      }
    },
    drop(name) {
      const topic = topics.get(name)
      if (topic === undefined) return false
      topics.delete(name)
      totalBytes -= topic.bytes
      const tenant = tenantOf(name)
      const count = (counts.get(tenant) ?? 1) - 1
      if (count === 0) counts.delete(tenant)
      else counts.set(tenant, count)
      return true
    },
  }
}
