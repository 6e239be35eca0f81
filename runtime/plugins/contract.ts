/** Does a component keep what a world says? Types are compared, not names alone, before anything of it runs. */
import { isCompatible } from "../../host/capability/mod.ts"
import { differenceText, functionDifference } from "../../schemas/wit/equal.ts"
import type { ExternType, FunctionType, ResourceType, World } from "../../schemas/wit/model.ts"
import { functionText } from "../../schemas/wit/print.ts"

/** `stele:billing/rules@0.1.0` as `stele:billing/rules`. */
export const withoutVersion = (name: string): string => name.replace(/@[^#]*/, "")
const versionOf = (name: string): string | undefined => /@([^#]*)/.exec(name)?.[1]

/** Where a component departs from a world, in sentences' parts. Empty: it implements it. */
export interface Departures {
  /** Functions that the world exports and it does not. */
  readonly missing: ReadonlyArray<string>
  /** Functions of another type, and interfaces that it exports in more than one version. */
  readonly different: ReadonlyArray<string>
  /** What it imports and the world does not. */
  readonly imported: ReadonlyArray<string>
}

const fits = (wanted: string, offered: string): boolean => {
  const [want, offer] = [versionOf(wanted), versionOf(offered)]
  return want === undefined || offer === undefined ? want === offer : isCompatible(want, offer)
}

const alike = (externs: ReadonlyMap<string, ExternType>, name: string): ReadonlyArray<readonly [name: string, extern: ExternType]> =>
  [...externs].filter(([other]) => withoutVersion(other) === withoutVersion(name))

function* functions(name: string, extern: ExternType | undefined): Generator<readonly [name: string, type: FunctionType]> {
  if (extern?.kind === "function") yield [name, extern]
  if (extern?.kind === "interface") for (const [label, inner] of extern.exports) yield* functions(`${withoutVersion(name)}#${label}`, inner)
}

/** The resources of `actual` by those of the same name in `expected`. */
function* resources(actual: ExternType | undefined, expected: ExternType): Generator<readonly [ResourceType, ResourceType]> {
  if (actual?.kind !== "interface" || expected.kind !== "interface") return
  for (const [label, extern] of expected.exports) {
    const found = actual.exports.get(label)
    if (extern.kind === "resource-type" && found?.kind === "resource-type") yield [found.resource, extern.resource]
  }
}

/** Pairs each extern that `asked` has with the one of a compatible version in `offered`. */
function* pairs(asked: ReadonlyMap<string, ExternType>, offered: ReadonlyMap<string, ExternType>) {
  for (const [name, extern] of asked) yield { name, extern, found: alike(offered, name).find(([other]) => fits(name, other))?.[1] }
}

/** Where `component` departs from `contract`. Imports are compared as far as the component has them, exports as far as the contract has. */
export function departures(component: World, contract: World): Departures {
  const missing: Array<string> = []
  const different: Array<string> = []
  const imported: Array<string> = []
  const same = new Map<ResourceType, ResourceType>()
  const exported = [...pairs(contract.exports, component.exports)]
  const taken = [...pairs(component.imports, contract.imports)]
  for (const { extern, found } of exported) for (const [actual, expected] of resources(found, extern)) same.set(actual, expected)
  for (const { extern, found } of taken) if (found !== undefined) for (const [actual, expected] of resources(extern, found)) same.set(actual, expected)
  for (const { name, extern, found } of exported) {
    // A rim calls by names without version, of which there must be one.
    if (alike(component.exports, name).length > 1) different.push(`${withoutVersion(name)} is there in more than one version`)
    const has = new Map(functions(name, found))
    for (const [label, type] of functions(name, extern)) {
      const actual = has.get(label)
      if (actual === undefined) missing.push(`${label}: ${functionText(type, 0, 200)}`)
      else {
        const difference = functionDifference(actual, type, same, label)
        if (difference !== undefined) different.push(differenceText(difference))
      }
    }
  }
  for (const { name, extern, found } of taken) {
    if (found === undefined) imported.push(name)
    const serves = new Map(functions(name, found))
    if (found !== undefined)
      for (const [label, type] of functions(name, extern)) {
        const served = serves.get(label)
        if (served === undefined) imported.push(label)
        else {
          const difference = functionDifference(type, served, same, label)
          if (difference !== undefined) different.push(differenceText(difference))
        }
      }
  }
  return { missing, different, imported }
}
