/** What a store does for the event port, as data. */
import type { EventBatch } from "../../host/port/event.ts"
import type { Place } from "./place.ts"

export type EventOperation = Place & ({ readonly op: "publish"; readonly payload: Uint8Array } | { readonly op: "drop" })

export interface EventResults {
  /** The event's sequence number. */
  readonly publish: bigint
  /** True when the topic existed. */
  readonly drop: boolean
}

/** Events of the topic with a number greater than `after`, oldest first. */
export type EventQuestion = Place & { readonly ask: "events"; readonly after: bigint; readonly countMax: number }

export interface EventAnswers {
  readonly events: EventBatch
}
