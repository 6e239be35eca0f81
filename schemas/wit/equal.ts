/**
 * Structural equality of types, with the place where they differ: how the linker compares what a component declares to
 * import with what the host serves.
 *
 * Type names are ignored (Explainer.md "Type Checking": type equality is structural except for resources); labels,
 * order and parameter names are compared. Two graphs of m and n nodes are compared by union-find: each pair that is met
 * is merged once, so at most m + n - 1 pairs are opened, whatever the number of paths to them. Assuming a met pair equal
 * is sound, because the first difference ends the comparison. One node on both sides is equal: the two graphs share
 * none but the primitives, since handles of different components are different nodes.
 */
import type { Case, FunctionType, InterfaceType, Labelled, ResourceType, ValueType } from "./model.ts"
import { functionText, shapeText } from "./print.ts"
import { depth } from "./tree.ts"

/** Where two types first differ, in declaration order. */
export interface TypeDifference {
  /** From the root, such as `get.param key` or `open.result.ok.size`. */
  readonly path: string
  /** What is expected there, as WIT text. */
  readonly expected: string
  readonly actual: string
}

/** Which resource of the actual type stands for which of the expected; comparing interfaces binds resources they export by name. */
export type ResourceMap = Map<ResourceType, ResourceType>

export const differenceText = (difference: TypeDifference): string => `"${difference.path}" is ${difference.actual}, expected ${difference.expected}`

class Comparison {
  readonly #parents = new Map<ValueType, ValueType>()
  readonly #resources: ReadonlyMap<ResourceType, ResourceType>

  constructor(resources: ReadonlyMap<ResourceType, ResourceType>) {
    this.#resources = resources
  }

  #find(type: ValueType): ValueType {
    let at = type
    for (let up = this.#parents.get(at); up !== undefined; up = this.#parents.get(at)) {
      // Path halving: each step also shortens the way for the next search.
      const over = this.#parents.get(up)
      if (over !== undefined) this.#parents.set(at, over)
      at = up
    }
    return at
  }

  values(actual: ValueType, expected: ValueType, path: string): TypeDifference | undefined {
    if (actual === expected) return undefined
    const left = this.#find(actual)
    const right = this.#find(expected)
    if (left === right) return undefined
    this.#parents.set(left, right)
    return this.#open(actual, expected, path)
  }

  #open(actual: ValueType, expected: ValueType, path: string): TypeDifference | undefined {
    // Texts are made for a difference only: most comparisons find none.
    const differ = (): TypeDifference => ({ path, expected: shapeText(expected), actual: shapeText(actual) })
    const inner = (part: string, a: ValueType | undefined, b: ValueType | undefined): TypeDifference | undefined => {
      if (a === undefined && b === undefined) return undefined
      return a === undefined || b === undefined ? differ() : this.values(a, b, `${path}.${part}`)
    }
    if (actual.kind !== expected.kind) return differ()
    switch (actual.kind) {
      case "list":
      case "stream":
        return inner("element", actual.element, (expected as typeof actual).element)
      case "fixed-list": {
        const other = expected as typeof actual
        return actual.length === other.length ? inner("element", actual.element, other.element) : differ()
      }
      case "map":
        return inner("key", actual.key, (expected as typeof actual).key) ?? inner("value", actual.value, (expected as typeof actual).value)
      case "future":
        return inner("value", actual.type, (expected as typeof actual).type)
      case "option":
        return inner("some", actual.type, (expected as typeof actual).type)
      case "result":
        return inner("ok", actual.ok, (expected as typeof actual).ok) ?? inner("err", actual.err, (expected as typeof actual).err)
      case "tuple":
        return first(actual.types, (expected as typeof actual).types, differ, (a, b, i) => inner(String(i), a, b))
      case "record":
        return this.#labelled(actual.fields, (expected as typeof actual).fields, differ, inner)
      case "variant":
        return this.#labelled(actual.cases, (expected as typeof actual).cases, differ, inner)
      case "enum":
      case "flags":
        return first(actual.labels, (expected as typeof actual).labels, differ, (a, b) => (a === b ? undefined : differ()))
      case "own":
      case "borrow": {
        const resource = this.#resources.get(actual.resource) ?? actual.resource
        return resource === (expected as typeof actual).resource ? undefined : differ()
      }
      default:
        return undefined
    }
  }

  #labelled(
    actual: ReadonlyArray<Labelled | Case>,
    expected: ReadonlyArray<Labelled | Case>,
    differ: () => TypeDifference,
    inner: (part: string, a: ValueType | undefined, b: ValueType | undefined) => TypeDifference | undefined,
  ): TypeDifference | undefined {
    return first(actual, expected, differ, (a, b) => (a.label === b.label ? inner(a.label, a.type, b.type) : differ()))
  }

  functions(actual: FunctionType, expected: FunctionType, path: string): TypeDifference | undefined {
    const differ = (): TypeDifference => ({ path, expected: functionText(expected, 0, 200), actual: functionText(actual, 0, 200) })
    const params = first(actual.params, expected.params, differ, (a, b) =>
      a.label === b.label ? this.values(a.type, b.type, `${path}.param ${a.label}`) : differ(),
    )
    if (params !== undefined) return params
    if (actual.isAsync !== expected.isAsync) return differ()
    if (actual.result === undefined || expected.result === undefined) return actual.result === expected.result ? undefined : differ()
    return this.values(actual.result, expected.result, `${path}.result`)
  }
}

function first<T>(
  actual: ReadonlyArray<T>,
  expected: ReadonlyArray<T>,
  differ: () => TypeDifference,
  each: (a: T, b: T, index: number) => TypeDifference | undefined,
): TypeDifference | undefined {
  if (actual.length !== expected.length) return differ()
  for (let i = 0; i < actual.length; i++) {
    const difference = each(actual[i] as T, expected[i] as T, i)
    if (difference !== undefined) return difference
  }
  return undefined
}

const noResources: ReadonlyMap<ResourceType, ResourceType> = new Map()

/**
 * Where `actual` first differs from `expected`, or undefined when they are equal. Almost linear in the nodes of both.
 *
 * @param resources resources of `actual` → the resource of `expected` each stands for; a resource not in it equals only itself.
 * @throws LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function typeDifference(
  actual: ValueType,
  expected: ValueType,
  resources: ReadonlyMap<ResourceType, ResourceType> = noResources,
  path = "type",
): TypeDifference | undefined {
  depth(actual)
  depth(expected)
  return new Comparison(resources).values(actual, expected, path)
}

const checkDepth = (func: FunctionType): void => {
  for (const param of func.params) depth(param.type)
  if (func.result !== undefined) depth(func.result)
}

/** The same for function types: parameters must agree in order, label and type. */
export function functionDifference(
  actual: FunctionType,
  expected: FunctionType,
  resources: ReadonlyMap<ResourceType, ResourceType> = noResources,
  path = "func",
): TypeDifference | undefined {
  checkDepth(actual)
  checkDepth(expected)
  return new Comparison(resources).functions(actual, expected, path)
}

/**
 * Where `declared` asks for what `served` does not have: every export of `declared` must be in `served` with an equal type,
 * `served` may have more (an instance type is a subtype of one with fewer exports, Explainer.md "Type Checking").
 * Resources that `declared` exports are bound by name to those of `served` and added to `resources`.
 */
export function interfaceDifference(declared: InterfaceType, served: InterfaceType, resources: ResourceMap = new Map()): TypeDifference | undefined {
  for (const [name, extern] of declared.exports) {
    const found = served.exports.get(name)
    if (extern.kind === "resource-type" && found?.kind === "resource-type") resources.set(extern.resource, found.resource)
  }
  const comparison = new Comparison(resources)
  for (const [name, extern] of declared.exports) {
    const found = served.exports.get(name)
    if (found === undefined) return { path: name, expected: "no such export", actual: extern.kind === "function" ? functionText(extern, 0, 200) : extern.kind }
    if (extern.kind !== found.kind) return { path: name, expected: found.kind, actual: extern.kind }
    let difference: TypeDifference | undefined
    if (extern.kind === "function") {
      checkDepth(extern)
      checkDepth(found as typeof extern)
      difference = comparison.functions(extern, found as typeof extern, name)
    } else if (extern.kind === "type") {
      depth(extern.type)
      depth((found as typeof extern).type)
      difference = comparison.values(extern.type, (found as typeof extern).type, name)
    } else if (extern.kind === "interface") difference = interfaceDifference(extern, found as typeof extern, resources)
    if (difference !== undefined) return difference
  }
  return undefined
}
