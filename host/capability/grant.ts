/**
 * Grants: what a plugin may do, as data with a grammar and a subset relation, and the live set a loaded plugin holds.
 *
 *     log                              clock:wall   clock:monotonic[:fine]      random[:seeded[:SEED]]
 *     config:NAME    secret:NAME       kv:read|write:PREFIX   blob:read|write:PREFIX   event:publish|subscribe:TOPIC
 *     fs:read|write:DIR                http:METHOD|*:URL-PATTERN        call:NAME   call:INTERFACE#FUNCTION
 *     tcp:connect:HOST:PORT            tcp:listen:ADDRESS:PORT          udp:send:HOST:PORT   udp:bind:ADDRESS:PORT
 *     kernel:NAME
 *
 * A name may end in `*`. `read` never implies `write`, nor `write` `read`. Everything else is denied.
 */
import { CapabilityError } from "../../schemas/error/mod.ts"
import { capabilities } from "./mod.ts"
import { contains, covers, type Grant, grantCharsMax, headsOf, isWithin, meet, overlaps, refuse } from "./scope.ts"

export type { Grant, Scope } from "./scope.ts"

/** Names of the grammar that this version does not serve yet. */
const planned: ReadonlySet<string> = new Set(["gpu"])

const byName = new Map(capabilities.filter((c) => !c.isInert).map((c) => [c.name, c]))

/** Every form of the grammar, as written in help and errors. */
export const grantForms: ReadonlyArray<string> = [...byName.values()].flatMap((c) => c.forms)

// C0, DEL, C1, the bidi controls and line separators: text that could lie in a terminal or an audit log.
// oxlint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/

/**
 * Text → grant.
 * @throws CapabilityError `Grammar` when the text is not a grant, `NotBuilt` when it names a later version's capability.
 */
export function parseGrant(text: string): Grant {
  if (typeof text !== "string") refuse(String(text), "it is not a string")
  if (text.length > grantCharsMax) refuse(text, `it has ${text.length} characters; the most is ${grantCharsMax}`)
  if (!text.isWellFormed()) refuse(text.toWellFormed(), "it holds half of a surrogate pair")
  if (unprintable.test(text)) refuse(text, "it holds a control character")
  if (text.trim() !== text) refuse(text, "it starts or ends with a space")
  const [name, ...parts] = text.split(":") as [string, ...Array<string>]
  const capability = byName.get(name)
  if (capability !== undefined) return capability.parse(text, parts)
  if (planned.has(name)) throw new CapabilityError("NotBuilt", { grant: text, exists: grantForms })
  return refuse(text, name === "" ? "it is empty" : `there is no capability "${name}"; there are ${[...byName.keys()].join(", ")}`)
}

/** Grant → canonical text. */
export const printGrant = (grant: Grant): string => grant.text

const asGrant = (grant: Grant | string): Grant => (typeof grant === "string" ? parseGrant(grant) : grant)

/** Is everything `a` allows also allowed by `b`? Reflexive and transitive. */
export const isSubset = (a: Grant | string, b: Grant | string): boolean => isWithin(asGrant(a), asGrant(b))

/**
 * The authority common to two lists, for handing part of one's own grants to another plugin: each result is within one
 * of `grants` and within one of `by`, and nothing that both allow is lost. Without duplicates, in the order of `grants`.
 */
export function attenuate(grants: Iterable<Grant | string>, by: Iterable<Grant | string>): ReadonlyArray<Grant> {
  const limits = Array.from(by, asGrant)
  const kept: Array<Grant> = []
  for (const grant of Array.from(grants, asGrant))
    for (const limit of limits) {
      const text = meet(grant, limit)
      const common = text === undefined ? undefined : text === grant.text ? grant : text === limit.text ? limit : parseGrant(text)
      if (common === undefined || kept.some((k) => isWithin(common, k))) continue
      // A wider result replaces the narrower ones found before it.
      for (let i = kept.length; i-- > 0;) if (isWithin(kept[i] as Grant, common)) kept.splice(i, 1)
      kept.push(common)
    }
  return kept
}

/** A change of a live set, as the observer sees it. */
export interface GrantChange {
  readonly change: "granted" | "revoked"
  readonly grant: string
}

/** How often a grant was used or denied. */
export interface GrantUse {
  readonly grant: string
  readonly count: number
  /** Bytes moved under it, both directions. */
  readonly bytes: number
}

/** A snapshot for `describe()`. */
export interface GrantReport {
  /** In force, in the order given. */
  readonly granted: ReadonlyArray<string>
  /** Taken out of a wider grant that is still in force. */
  readonly revoked: ReadonlyArray<string>
  readonly used: ReadonlyArray<GrantUse>
  /** At most `deniedMax` different ones; the guest chooses the names in them. */
  readonly denied: ReadonlyArray<GrantUse>
  /** Denials of further names, counted together. */
  readonly deniedOther: number
}

/** Different denied grants kept by name for one plugin. */
export const deniedMax = 100

interface Rule {
  readonly isGrant: boolean
  readonly grant: Grant
}

/** The rules of one head: newest last; the newest rule that covers a name decides. */
interface Head {
  readonly rules: Array<Rule>
  /** Present while no revocation is among the rules: the common case, answered by one lookup. */
  fast: { readonly exact: ReadonlyMap<string, string>; readonly prefixes: ReadonlyArray<Grant> } | undefined
}

function index(rules: ReadonlyArray<Rule>): Head["fast"] {
  if (rules.some((r) => !r.isGrant)) return undefined
  const exact = new Map<string, string>()
  const prefixes: Array<Grant> = []
  for (const { grant } of rules)
    if (grant.scope.isPrefix) prefixes.push(grant)
    else exact.set(grant.scope.text, grant.text)
  return { exact, prefixes }
}

/** Would revoking `grant` change an answer under this head? Scopes are nested or disjoint, so the newest overlapping rule that is a grant, or a hole around it all, tells. */
function isInForce(rules: ReadonlyArray<Rule>, grant: Grant): boolean {
  for (let i = rules.length; i-- > 0;) {
    const rule = rules[i] as Rule
    if (rule.isGrant ? overlaps(rule.grant.scope, grant.scope) : contains(rule.grant.scope, grant.scope)) return rule.isGrant
  }
  return false
}

/**
 * The grants of one loaded plugin, live: a revocation is seen by the next `match`, also under open handles, because
 * every host function asks again at every operation.
 *
 * Revoking takes out exactly what the text covers: grants inside it go, and a wider grant stays with a hole. Granting
 * puts in exactly what the text covers. The newest of the two wins, so `grant` after `revoke` restores.
 */
export class GrantSet {
  readonly #heads = new Map<string, Head>()
  readonly #uses = new Map<string, { count: number; bytes: number }>()
  readonly #denials = new Map<string, number>()
  #deniedOther = 0
  #revision = 0
  readonly #onChange: ((change: GrantChange) => void) | undefined

  constructor(grants: Iterable<Grant | string> = [], onChange?: (change: GrantChange) => void) {
    const byHead = new Map<string, Array<Rule>>()
    for (const grant of new Map(Array.from(grants, asGrant).map((each) => [each.text, each])).values())
      for (const head of headsOf(grant)) {
        const rules = byHead.get(head)
        if (rules === undefined) byHead.set(head, [{ isGrant: true, grant }])
        else rules.push({ isGrant: true, grant })
      }
    for (const [head, rules] of byHead) this.#heads.set(head, { rules, fast: index(rules) })
    this.#onChange = onChange
  }

  /** Takes over what is granted and revoked in `other`, as it is now. Nobody is told: nothing changed for whom it was granted to. */
  take(other: GrantSet): void {
    this.#heads.clear()
    for (const [head, { rules, fast }] of other.#heads) this.#heads.set(head, { rules: [...rules], fast })
    this.#revision++
  }

  /** Changes with every grant and revocation; lets a capability cache what it derived. */
  get revision(): number {
    return this.#revision
  }

  /**
   * The grant that allows operation `head` on `name` now, or undefined. Hot: no allocation, one map lookup and, for
   * exact grants, one more.
   */
  match(head: string, name: string): string | undefined {
    const entry = this.#heads.get(head)
    if (entry === undefined) return undefined
    const fast = entry.fast
    if (fast !== undefined) {
      const exact = fast.exact.get(name)
      if (exact !== undefined) return exact
      const prefixes = fast.prefixes
      for (let i = 0; i < prefixes.length; i++) if (name.startsWith((prefixes[i] as Grant).scope.text)) return (prefixes[i] as Grant).text
      return undefined
    }
    for (let i = entry.rules.length; i-- > 0;) {
      const rule = entry.rules[i] as Rule
      if (covers(rule.grant.scope, name)) return rule.isGrant ? rule.grant.text : undefined
    }
    return undefined
  }

  /** Is operation `head` on `name` allowed now? `name` is "" for grants without a scope. */
  allows(head: string, name = ""): boolean {
    return this.match(head, name) !== undefined
  }

  /** Is anything of a capability whose heads are many (`http`) allowed now? */
  holds(capability: string): boolean {
    return this.#heads.keys().some((head) => head.startsWith(`${capability}:`) && this.reaches(head))
  }

  /** Is anything under `head` whose name starts with `prefix` allowed now? Answers whether opening a container is of use. */
  reaches(head: string, prefix = ""): boolean {
    const entry = this.#heads.get(head)
    if (entry === undefined) return false
    const below = { text: prefix, isPrefix: true }
    for (let i = entry.rules.length; i-- > 0;) {
      const rule = entry.rules[i] as Rule
      if (!overlaps(rule.grant.scope, below)) continue
      if (rule.isGrant) return true
      if (contains(rule.grant.scope, below)) return false
    }
    return false
  }

  /** Is everything under `head` whose name starts with `prefix` allowed now? */
  covers(head: string, prefix: string): boolean {
    const below = { text: prefix, isPrefix: true }
    const rules = this.#heads.get(head)?.rules ?? []
    for (let i = rules.length; i-- > 0;) {
      const { isGrant, grant } = rules[i] as Rule
      if (contains(grant.scope, below)) return isGrant
      if (!isGrant && contains(below, grant.scope)) return false
    }
    return false
  }

  /** Grants in force under `head`, in the order given. */
  under(head: string): ReadonlyArray<Grant> {
    return (this.#heads.get(head)?.rules ?? []).filter((r) => r.isGrant).map((r) => r.grant)
  }

  /** Adds a grant; false when nothing changed. */
  grant(grant: Grant | string): boolean {
    const parsed = asGrant(grant)
    let changed = false
    for (const head of headsOf(parsed)) changed = this.#insert(head, parsed) || changed
    if (changed) this.#onChange?.({ change: "granted", grant: parsed.text })
    return changed
  }

  /** Takes away what the text covers, wider or narrower than what was granted; false when nothing of it was in force. */
  revoke(grant: Grant | string): boolean {
    const parsed = asGrant(grant)
    let changed = false
    for (const head of headsOf(parsed)) {
      const entry = this.#heads.get(head)
      if (entry === undefined || !isInForce(entry.rules, parsed)) continue
      const rules = entry.rules.filter((r) => !isWithin(r.grant, parsed))
      if (isInForce(rules, parsed)) rules.push({ isGrant: false, grant: parsed })
      this.#replace(head, rules)
      changed = true
    }
    if (!changed) return false
    this.#onChange?.({ change: "revoked", grant: parsed.text })
    return true
  }

  /** Texts in force, in the order given. */
  list(): ReadonlyArray<string> {
    return this.#texts(true)
  }

  /** Texts taken out of wider grants that are still in force. */
  revoked(): ReadonlyArray<string> {
    return this.#texts(false)
  }

  /** Counts one use of a grant in force (as returned by `match`). */
  countUse(grant: string, bytes: number): void {
    const use = this.#uses.get(grant)
    if (use !== undefined) {
      use.count++
      use.bytes += bytes
    } else this.#uses.set(grant, { count: 1, bytes })
  }

  /** Counts one denial; the name in it may be the guest's, so only `deniedMax` different ones are kept. */
  countDenial(grant: string): void {
    const text = grant.slice(0, grantCharsMax)
    const count = this.#denials.get(text)
    if (count !== undefined) this.#denials.set(text, count + 1)
    else if (this.#denials.size < deniedMax) this.#denials.set(text, 1)
    else this.#deniedOther++
  }

  report(): GrantReport {
    return {
      granted: this.list(),
      revoked: this.revoked(),
      used: Array.from(this.#uses, ([grant, use]) => ({ grant, ...use })),
      denied: Array.from(this.#denials, ([grant, count]) => ({ grant, count, bytes: 0 })),
      deniedOther: this.#deniedOther,
    }
  }

  #insert(head: string, grant: Grant): boolean {
    const rules = this.#heads.get(head)?.rules ?? []
    const same = rules.findLastIndex((r) => r.isGrant && r.grant.text === grant.text)
    if (same !== -1 && !rules.slice(same).some((r) => !r.isGrant && overlaps(r.grant.scope, grant.scope))) return false
    // Older holes inside the new grant are filled by it; older grants stay, they are what `list` shows.
    this.#replace(head, [...rules.filter((r, i) => i !== same && (r.isGrant || !contains(grant.scope, r.grant.scope))), { isGrant: true, grant }])
    return true
  }

  #replace(head: string, rules: Array<Rule>): void {
    // A hole that no older grant spans any more means nothing.
    const kept = rules.filter((r, i) => r.isGrant || rules.slice(0, i).some((older) => older.isGrant && overlaps(older.grant.scope, r.grant.scope)))
    if (kept.length === 0) this.#heads.delete(head)
    else this.#heads.set(head, { rules: kept, fast: index(kept) })
    this.#revision++
  }

  #texts(isGrant: boolean): ReadonlyArray<string> {
    // A grant of several heads stands under each of them.
    return [...new Set([...this.#heads.values()].flatMap((h) => h.rules.filter((r) => r.isGrant === isGrant).map((r) => r.grant.text)))]
  }
}
