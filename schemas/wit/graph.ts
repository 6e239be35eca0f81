/**
 * Function types as JSON: what a client of a plugin elsewhere needs to write arguments and read answers in host form.
 *
 * Nodes stand in a list and name each other by index, children first, so what is shared stays shared and the text is
 * linear in the nodes. Resources keep their label alone: a handle has no JSON form anyway.
 */
import { ConfigError } from "../error/config.ts"
import { WitError } from "../error/wit.ts"
import { errorContext, type FunctionType, primitive, type PrimitiveKind, type ResourceType, type ValueType } from "./model.ts"
import { typeText } from "./print.ts"
import { carriedOf, children } from "./tree.ts"

/** `["list", 0]`, `["record", [["name", 1]]]`, `"u32"`… An index names an earlier node of the list. */
export type TypeNode = PrimitiveKind | readonly [kind: string, ...parts: ReadonlyArray<unknown>]

export interface TypeGraph {
  readonly nodes: ReadonlyArray<TypeNode>
  /** By full export name: parameters by label, and the result unless there is none. */
  readonly functions: Readonly<
    Record<string, { readonly params: ReadonlyArray<readonly [label: string, type: number]>; readonly result?: number; readonly isAsync?: true }>
  >
}

/** Nodes and functions of one graph that is read: more is refused. */
const nodesMax = 1_000_000

export function encodeTypes(functions: ReadonlyArray<{ readonly name: string; readonly type: FunctionType }>): TypeGraph {
  const nodes: Array<TypeNode> = []
  const known = new Map<ValueType, number>()
  /** With an explicit stack: a type may be as deep as it may be. */
  const index = (root: ValueType): number => {
    const pending = [root]
    while (pending.length > 0) {
      const type = pending[pending.length - 1] as ValueType
      const open = known.has(type) ? [] : children(type).filter((child) => !known.has(child))
      if (open.length > 0) {
        for (const child of open) pending.push(child)
        continue
      }
      pending.pop()
      if (known.has(type)) continue
      known.set(type, nodes.length)
      nodes.push(node(type, (child) => known.get(child) as number))
    }
    return known.get(root) as number
  }
  const encoded = functions.map(({ name, type: { params, result, isAsync } }) => {
    const labelled = params.map(({ label, type }) => [label, index(type)] as const)
    return [name, { params: labelled, ...(result === undefined ? {} : { result: index(result) }), ...(isAsync === true ? { isAsync } : {}) }] as const
  })
  return { nodes, functions: Object.fromEntries(encoded) }
}

function node(type: ValueType, of: (child: ValueType) => number): TypeNode {
  const maybe = (child: ValueType | undefined): number | null => (child === undefined ? null : of(child))
  switch (type.kind) {
    case "list":
      return ["list", of(type.element)]
    case "tuple":
      return ["tuple", type.types.map(of)]
    case "record":
      return ["record", type.fields.map((field) => [field.label, of(field.type)])]
    case "variant":
      return ["variant", type.cases.map((each) => [each.label, maybe(each.type)])]
    case "option":
      return ["option", of(type.type)]
    case "result":
      return ["result", maybe(type.ok), maybe(type.err)]
    case "enum":
    case "flags":
      return [type.kind, type.labels]
    case "own":
    case "borrow":
      return [type.kind, type.resource.name?.name ?? ""]
    case "stream":
    case "future":
      return [type.kind, maybe(carriedOf(type))]
    case "error-context":
      return [type.kind]
    case "fixed-list":
    case "map":
      throw new WitError("Inexpressible", { path: "value", type: typeText(type), form: "JSON" })
    default:
      return type.kind
  }
}

const refuse = (what: string): never => {
  throw new ConfigError("Option", { option: "types", expected: "the types of a plugin's exports, as a service gives them", actual: what })
}

/**
 * The functions of a graph, by name.
 * @throws ConfigError `Option` for what no `encodeTypes` has made
 */
export function decodeTypes(json: unknown): ReadonlyMap<string, FunctionType> {
  const { nodes, functions } = (json ?? {}) as { readonly nodes?: unknown; readonly functions?: unknown }
  if (!Array.isArray(nodes) || nodes.length > nodesMax || typeof functions !== "object" || functions === null) return refuse("something else")
  const types: Array<ValueType> = []
  // An index names what stands before it, so a graph has no cycles.
  const at = (index: unknown): ValueType => (typeof index === "number" ? types[index] : undefined) ?? refuse(`the node ${String(index)}`)
  const maybe = (index: unknown): ValueType | undefined => (index === null || index === undefined ? undefined : at(index))
  for (const each of nodes) types.push(typeOf(each, at, maybe))
  const found = Object.entries(functions as Readonly<Record<string, { readonly params?: unknown; readonly result?: unknown; readonly isAsync?: unknown }>>)
  return new Map(
    found.map(([name, { params, result, isAsync }]) => [
      name,
      {
        kind: "function",
        params: pairs(params).map(([label, type]) => ({ label, type: at(type) })),
        ...(result === undefined ? {} : { result: at(result) }),
        ...(isAsync === true ? { isAsync } : {}),
      },
    ]),
  )
}

const array = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : refuse("a node without its parts"))
const texts = (value: unknown): ReadonlyArray<string> => array(value).map((each) => (typeof each === "string" ? each : refuse("a label that is no text")))
const pairs = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  array(value).map((each) => {
    const [label, type] = array(each)
    return typeof label === "string" ? ([label, type] as const) : refuse("a label that is no text")
  })

function typeOf(node: unknown, at: (index: unknown) => ValueType, maybe: (index: unknown) => ValueType | undefined): ValueType {
  if (typeof node === "string") return Object.hasOwn(primitive, node) ? primitive[node as PrimitiveKind] : refuse(`the type "${node}"`)
  const [kind, first, second] = array(node)
  const resource = (): ResourceType => ({ kind: "resource", name: { name: String(first) } })
  switch (kind) {
    case "list":
      return { kind, element: at(first) }
    case "tuple":
      return { kind, types: array(first).map(at) }
    case "record":
      return { kind, fields: pairs(first).map(([label, type]) => ({ label, type: at(type) })) }
    case "variant":
      return {
        kind,
        cases: pairs(first).map(([label, index]) => {
          const type = maybe(index)
          return type === undefined ? { label } : { label, type }
        }),
      }
    case "stream":
    case "future": {
      const carried = maybe(first)
      if (carried === undefined) return { kind }
      return kind === "stream" ? { kind, element: carried } : { kind, type: carried }
    }
    case "error-context":
      return errorContext
    case "option":
      return { kind, type: at(first) }
    case "result": {
      const [ok, err] = [maybe(first), maybe(second)]
      return { kind, ...(ok === undefined ? {} : { ok }), ...(err === undefined ? {} : { err }) }
    }
    case "enum":
    case "flags":
      return { kind, labels: texts(first) }
    case "own":
    case "borrow":
      return { kind, resource: resource() }
    default:
      return refuse(`the type "${String(kind)}"`)
  }
}
