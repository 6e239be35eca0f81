/** Components of two encoders, compared as the host decodes them. */
import type { Blueprint } from "../../host/component/blueprint.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { defaultLimits } from "../../host/mod.ts"
import { interfaceDifference, type ResourceMap } from "../../schemas/wit/equal.ts"
import type { ExternType, World } from "../../schemas/wit/model.ts"

const limits = { ...defaultLimits, instancesMax: 1_000 }
export const decode = (bytes: Uint8Array): Blueprint => elaborate(decodeComponent(bytes, limits), limits)

/** Without the names of types that the other does not have: an alias of an alias is one node here and two names there. */
const withoutUnusedNames = (externs: World["imports"], other: World["imports"]): World["imports"] =>
  new Map(
    Array.from(externs).flatMap(([name, extern]): Array<[string, ExternType]> => {
      const against = other.get(name)
      if (extern.kind !== "interface") return [[name, extern]]
      const known = against?.kind === "interface" ? against.exports : undefined
      const exports = [...extern.exports].filter(([label, item]) => item.kind === "function" || known?.has(label) === true)
      return known === undefined && exports.length === 0 ? [] : [[name, { kind: "interface", exports: new Map(exports) }]]
    }),
  )

/** Where two worlds differ: in functions, or in types and resources that both name. */
export function worldDifference(a: World, b: World): string | undefined {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const resources: ResourceMap = new Map()
    for (const side of ["imports", "exports"] as const) {
      const exports = withoutUnusedNames(from[side], to[side])
      const difference = interfaceDifference({ kind: "interface", exports }, { kind: "interface", exports: to[side] }, resources)
      if (difference !== undefined) return `${side}: ${JSON.stringify(difference)}`
    }
  }
  return undefined
}
