/**
 * Whether a component fits a world: it asks for nothing that the world does not import, and has everything that the world
 * exports. For tools; the host links by interface and never asks for worlds.
 */
import { functionDifference, interfaceDifference, type ResourceMap, type TypeDifference, typeDifference } from "./equal.ts"
import { functionText } from "./print.ts"
import type { ExternType, World } from "./model.ts"

const text = (extern: ExternType): string =>
  extern.kind === "function" ? functionText(extern, 0, 200) : extern.kind === "resource-type" ? "resource" : extern.kind

/** Each of `wanted`, in the order of `wanted`, against what `given` has under its name. */
function difference(
  wanted: ReadonlyMap<string, ExternType>,
  given: ReadonlyMap<string, ExternType>,
  resources: ResourceMap,
  missing: string,
): TypeDifference | undefined {
  for (const [name, extern] of wanted) {
    const found = given.get(name)
    if (extern.kind === "resource-type" && found?.kind === "resource-type") resources.set(extern.resource, found.resource)
  }
  for (const [name, extern] of wanted) {
    const found = given.get(name)
    if (found === undefined) return { path: name, expected: missing, actual: text(extern) }
    if (found.kind !== extern.kind) return { path: name, expected: text(found), actual: text(extern) }
    const inner =
      extern.kind === "interface"
        ? interfaceDifference(extern, found as typeof extern, resources)
        : extern.kind === "function"
          ? functionDifference(extern, found as typeof extern, resources, name)
          : extern.kind === "type"
            ? typeDifference(extern.type, (found as typeof extern).type, resources, name)
            : undefined
    if (inner !== undefined) return extern.kind === "interface" ? { ...inner, path: `${name}#${inner.path}` } : inner
  }
  return undefined
}

/**
 * Where `component` first does not fit `world`, or undefined when it fits: an import that the world has not, an export
 * that it lacks, or one of another type. Names of interfaces are compared with their versions.
 */
export function worldDifference(component: World, world: World): TypeDifference | undefined {
  // Resources of imports are met first: exports may use them.
  const imported: ResourceMap = new Map()
  const imports = difference(component.imports, world.imports, imported, "no such import")
  if (imports !== undefined) return imports
  const back: ResourceMap = new Map([...imported].map(([actual, expected]) => [expected, actual]))
  const exports = difference(world.exports, component.exports, back, "no such export")
  // The world wants and the component gives: seen from the component it is the other way round.
  return exports === undefined || exports.expected === "no such export"
    ? exports && { ...exports, expected: exports.actual, actual: "no such export" }
    : { ...exports, expected: exports.actual, actual: exports.expected }
}
