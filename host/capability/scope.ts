/**
 * The part of the grant grammar that one capability owns: names, prefixes, and the two or three shapes a grant has.
 *
 *     grant  = head | head ":" scope            head = capability, or capability ":" action
 *     scope  = name | prefix "*"                `*` stands only at the end
 *
 * A scope is one name or every name with a prefix. Two scopes are therefore nested or disjoint, never half
 * overlapping: subset, intersection and revocation stay exact and take one string comparison.
 */
import { CapabilityError } from "../../schemas/error/mod.ts"

/** One name (`isPrefix` false), or every name that starts with `text`. */
export interface Scope {
  readonly text: string
  readonly isPrefix: boolean
}

/** A parsed grant: data, immutable, compared by `text`. */
export interface Grant {
  /** Canonical text: `parseGrant(g.text)` gives an equal grant. */
  readonly text: string
  /** First word: `kv`. */
  readonly capability: string
  /** What an operation asks for before its name: `log`, `clock:wall`, `kv:read`. */
  readonly head: string
  /** Heads it stands for, where that is more than one: `http:*` is `http:GET`, `http:HEAD` and so on. */
  readonly heads?: ReadonlyArray<string>
  /** Names covered below the head; grants without a scope cover the name "". */
  readonly scope: Scope
}

/** Longest grant text, UTF-16 code units. */
export const grantCharsMax = 512

/** Does `scope` cover `name`? */
export const covers = (scope: Scope, name: string): boolean => (scope.isPrefix ? name.startsWith(scope.text) : name === scope.text)

/** Is every name of `inner` covered by `outer`? */
export const contains = (outer: Scope, inner: Scope): boolean =>
  outer.isPrefix ? inner.text.startsWith(outer.text) : !inner.isPrefix && inner.text === outer.text

/** Do the two scopes share a name? */
export const overlaps = (a: Scope, b: Scope): boolean => contains(a, b) || contains(b, a)

/** Every head a grant stands for. */
export const headsOf = (grant: Grant): ReadonlyArray<string> => grant.heads ?? [grant.head]

const hasHeads = (inner: Grant, outer: Grant): boolean =>
  inner.head === outer.head || (outer.heads !== undefined && headsOf(inner).every((head) => outer.heads?.includes(head)))

/** Is everything `inner` allows also allowed by `outer`? */
export const isWithin = (inner: Grant, outer: Grant): boolean => hasHeads(inner, outer) && contains(outer.scope, inner.scope)

/** The text of the grant for what two grants both allow, undefined when that is nothing: the fewer heads, the narrower scope. */
export function meet(a: Grant, b: Grant): string | undefined {
  const few = hasHeads(a, b) ? a : hasHeads(b, a) ? b : undefined
  const narrow = contains(b.scope, a.scope) ? a : contains(a.scope, b.scope) ? b : undefined
  return few === undefined || narrow === undefined ? undefined : few === narrow ? few.text : `${few.head}${narrow.text.slice(narrow.head.length)}`
}

export function refuse(grant: string, detail: string): never {
  throw new CapabilityError("Grammar", { grant: grant.slice(0, grantCharsMax), detail })
}

const whole: Scope = { text: "", isPrefix: false }

/** A grant without scope: `log`. */
export const bare = (head: string, capability = head.split(":", 1)[0] as string): Grant => ({ text: head, capability, head, scope: whole })

/** A grant with its scope's meaning given apart from its text: `clock:monotonic:fine` covers what `clock:monotonic` covers and more. */
export const special = (text: string, head: string, scope: Scope): Grant => ({ text, capability: head.split(":", 1)[0] as string, head, scope })

/** Parses `scope` text below `head`; `text` is the whole grant, for errors. */
export function scoped(text: string, head: string, scope: string): Grant {
  const star = scope.indexOf("*")
  if (scope === "") refuse(text, `it names nothing; write ${head}:NAME, or ${head}:* for everything`)
  if (star !== -1 && star !== scope.length - 1) refuse(text, '"*" stands only at the end')
  // An exact name with a trailing slash is never what its writer meant.
  if (scope.endsWith("/")) refuse(text, `"${scope}" is one exact name; write ${head}:${scope}* for everything below it`)
  return {
    text: `${head}:${scope}`,
    capability: head.split(":", 1)[0] as string,
    head,
    scope: { text: star === -1 ? scope : scope.slice(0, -1), isPrefix: star !== -1 },
  }
}

/** Grammar `NAME` (no parts): `log`. */
export const bareForm =
  (name: string) =>
  (text: string, parts: ReadonlyArray<string>): Grant =>
    parts.length === 0 ? bare(name) : refuse(text, `"${name}" takes no further parts`)

/** Grammar `NAME:SCOPE`: `config:greeting`, `secret:stripe-*`. */
export const nameForm =
  (name: string) =>
  (text: string, parts: ReadonlyArray<string>): Grant =>
    scoped(text, name, parts.join(":"))

/** Grammar `NAME:ACTION:SCOPE`: `kv:read:prices/*`. */
export const actionForm =
  (name: string, actions: ReadonlyArray<string>) =>
  (text: string, parts: ReadonlyArray<string>): Grant => {
    const action = parts[0] ?? ""
    if (!actions.includes(action)) refuse(text, `its action is "${action}"; "${name}" has ${actions.join(" and ")}`)
    return scoped(text, `${name}:${action}`, parts.slice(1).join(":"))
  }
