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

/** Whether a resource the left side names is the one the right side names. Identity where nothing else is given. */
export type SameResource = (declared: ResourceType, actual: ResourceType) => boolean

const identical: SameResource = (declared, actual) => declared === actual

class Comparison {
  readonly #parents = new Map<ValueType, ValueType>()
  readonly #sameResource: SameResource

  constructor(sameResource: SameResource) {
    this.#sameResource = sameResource
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

  values(declared: ValueType, actual: ValueType, path: string): string | undefined {
    if (declared === actual) return undefined
    const left = this.#find(declared)
    const right = this.#find(actual)
    if (left === right) return undefined
    this.#parents.set(left, right)
    return this.#open(declared, actual, path)
  }

  #open(declared: ValueType, actual: ValueType, path: string): string | undefined {
    const differ = (): string => sentence(path, shapeText(declared), shapeText(actual))
    const inner = (part: string, a: ValueType | undefined, b: ValueType | undefined): string | undefined => {
      if (a === undefined && b === undefined) return undefined
      return a === undefined || b === undefined ? differ() : this.values(a, b, `${path}.${part}`)
    }
    if (declared.kind !== actual.kind) return differ()
    switch (declared.kind) {
      case "list":
        return inner("element", declared.element, (actual as typeof declared).element)
      case "option":
        return inner("some", declared.type, (actual as typeof declared).type)
      case "result":
        return inner("ok", declared.ok, (actual as typeof declared).ok) ?? inner("err", declared.err, (actual as typeof declared).err)
      case "tuple":
        return first(declared.types, (actual as typeof declared).types, differ, (a, b, i) => inner(String(i), a, b))
      case "record":
        return this.#labelled(declared.fields, (actual as typeof declared).fields, differ, inner)
      case "variant":
        return this.#labelled(declared.cases, (actual as typeof declared).cases, differ, inner)
      case "enum":
      case "flags":
        return first(declared.labels, (actual as typeof declared).labels, differ, (a, b) => (a === b ? undefined : differ()))
      case "own":
      case "borrow":
        return this.#sameResource(declared.resource, (actual as typeof declared).resource) ? undefined : `${differ()} of another resource`
      default:
        return undefined
    }
  }

  #labelled(
    declared: ReadonlyArray<Labelled | Case>,
    actual: ReadonlyArray<Labelled | Case>,
    differ: () => string,
    inner: (part: string, a: ValueType | undefined, b: ValueType | undefined) => string | undefined,
  ): string | undefined {
    return first(declared, actual, differ, (a, b) => (a.label === b.label ? inner(a.label, a.type, b.type) : differ()))
  }

  functions(declared: FunctionType, actual: FunctionType, name: string): string | undefined {
    const differ = (): string => sentence(name === "" ? "function" : name, functionText(declared), functionText(actual))
    const prefix = name === "" ? "" : `${name} `
    const params = first(declared.params, actual.params, differ, (a, b) => (a.label === b.label ? this.values(a.type, b.type, `${prefix}param ${a.label}`) : differ()))
    if (params !== undefined) return params
    if (declared.result === undefined || actual.result === undefined) return declared.result === actual.result ? undefined : differ()
    return this.values(declared.result, actual.result, `${prefix}result`)
  }
}

const sentence = (path: string, declared: string, actual: string): string => `"${path}" is declared as ${declared} but is ${actual}`

function first<T>(declared: ReadonlyArray<T>, actual: ReadonlyArray<T>, differ: () => string, each: (a: T, b: T, index: number) => string | undefined): string | undefined {
  if (declared.length !== actual.length) return differ()
  for (let i = 0; i < declared.length; i++) {
    const difference = each(declared[i] as T, actual[i] as T, i)
    if (difference !== undefined) return difference
  }
  return undefined
}

const checkDepth = (func: FunctionType): void => {
  for (const param of func.params) depth(param.type)
  if (func.result !== undefined) depth(func.result)
}

/**
 * Where two value types first differ, as text like `"type.items.element" is declared as u32 but is u64`; undefined when
 * they are equal. Almost linear in the nodes of both.
 *
 * @throws LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function differenceOfTypes(declared: ValueType, actual: ValueType, sameResource: SameResource = identical): string | undefined {
  depth(declared)
  depth(actual)
  return new Comparison(sameResource).values(declared, actual, "type")
}

/** The same for function types, whose parameters must agree in order, label and type: `"param key" is declared as …`. */
export function differenceOfFunctions(declared: FunctionType, actual: FunctionType, sameResource: SameResource = identical): string | undefined {
  checkDepth(declared)
  checkDepth(actual)
  return new Comparison(sameResource).functions(declared, actual, "")
}

/**
 * Where `declared` asks for what `actual` does not have: every export of `declared` must be in `actual` with an equal
 * type, `actual` may have more (an instance type is a subtype of one with fewer exports, Explainer.md "Type Checking").
 * Resources that both export under one name are taken to be the same, and are added to `resources`.
 */
export function differenceOfInterfaces(declared: InterfaceType, actual: InterfaceType, resources: Map<ResourceType, ResourceType> = new Map()): string | undefined {
  for (const [name, extern] of declared.exports) {
    const found = actual.exports.get(name)
    if (extern.kind === "resource-type" && found?.kind === "resource-type") resources.set(extern.resource, found.resource)
  }
  const comparison = new Comparison((a, b) => (resources.get(a) ?? a) === b)
  for (const [name, extern] of declared.exports) {
    const found = actual.exports.get(name)
    if (found === undefined) return sentence(name, extern.kind === "function" ? functionText(extern) : extern.kind, "absent")
    if (extern.kind !== found.kind) return sentence(name, extern.kind, found.kind)
    let difference: string | undefined
    if (extern.kind === "function") {
      checkDepth(extern)
      checkDepth(found as typeof extern)
      difference = comparison.functions(extern, found as typeof extern, name)
    } else if (extern.kind === "type") {
      depth(extern.type)
      depth((found as typeof extern).type)
      difference = comparison.values(extern.type, (found as typeof extern).type, name)
    } else if (extern.kind === "interface") difference = differenceOfInterfaces(extern, found as typeof extern, resources)
    if (difference !== undefined) return difference
  }
  return undefined
}
