/** `stele:event/bus` (`schemas/wit/stele/event.wit`): publish to topics, read topics from a place. */
import { func, list, primitive, record, result, variant } from "../../schemas/wit/model.ts"
import { type Awaitable, type PublishedEvent, tenantKey } from "../port/mod.ts"
import { isPortLimit } from "../port/port.ts"
import type { CallContext, Capability } from "./capability.ts"
import { actionForm, isWithin } from "./scope.ts"
import { after, attempt, err, hostInterface, ok, type Result, serve } from "./serve.ts"

/** Events and payload bytes one poll returns at most; the first event always comes. */
export const pollEventsMax = 1_000
export const pollBytesMax = 1 << 20

type BusFailure = { readonly tag: "access-denied" } | { readonly tag: "too-large"; readonly val: string }

function publish(call: CallContext, topic: string, payload: Uint8Array): Awaitable<Result<bigint, BusFailure>> {
  const grant = call.grants.match("event:publish", topic)
  if (grant === undefined) {
    call.denied(`event:publish:${topic}`)
    return err({ tag: "access-denied" })
  }
  call.used(grant, payload.length)
  return attempt<bigint, Result<bigint, BusFailure>>(
    () => call.ports.event.publish(tenantKey(call.tenant, topic), payload),
    ok,
    (error) => {
      if (isPortLimit(error)) return err({ tag: "too-large", val: error.message })
      throw error
    },
  )
}

interface Batch {
  readonly events: ReadonlyArray<PublishedEvent>
  readonly next: bigint
  readonly lost: bigint
}

function poll(call: CallContext, topic: string, beyond: bigint, countMax: number): Awaitable<Result<Batch, BusFailure>> {
  const grant = call.grants.match("event:subscribe", topic)
  if (grant === undefined) {
    call.denied(`event:subscribe:${topic}`)
    return err({ tag: "access-denied" })
  }
  return after(call.ports.event.read(tenantKey(call.tenant, topic), beyond, Math.min(countMax, pollEventsMax)), (found) => {
    const events: Array<PublishedEvent> = []
    let bytes = 0
    for (const event of found.events) {
      if (events.length > 0 && bytes + event.payload.length > pollBytesMax) break
      bytes += event.payload.length
      events.push(event)
    }
    call.used(grant, bytes)
    return ok({ events, next: events.at(-1)?.sequence ?? beyond + found.lost, lost: found.lost })
  })
}

const { string, u8, u32, u64 } = primitive
const error = variant({ "access-denied": undefined, "too-large": string })
const event = record({ sequence: u64, payload: list(u8) })
const batch = record({ events: list(event), next: u64, lost: u64 })

export const events: Capability = {
  name: "event",
  risk: "The plugin can send messages to, or read messages from, the topics named, within its tenant.",
  mode: "either",
  forms: ["event:publish:TOPIC", "event:subscribe:TOPIC"],
  isInert: false,
  parse: actionForm("event", ["publish", "subscribe"]),
  subset: isWithin,
  interfaces: [
    hostInterface("stele:event/bus", "0.1.0", {
      types: { error, event, batch },
      functions: {
        publish: serve(func({ topic: string, payload: list(u8) }, result(u64, error)), publish),
        poll: serve(func({ topic: string, after: u64, "count-max": u32 }, result(batch, error)), poll),
      },
    }),
  ],
  needs: () => "event:subscribe:*",
  heads: () => ["event:publish", "event:subscribe"],
  ports: ["event"],
}
