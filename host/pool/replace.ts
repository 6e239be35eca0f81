/** What must hold before a plugin's component is replaced by another one. Loaded with the first replacement. */
import { PoolError } from "../../schemas/error/pool.ts"
import { functionDifference } from "../../schemas/wit/equal.ts"
import type { FunctionType, ResourceType } from "../../schemas/wit/model.ts"
import type { Blueprint } from "../component/blueprint.ts"
import { splitVersion } from "../link/link.ts"
import type { Linked } from "../link/prepare.ts"

/** Names shown of one kind: a component may have thousands of exports. */
const namesMax = 20

interface Replaced {
  readonly linked: Linked
  /** By the names they were called by. */
  readonly callees: ReadonlyMap<string, { readonly name: string; readonly type: FunctionType }>
}

export function refuseSecond(plugin: string): never {
  throw new PoolError("Replacing", { plugin })
}

/**
 * Refuses a component that callers of the old one would miss an export in, or find another type.
 *
 * @param find the new component's export for a name as callers write it, undefined when it has none
 * @throws PoolError `Exports`, naming them all
 */
export function checkExports(old: Replaced, next: Linked, which: "used" | "all" | "any", find: (name: string) => FunctionType | undefined): void {
  if (which === "any") return
  const resources = sameResources(next.blueprint, old.linked.blueprint)
  const missing: Array<string> = []
  const changed: Array<string> = []
  const asked: Iterable<readonly [string, { readonly type: FunctionType }]> =
    which === "used" ? old.callees : Array.from(old.linked.blueprint.exports).filter(([, { source }]) => source.kind === "lift")
  for (const [name, { type }] of asked) {
    const found = find(name)
    if (found === undefined) missing.push(`"${name}"`)
    else if (functionDifference(found, type, resources, name) !== undefined) changed.push(`"${name}"`)
  }
  if (missing.length + changed.length > 0) throw new PoolError("Exports", { missing: missing.slice(0, namesMax), changed: changed.slice(0, namesMax) })
}

const resourceNames = (blueprint: Blueprint): ReadonlyArray<readonly [string, ResourceType]> =>
  [...blueprint.resources.keys(), ...blueprint.resourceImports.map(({ resource }) => resource)].flatMap((type) =>
    type.name === undefined ? [] : [[`${splitVersion(type.name.interface ?? "").name}#${type.name.name}`, type] as const],
  )

/** The resources of `actual` by the one of `expected` that has the same name: each component has its own. */
function sameResources(actual: Blueprint, expected: Blueprint): ReadonlyMap<ResourceType, ResourceType> {
  const byName = new Map(resourceNames(expected))
  const same = new Map<ResourceType, ResourceType>()
  for (const [name, type] of resourceNames(actual)) {
    const found = byName.get(name)
    if (found !== undefined) same.set(type, found)
  }
  return same
}
