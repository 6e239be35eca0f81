/** The ports that guests see, over any store. A guest waits in its call: what must reach the disk blocks its thread. */
import type { EventLimits, EventPort } from "../../host/port/event.ts"
import type { KeyValueLimits, KeyValuePort } from "../../host/port/key-value.ts"
import { compareUtf8, type Immediate } from "../../host/port/port.ts"
import { placeOf } from "../port/place.ts"
import type { Store } from "../port/store.ts"

/** Key-value data of guests in a store. */
export function guestKeyValue(store: Store): Immediate<KeyValuePort> & { readonly limits: KeyValueLimits } {
  return {
    limits: store.limits.keyValue,
    get: (key) => store.askSync({ ask: "get", ...placeOf(key) })?.value,
    getVersioned(key) {
      const found = store.askSync({ ask: "get", ...placeOf(key) })
      return found === undefined ? undefined : { value: found.value, version: found.version }
    },
    set: (key, value) => void store.applySync([{ op: "set", ...placeOf(key), value }]),
    delete: (key) => store.applySync([{ op: "delete", ...placeOf(key) }])[0],
    has: (key) => store.askSync({ ask: "has", ...placeOf(key) }),
    list(prefix, beyond, countMax) {
      const place = placeOf(prefix)
      const tenant = prefix.slice(0, prefix.indexOf("/") + 1)
      const isWithin = beyond?.startsWith(tenant) === true
      // A key of another tenant is before or after all of this one's.
      if (beyond !== undefined && !isWithin && compareUtf8(beyond, tenant) > 0) return []
      const from = isWithin ? placeOf(beyond).key : undefined
      return store.askSync({ ask: "list", ...place, beyond: from, countMax }).map((key) => tenant + key)
    },
    swap: (key, version, value) => store.applySync([{ op: "swap", ...placeOf(key), version, value }])[0] !== undefined,
    increment: (key, delta, min, max) => store.applySync([{ op: "increment", ...placeOf(key), delta, min, max }])[0],
  }
}

/** Events of guests in a store. */
export function guestEvent(store: Store): Immediate<EventPort> & {
  readonly limits: EventLimits
  /** Forgets a topic and its events; its numbers start again. True when it existed. */
  drop(topic: string): boolean
} {
  return {
    limits: store.limits.event,
    publish: (topic, payload) => store.applySync([{ op: "publish", ...placeOf(topic), payload }])[0],
    read: (topic, after, countMax) => store.askSync({ ask: "events", ...placeOf(topic), after, countMax }),
    drop: (topic) => store.applySync([{ op: "drop", ...placeOf(topic) }])[0],
  }
}
