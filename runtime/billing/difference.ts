/** What changed from one price list to another, entry by entry, in words. Nothing that differs is left out. */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"

export interface Change {
  /** JSON pointer; in what was added into the second list, else into the first. */
  readonly path: string
  readonly what: "added" | "removed" | "changed"
  /** What it is of: `plan "professional", charge "executions", tier 2`. */
  readonly about: string
  /** What is meant in `about`: `price`; empty where it is that itself. */
  readonly field: string
  readonly before?: unknown
  readonly after?: unknown
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** How an entry of a list is told from its neighbours, and what it is called. */
const kinds: Readonly<Record<string, { readonly noun: string; readonly key?: string }>> = {
  meters: { noun: "meter", key: "id" },
  plans: { noun: "plan", key: "id" },
  charges: { noun: "charge", key: "id" },
  cases: { noun: "case", key: "value" },
  tiers: { noun: "tier" },
  modifiers: { noun: "modifier" },
}

const escaped = (step: string): string => step.replaceAll("~", "~0").replaceAll("/", "~1")

/** `price.price` is the price, and `price.amount` the amount. */
const fieldOf = (trail: ReadonlyArray<string>): string => (trail[0] === "price" && trail.length > 1 ? trail.slice(1) : trail).join(".")

interface Where {
  readonly path: string
  readonly about: ReadonlyArray<string>
  readonly trail: ReadonlyArray<string>
}

const within = ({ path, about, trail }: Where, step: string): Where => ({ path: `${path}/${escaped(step)}`, about, trail: [...trail, step] })
const entry = ({ path, about }: Where, list: string, step: string, name: string): Where => ({
  path: `${path}/${step}`,
  about: [...about, `${kinds[list]?.noun} ${name}`],
  trail: [],
})

function* differences(before: unknown, after: unknown, where: Where): Generator<Change> {
  const at = { path: where.path, about: where.about.join(", "), field: fieldOf(where.trail) }
  if (before === undefined) yield { ...at, what: "added", after }
  else if (after === undefined) yield { ...at, what: "removed", before }
  else if (isObject(before) && isObject(after)) {
    // A price of another model has other fields: that is one change and not five.
    if (before["model"] !== after["model"] || before["modifier"] !== after["modifier"]) return yield { ...at, what: "changed", before, after }
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const list = kinds[name]
      const [old, now] = [before[name], after[name]]
      if (list !== undefined && (Array.isArray(old) || Array.isArray(now)))
        yield* entries(name, (old as ReadonlyArray<Json>) ?? [], (now as ReadonlyArray<Json>) ?? [], within(where, name))
      else yield* differences(old, now, within(where, name))
    }
  } else if (JSON.stringify(before) !== JSON.stringify(after)) yield { ...at, what: "changed", before, after }
}

function* entries(list: string, before: ReadonlyArray<Json>, after: ReadonlyArray<Json>, where: Where): Generator<Change> {
  const key = kinds[list]?.key
  if (key === undefined) {
    for (let i = 0; i < Math.max(before.length, after.length); i++) yield* differences(before[i], after[i], entry(where, list, String(i), String(i + 1)))
    return
  }
  const idOf = (item: Json): string => String(item[key])
  const now = new Map(after.map((item, i) => [idOf(item), [item, i] as const]))
  for (const [i, item] of before.entries()) yield* differences(item, now.get(idOf(item))?.[0], entry(where, list, String(i), JSON.stringify(idOf(item))))
  const old = new Map(before.map((item, i) => [idOf(item), i] as const))
  for (const [id, [item, i]] of now) if (!old.has(id)) yield* differences(undefined, item, entry(where, list, String(i), JSON.stringify(id)))
  // The order of meters numbers them, and that of plans and charges is that of an invoice's lines.
  const kept = (items: ReadonlyArray<Json>, others: ReadonlyMap<string, unknown>): ReadonlyArray<string> => items.map(idOf).filter((id) => others.has(id))
  const [was, is] = [kept(before, now), kept(after, old)]
  if (was.join("\n") !== is.join("\n"))
    yield { path: where.path, about: where.about.join(", "), field: `order of ${list}`, what: "changed", before: was, after: is }
}

/** All that differs but `$schema`, in the order of the first list. */
export const changesOf = (before: Catalogue, after: Catalogue): ReadonlyArray<Change> => [
  ...differences(withoutSchema(before), withoutSchema(after), { path: "", about: [], trail: [] }),
]

const withoutSchema = (list: Catalogue): Json => Object.fromEntries(Object.entries(list).filter(([field]) => field !== "$schema"))

const isText = (value: unknown): value is string => typeof value === "string"

/** A value in few words: `10 for each, per 1000`; `tiers up to 10 at 1, all above at 0.5`. */
export function valueWords(value: unknown): string {
  if (value === null) return "no bound"
  if (Array.isArray(value)) return value.map(valueWords).join(", ")
  if (!isObject(value)) return isText(value) ? value : JSON.stringify(value)
  const { model, modifier, tiers, ...rest } = value
  const own = (fields: Json): string =>
    Object.entries(fields)
      .map(([field, inner]) => `${field} ${isObject(inner) || Array.isArray(inner) ? `(${valueWords(inner)})` : valueWords(inner)}`)
      .join(", ")
  const steps = Array.isArray(tiers)
    ? (tiers as ReadonlyArray<Json>).map((tier) => {
        const fields = Object.fromEntries(Object.entries(tier).filter(([field]) => field !== "upTo"))
        const bound = tier["upTo"] === null ? "all above" : isText(tier["upTo"]) ? `up to ${tier["upTo"]}` : `${valueWords(tier["count"])} blocks`
        return `${bound}: ${own(fields)}`
      })
    : []
  return [model, modifier, own(rest), ...steps].filter((part) => isText(part) && part !== "").join("; ")
}

/** One change as a sentence without its period. */
export function changeWords({ about, field, what, before, after }: Change): string {
  const subject = [about, field].filter((part) => part !== "").join(": ")
  if (what === "added") return `${subject} is added${isObject(after) && "id" in after ? "" : `: ${valueWords(after)}`}`
  if (what === "removed") return `${subject} is taken away${isObject(before) && "id" in before ? "" : `; it was ${valueWords(before)}`}`
  return `${subject} ${valueWords(before)} → ${valueWords(after)}`
}
