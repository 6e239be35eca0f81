/** What of a world stands where: which interface gives a type its name, and whether the names are ones that a component may have. */
import { EncodeError } from "../error/encode.ts"
import { type ExternType, type InterfaceType, originalOf, primitive, type ResourceType, type ValueType, type World } from "../wit/model.ts"
import { isInterfaceName, isLabel, printable, resourceFunction } from "../wit/name.ts"
import { depth } from "../wit/tree.ts"

/** A value type or a resource: what has an identity in the model. */
export type Node = ValueType | ResourceType

/** The interface that a node belongs to, undefined for the world itself, and its name there. */
export interface Owner {
  readonly of: string | undefined
  readonly label: string
}

export const nodeOf = (extern: ExternType): Node | undefined =>
  extern.kind === "type" ? extern.type : extern.kind === "resource-type" ? extern.resource : undefined

/** The shared nodes of `primitive` are nobody's: a name for one would be a name for all. */
export const isShared = (node: Node): boolean =>
  node.kind !== "resource" && Object.hasOwn(primitive, node.kind) && node === primitive[node.kind as keyof typeof primitive]

/** Where the node itself says that it was named. */
const isDefinition = (node: Node, { of, label }: Owner): boolean => node.name?.interface === of && node.name?.name === label

/** Types and resources of one side of a world, by identity. */
export class Owners {
  readonly #owners = new Map<Node, Owner>()

  constructor(externs: ReadonlyMap<string, ExternType>) {
    for (const [name, extern] of externs) {
      if (extern.kind === "interface") for (const [label, item] of extern.exports) this.#add(nodeOf(item), { of: name, label })
      else this.#add(nodeOf(extern), { of: undefined, label: name })
    }
  }

  #add(node: Node | undefined, owner: Owner): void {
    if (node === undefined || isShared(node)) return
    const known = this.#owners.get(node)
    if (known === undefined || (!isDefinition(node, known) && isDefinition(node, owner))) this.#owners.set(node, owner)
  }

  get(node: Node): Owner | undefined {
    return this.#owners.get(node)
  }
}

/** The named type of which `type` is another name, if one of these has it. */
export function aliased(type: ValueType, ...owners: ReadonlyArray<Owners>): ValueType | undefined {
  let original = originalOf(type)
  while (original !== undefined && !owners.some((each) => each.get(original as ValueType) !== undefined)) original = originalOf(original)
  return original
}

export function homeless(resource: ResourceType, at: string): never {
  throw new EncodeError("World", { at, detail: `the resource "${printable(resource.name?.name ?? "")}" is named by no interface of the world` })
}

const refuseName = (name: string, what: string, expected: string): never => {
  throw new EncodeError("Name", { name: printable(name), what, expected })
}

/** Names of one scope are unique ignoring case; a method and a static function of one name are not two. */
function checkUnique(names: Iterable<string>, at: string): void {
  const seen = new Set<string>()
  for (const name of names) {
    const folded = name.toLowerCase().replace(/^\[(?:method|static)\]/, "[]")
    if (seen.has(folded)) throw new EncodeError("World", { at, detail: `two names are equal to "${printable(name)}" but for case` })
    seen.add(folded)
  }
}

function checkItem(name: string, item: ExternType, at: string): void {
  if (item.kind === "interface") throw new EncodeError("World", { at, detail: "an interface inside an interface" })
  if (item.kind !== "function") {
    if (!isLabel(name)) refuseName(name, `a type at ${at}`, "kebab-case words")
    if (item.kind === "type") depth(item.type)
    return
  }
  if (!isLabel(name) && resourceFunction(name) === undefined) refuseName(name, `a function at ${at}`, "kebab-case words")
  for (const { type } of item.params) depth(type)
  if (item.result !== undefined) depth(item.result)
}

function checkInterface(name: string, type: InterfaceType): void {
  if (!isLabel(name) && !isInterfaceName(name)) refuseName(name, "an interface", "namespace:package/interface@version, or kebab-case words")
  checkUnique(type.exports.keys(), `"${name}"`)
  for (const [label, item] of type.exports) {
    checkItem(label, item, `"${name}"`)
    const owner = resourceFunction(label)?.resource
    if (owner !== undefined && type.exports.get(owner)?.kind !== "resource-type")
      throw new EncodeError("World", { at: `"${name}"`, detail: `"${label}" names no resource of its interface` })
  }
}

/** Refuses a world that no component has: names, nesting, depth of types. */
export function checkWorld({ imports, exports }: World): void {
  for (const externs of [imports, exports]) {
    checkUnique(externs.keys(), "its top")
    for (const [name, extern] of externs) {
      if (extern.kind === "interface") checkInterface(name, extern)
      else checkItem(name, extern, "its top")
    }
  }
  for (const [name, { kind }] of exports)
    if (kind !== "function" && kind !== "interface")
      throw new EncodeError("World", { at: `"${name}"`, detail: "a world exports functions and interfaces only" })
}
