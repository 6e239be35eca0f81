/**
 * Core modules for a world, with the names of wit-component's convention: each import is there and each export answers
 * with zeros. Flattening is written down a second time here (CanonicalABI.md "Flattening"), so that a mistake in the
 * encoder's is not repeated.
 */
import type { ExternType, FunctionType, ResourceType, ValueType, World } from "../../schemas/wit/model.ts"
import { type Code, get, globalGet, globalSet, i32, Module, type ValueTypeName } from "../host/wasm-builder.ts"

type Flat = "i32" | "i64" | "f32" | "f64"

const join = (a: Flat, b: Flat): Flat => (a === b ? a : [a, b].every((type) => type === "i32" || type === "f32") ? "i32" : "i64")

function flat(type: ValueType): ReadonlyArray<Flat> {
  const variant = (payloads: ReadonlyArray<ValueType | undefined>): ReadonlyArray<Flat> => {
    const out: Array<Flat> = []
    for (const payload of payloads) {
      if (payload === undefined) continue
      for (const [i, one] of flat(payload).entries()) out[i] = out[i] === undefined ? one : join(out[i] as Flat, one)
    }
    return ["i32", ...out]
  }
  switch (type.kind) {
    case "s64":
    case "u64":
      return ["i64"]
    case "f32":
    case "f64":
      return [type.kind]
    case "string":
    case "list":
      return ["i32", "i32"]
    case "record":
      return type.fields.flatMap((field) => flat(field.type))
    case "tuple":
      return type.types.flatMap(flat)
    case "variant":
      return variant(type.cases.map((one) => one.type))
    case "option":
      return variant([undefined, type.type])
    case "result":
      return variant([type.ok, type.err])
    case "flags":
      return Array.from({ length: Math.ceil(type.labels.length / 32) }, () => "i32" as const)
    default:
      return ["i32"]
  }
}

interface Signature {
  readonly params: ReadonlyArray<Flat>
  readonly results: ReadonlyArray<Flat>
}

function signatureOf(type: FunctionType, isImport: boolean): Signature {
  let params = type.params.flatMap((param) => flat(param.type))
  if (params.length > 16) params = ["i32"]
  const results = type.result === undefined ? [] : flat(type.result)
  if (results.length <= 1) return { params, results }
  return isImport ? { params: [...params, "i32"], results: [] } : { params, results: ["i32"] }
}

/** Every function and resource of a world's side, with the interface it is in. */
function* items(externs: ReadonlyMap<string, ExternType>): Iterable<readonly [of: string | undefined, name: string, item: ExternType]> {
  for (const [name, extern] of externs) {
    if (extern.kind === "interface") for (const [label, item] of extern.exports) yield [name, label, item]
    else yield [undefined, name, extern]
  }
}

export interface DummyOptions {
  /** Leaves out imports for which this answers false. */
  readonly imports?: (of: string | undefined, name: string) => boolean
  /** Without these, exports that wit-component and the encoder take but do not need. */
  readonly plain?: boolean
}

/** Does the resource belong to an imported interface? An exported interface that uses it has no operations on it. */
const importedResources = ({ imports }: World): ReadonlySet<ResourceType> =>
  new Set(Array.from(items(imports), ([, , item]) => (item.kind === "resource-type" ? item.resource : undefined)).filter((found) => found !== undefined))

export function dummyCore(world: World, { imports = () => true, plain = false }: DummyOptions = {}): Uint8Array {
  const m = new Module()
  const types = (flats: ReadonlyArray<Flat>): ReadonlyArray<ValueTypeName> => flats
  const seen = new Set<ResourceType>()
  for (const [of, name, item] of items(world.imports)) {
    if (!imports(of, name)) continue
    if (item.kind === "function") {
      const { params, results } = signatureOf(item, true)
      m.importFunc(of ?? "$root", name, types(params), types(results))
    } else if (item.kind === "resource-type" && item.resource.name?.interface === of && item.resource.name?.name === name) {
      seen.add(item.resource)
      m.importFunc(of ?? "$root", `[resource-drop]${name}`, ["i32"], [])
    }
  }
  const imported = importedResources(world)
  const own: Array<readonly [of: string, name: string]> = []
  for (const [of, name, item] of items(world.exports)) {
    if (item.kind !== "resource-type" || of === undefined || imported.has(item.resource) || seen.has(item.resource)) continue
    seen.add(item.resource)
    own.push([of, name])
    m.importFunc(`[export]${of}`, `[resource-new]${name}`, ["i32"], ["i32"])
    m.importFunc(`[export]${of}`, `[resource-rep]${name}`, ["i32"], ["i32"])
    m.importFunc(`[export]${of}`, `[resource-drop]${name}`, ["i32"], [])
  }
  m.memory(1)
  m.export("memory", "memory", 0)
  const heap = m.global("i32", true, i32(1024))
  const initialized = m.global("i32", true, i32(0))
  m.func(["i32", "i32", "i32", "i32"], ["i32"], { export: "cabi_realloc", locals: ["i32"] }, [
    globalGet(heap),
    get(2),
    "i32.add",
    i32(1),
    "i32.sub",
    get(2),
    i32(1),
    "i32.sub",
    i32(-1),
    "i32.xor",
    "i32.and",
    [0x22, 4],
    get(3),
    "i32.add",
    globalSet(heap),
    get(4),
  ])
  if (!plain) m.func([], [], { export: "_initialize" }, [globalGet(initialized), i32(1), "i32.add", globalSet(initialized)])
  const zero: Readonly<Record<Flat, Code>> = { i32: i32(0), i64: [0x42, 0], f32: [0x43, 0, 0, 0, 0], f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0] }
  for (const [of, name, item] of items(world.exports)) {
    if (item.kind !== "function") continue
    const { params, results } = signatureOf(item, false)
    const core = of === undefined ? name : `${of}#${name}`
    m.func(
      types(params),
      types(results),
      { export: core },
      results.map((type) => zero[type]),
    )
    if (!plain && item.params.length % 2 === 1) m.func(types(results), [], { export: `cabi_post_${core}` }, [])
  }
  for (const [i, [of, name]] of own.entries()) if (i % 2 === 0) m.func(["i32"], [], { export: `${of}#[dtor]${name}` }, [])
  return m.bytes()
}
