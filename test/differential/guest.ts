/**
 * Guests for the differential test: from WIT functions, the text of one core module that moves their values through
 * every form the canonical ABI has. Layouts come from `test/host/abi-reference.ts`, which shares no code with the host,
 * so that a wrong offset or join in a binder meets a guest that disagrees with it.
 *
 * | function | parameters arrive | parameters leave, in a call of the import | the result |
 * |---|---|---|---|
 * | `flat-N` | as core values | in a block of memory, through `wide-N` | what the host answered |
 * | `wide-N` | in a block of memory | as core values, through `flat-N` | what the host answered |
 * | `echo-N` | as core values | – | the parameter, stored by the guest |
 * | `call-N` | as they come | as they came, through `call-N` | what the host answered; borrowed handles are dropped |
 */
import type { FunctionType, Labelled, ValueType } from "../../schemas/wit/model.ts"
import { children } from "../../schemas/wit/tree.ts"
import { alignment, type Core, flatten, size } from "../host/abi-reference.ts"
import { witPackage } from "../schemas/arbitrary-type.ts"

/** CanonicalABI.md `MAX_FLAT_PARAMS`. */
const flatParamsMax = 16

export const packageName = "gen:types@0.1.0"
export const apiName = "gen:types/api@0.1.0"
export const typesName = "gen:types/types@0.1.0"

/** One type that crosses as `flat-N`, `wide-N` and `echo-N`. */
export interface Tree {
  readonly index: number
  readonly type: ValueType
}

/** One function that crosses as `call-N`. */
export interface Call {
  readonly index: number
  readonly type: FunctionType
}

/** How many resources `types` declares for generated handles: `resource-0`, `resource-1`. */
export const resourceCount = 2

const value = (type: ValueType): ReadonlyArray<Labelled> => [{ label: "v", type }]
const u8: ValueType = { kind: "u8" }
/** 17 numbers around the value: one before it, so that it has an offset, and enough behind it that all go through memory. */
const wide = (type: ValueType): ReadonlyArray<Labelled> => [
  { label: "a", type: u8 },
  { label: "v", type },
  ...Array.from({ length: flatParamsMax }, (_, i) => ({ label: `b${i}`, type: u8 })),
]
/** What stands for those numbers, in order, `v` left out. */
export const padding: ReadonlyArray<number> = Array.from({ length: flatParamsMax + 1 }, (_, i) => 255 - i)
export const widened = (v: unknown): ReadonlyArray<unknown> => [padding[0], v, ...padding.slice(1)]

const up = (at: number, align: number): number => Math.ceil(at / align) * align
const join = (lines: ReadonlyArray<string>): string => lines.join("\n")

interface Block {
  readonly size: number
  readonly align: number
  readonly offsets: ReadonlyArray<number>
}

function blockOf(types: ReadonlyArray<ValueType>): Block {
  const tuple: ValueType = { kind: "tuple", types }
  let at = 0
  const offsets = types.map((type) => {
    const here = up(at, alignment(type))
    at = here + size(type)
    return here
  })
  return { size: size(tuple), align: alignment(tuple), offsets }
}

/** Payload types of a variant-like type by case. */
function payloads(type: ValueType): ReadonlyArray<ValueType | undefined> | undefined {
  switch (type.kind) {
    case "variant":
      return type.cases.map((one) => one.type)
    case "enum":
      return type.labels.map(() => undefined)
    case "option":
      return [undefined, type.type]
    case "result":
      return [type.ok, type.err]
    default:
      return undefined
  }
}

const discriminantSize = (cases: number): number => (cases <= 256 ? 1 : cases <= 65_536 ? 2 : 4)
const payloadOffset = (cases: ReadonlyArray<ValueType | undefined>): number =>
  up(discriminantSize(cases.length), Math.max(1, ...cases.map((type) => (type === undefined ? 1 : alignment(type)))))

const stores: Readonly<Record<number, string>> = { 1: "i32.store8", 2: "i32.store16", 4: "i32.store" }
const loads: Readonly<Record<number, string>> = { 1: "i32.load8_u", 2: "i32.load16_u", 4: "i32.load" }

/** A joined core value as a payload's own (CanonicalABI.md `CoerceValueIter`), and back. */
function narrow(expression: string, joined: Core, own: Core): string {
  if (joined === own) return expression
  if (joined === "i32") return `(f32.reinterpret_i32 ${expression})`
  if (own === "f64") return `(f64.reinterpret_i64 ${expression})`
  return own === "i32" ? `(i32.wrap_i64 ${expression})` : `(f32.reinterpret_i32 (i32.wrap_i64 ${expression}))`
}
function widen(expression: string, own: Core, joined: Core): string {
  if (joined === own) return expression
  if (joined === "i32") return `(i32.reinterpret_f32 ${expression})`
  if (own === "f64") return `(i64.reinterpret_f64 ${expression})`
  return own === "i32" ? `(i64.extend_i32_u ${expression})` : `(i64.extend_i32_u (i32.reinterpret_f32 ${expression}))`
}

const hasBorrow = (type: ValueType): boolean => type.kind === "borrow" || children(type).some(hasBorrow)

/** One core function in the making: its locals and text. */
class Body {
  readonly #locals: Array<string> = []
  #count = 0

  local(core: Core): string {
    const name = `$t${this.#count++}`
    this.#locals.push(`(local ${name} ${core})`)
    return name
  }

  get locals(): string {
    return this.#locals.join(" ")
  }

  /** Stores core values (expressions without side effects) as `type` at `base + offset`. */
  store(type: ValueType, base: string, offset: number, flat: ReadonlyArray<string>): string {
    const at = `offset=${offset} (local.get ${base})`
    const cases = payloads(type)
    if (cases !== undefined) {
      const [index = ""] = flat
      const joined = flatten(type).slice(1)
      const lines = [`(${stores[discriminantSize(cases.length)]} ${at} ${index})`]
      for (const [i, payload] of cases.entries()) {
        if (payload === undefined || size(payload) === 0) continue
        const own = flatten(payload).map((core, j) => narrow(flat[j + 1] as string, joined[j] as Core, core))
        lines.push(`(if (i32.eq ${index} (i32.const ${i})) (then`, this.store(payload, base, offset + payloadOffset(cases), own), "))")
      }
      return join(lines)
    }
    if (type.kind === "record" || type.kind === "tuple") {
      const { offsets } = blockOf(children(type))
      let from = 0
      return join(
        children(type).map((part, i) => {
          const n = flatten(part).length
          from += n
          return this.store(part, base, offset + (offsets[i] as number), flat.slice(from - n, from))
        }),
      )
    }
    if (flat.length === 1) {
      const [core = "i32"] = flatten(type)
      return `(${core === "i32" ? stores[size(type)] : `${core}.store`} ${at} ${flat[0]})`
    }
    return join(flat.map((word, i) => `(i32.store offset=${offset + 4 * i} (local.get ${base}) ${word})`))
  }

  /** Loads the value of `type` at `base + offset` into the locals `into`, which are of the core types `cores` and zero. */
  load(type: ValueType, base: string, offset: number, into: ReadonlyArray<string>, cores: ReadonlyArray<Core>): string {
    const at = `offset=${offset} (local.get ${base})`
    const cases = payloads(type)
    if (cases !== undefined) {
      const lines = [`(local.set ${into[0]} (${loads[discriminantSize(cases.length)]} ${at}))`]
      for (const [i, payload] of cases.entries()) {
        if (payload === undefined || size(payload) === 0) continue
        const own = flatten(payload)
        const joined = cores.slice(1)
        const locals = own.map((core, j) => (core === joined[j] ? (into[j + 1] as string) : this.local(core)))
        lines.push(`(if (i32.eq (local.get ${into[0]}) (i32.const ${i})) (then`, this.load(payload, base, offset + payloadOffset(cases), locals, own))
        for (const [j, core] of own.entries()) {
          if (core !== joined[j]) lines.push(`(local.set ${into[j + 1]} ${widen(`(local.get ${locals[j]})`, core, joined[j] as Core)})`)
        }
        lines.push("))")
      }
      return join(lines)
    }
    if (type.kind === "record" || type.kind === "tuple") {
      const { offsets } = blockOf(children(type))
      let from = 0
      return join(
        children(type).map((part, i) => {
          const n = flatten(part).length
          from += n
          return this.load(part, base, offset + (offsets[i] as number), into.slice(from - n, from), cores.slice(from - n, from))
        }),
      )
    }
    if (into.length === 1) {
      const [core = "i32"] = flatten(type)
      const signed = { s8: "i32.load8_s", s16: "i32.load16_s" }[type.kind as string]
      return `(local.set ${into[0]} (${signed ?? (core === "i32" ? loads[size(type)] : `${core}.load`)} ${at}))`
    }
    return join(into.map((local, i) => `(local.set ${local} (i32.load offset=${offset + 4 * i} (local.get ${base})))`))
  }

  /** Drops every borrowed handle in the value of `type` at `base + offset`, as its receiver must (CanonicalABI.md `exit_call`). */
  drop(type: ValueType, base: string, offset: number): string {
    if (!hasBorrow(type)) return ""
    const at = `offset=${offset} (local.get ${base})`
    if (type.kind === "borrow") return `(call $drop-${type.resource.name?.name} (i32.load ${at}))`
    if (type.kind === "list") {
      const [item, left] = [this.local("i32"), this.local("i32")]
      return join([
        `(local.set ${item} (i32.load ${at})) (local.set ${left} (i32.load offset=${offset + 4} (local.get ${base})))`,
        `(block (loop (br_if 1 (i32.eqz (local.get ${left})))`,
        this.drop(type.element, item, 0),
        `(local.set ${item} (i32.add (local.get ${item}) (i32.const ${size(type.element)}))) (local.set ${left} (i32.sub (local.get ${left}) (i32.const 1))) (br 0)))`,
      ])
    }
    const cases = payloads(type)
    if (cases === undefined) {
      const { offsets } = blockOf(children(type))
      return join(children(type).map((part, i) => this.drop(part, base, offset + (offsets[i] as number))))
    }
    const lines: Array<string> = []
    for (const [i, payload] of cases.entries()) {
      if (payload === undefined || !hasBorrow(payload)) continue
      const read = `(${loads[discriminantSize(cases.length)]} ${at})`
      lines.push(`(if (i32.eq ${read} (i32.const ${i})) (then`, this.drop(payload, base, offset + payloadOffset(cases)), "))")
    }
    return join(lines)
  }
}

/** A function's parameters and result as core values, lifted (an export) or lowered (an import). */
interface Signature {
  readonly params: ReadonlyArray<Core>
  readonly isFlat: boolean
  readonly result: Core | "memory" | undefined
}

function signatureOf({ params, result }: FunctionType): Signature {
  const flat = params.flatMap((param) => flatten(param.type))
  const cores = result === undefined ? [] : flatten(result)
  const isFlat = flat.length <= flatParamsMax
  return { params: isFlat ? flat : ["i32"], isFlat, result: cores.length > 1 ? "memory" : cores[0] }
}

const list = (head: string, cores: ReadonlyArray<Core>): string => (cores.length === 0 ? "" : `(${head} ${cores.join(" ")})`)

function importText(name: string, type: FunctionType): string {
  const { params, result } = signatureOf(type)
  const all = result === "memory" ? [...params, "i32" as const] : params
  return `(import "${apiName}" "${name}" (func $import-${name} ${list("param", all)} ${result === undefined || result === "memory" ? "" : `(result ${result})`}))`
}

/** The exported core function around `body`, which leaves its result, if any, on the stack; and its post-return. */
function exportText(name: string, type: FunctionType, body: Body, text: string): string {
  const { params, result } = signatureOf(type)
  const core = result === "memory" ? "i32" : result
  const named = params.map((param, i) => `(param $p${i} ${param})`).join(" ")
  return join([
    `(func (export "${apiName}#${name}") ${named} ${core === undefined ? "" : `(result ${core})`} ${body.locals}`,
    text,
    `) (func (export "cabi_post_${apiName}#${name}") ${core === undefined ? "" : `(param ${core})`} (global.set $top (i32.const ${heapBase})))`,
  ])
}

/** Calls the import with these core arguments; leaves on the stack what an export of the same result returns. */
function callImport(name: string, type: FunctionType, body: Body, args: ReadonlyArray<string>, after = ""): string {
  const { result } = signatureOf(type)
  if (result === undefined) return `(call $import-${name} ${args.join(" ")}) ${after}`
  if (result !== "memory") return `(call $import-${name} ${args.join(" ")}) ${after}`
  const area = body.local("i32")
  const answer = type.result as ValueType
  return join([
    `(local.set ${area} (call $alloc (i32.const 0) (i32.const 0) (i32.const ${alignment(answer)}) (i32.const ${size(answer)})))`,
    `(call $import-${name} ${args.join(" ")} (local.get ${area})) ${after}`,
    `(local.get ${area})`,
  ])
}

const allocate = (local: string, { align, size: bytes }: { readonly align: number; readonly size: number }): string =>
  `(local.set ${local} (call $alloc (i32.const 0) (i32.const 0) (i32.const ${align}) (i32.const ${bytes})))`

const heapBase = 1024

/** A bump allocator that grows its memory and that every post-return resets. */
export const allocator = `(memory (export "memory") 1)
(global $top (mut i32) (i32.const ${heapBase}))
(func $alloc (export "cabi_realloc") (param $old i32) (param $oldSize i32) (param $align i32) (param $size i32) (result i32) (local $at i32) (local $end i32) (local $have i32)
  (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
  (local.set $end (i32.add (local.get $at) (local.get $size)))
  (local.set $have (i32.shl (memory.size) (i32.const 16)))
  (if (i32.gt_u (local.get $end) (local.get $have))
    (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.shr_u (i32.sub (local.get $end) (local.get $have)) (i32.const 16)) (i32.const 1)))) (then unreachable))))
  (global.set $top (local.get $end))
  (memory.copy (local.get $at) (local.get $old) (select (local.get $oldSize) (local.get $size) (i32.lt_u (local.get $oldSize) (local.get $size))))
  (local.get $at))`

export interface GuestSource {
  /** WIT whose world is `both`. */
  readonly wit: string
  /** Core module text. */
  readonly core: string
}

const fixed = (params: ReadonlyArray<Labelled>, result: ValueType | undefined): FunctionType => ({
  kind: "function",
  params,
  ...(result === undefined ? {} : { result }),
})

/** The functions of a batch by name, in the order of the interface. */
export function functionsOf(trees: ReadonlyArray<Tree>, calls: ReadonlyArray<Call>): ReadonlyMap<string, FunctionType> {
  const out = new Map<string, FunctionType>()
  for (const { index, type } of trees) {
    out.set(`flat-${index}`, fixed(value(type), type))
    out.set(`wide-${index}`, fixed(wide(type), type))
    out.set(`echo-${index}`, fixed(value(type), type))
  }
  for (const { index, type } of calls) out.set(`call-${index}`, type)
  return out
}

function treeText({ index, type }: Tree): ReadonlyArray<string> {
  const [flat, packed] = [fixed(value(type), type), fixed(wide(type), type)]
  const cores = flatten(type)
  const { isFlat, params } = signatureOf(flat)
  const block = blockOf(wide(type).map((param) => param.type))
  const offset = block.offsets[1] as number
  const got = params.map((_, i) => `(local.get $p${i})`)
  const out = [importText(`flat-${index}`, flat), importText(`wide-${index}`, packed)]

  const pack = new Body()
  const at = pack.local("i32")
  const pads = block.offsets.filter((_, i) => i !== 1).map((place, i) => `(i32.store8 offset=${place} (local.get ${at}) (i32.const ${padding[i]}))`)
  const move = isFlat
    ? pack.store(type, at, offset, got)
    : `(memory.copy (i32.add (local.get ${at}) (i32.const ${offset})) (local.get $p0) (i32.const ${size(type)}))`
  out.push(
    exportText(`flat-${index}`, flat, pack, join([allocate(at, block), ...pads, move, callImport(`wide-${index}`, packed, pack, [`(local.get ${at})`])])),
  )

  const unpack = new Body()
  // The numbers around the value arrived where they belong, or the guest traps.
  const check = block.offsets
    .filter((_, i) => i !== 1)
    .map((place, i) => `(if (i32.ne (i32.load8_u offset=${place} (local.get $p0)) (i32.const ${padding[i]})) (then unreachable))`)
  if (isFlat) {
    const locals = cores.map((core) => unpack.local(core))
    const text = unpack.load(type, "$p0", offset, locals, cores)
    const args = locals.map((local) => `(local.get ${local})`)
    out.push(exportText(`wide-${index}`, packed, unpack, join([...check, text, callImport(`flat-${index}`, flat, unpack, args)])))
  } else {
    const args = [`(i32.add (local.get $p0) (i32.const ${offset}))`]
    out.push(exportText(`wide-${index}`, packed, unpack, join([...check, callImport(`flat-${index}`, flat, unpack, args)])))
  }

  const echo = new Body()
  if (cores.length <= 1 || !isFlat) out.push(exportText(`echo-${index}`, flat, echo, got[0] ?? ""))
  else {
    const area = echo.local("i32")
    const text = join([allocate(area, { align: alignment(type), size: size(type) }), echo.store(type, area, 0, got), `(local.get ${area})`])
    out.push(exportText(`echo-${index}`, flat, echo, text))
  }
  return out
}

function callText({ index, type }: Call): ReadonlyArray<string> {
  const name = `call-${index}`
  const { params, isFlat } = signatureOf(type)
  const body = new Body()
  const got = params.map((_, i) => `(local.get $p${i})`)
  const types = type.params.map((param) => param.type)
  const before: Array<string> = []
  let after = ""
  if (types.some(hasBorrow)) {
    const block = blockOf(types)
    let at = "$p0"
    if (isFlat) {
      at = body.local("i32")
      let from = 0
      before.push(allocate(at, block))
      for (const [i, one] of types.entries()) {
        const n = flatten(one).length
        before.push(body.store(one, at, block.offsets[i] as number, got.slice(from, from + n)))
        from += n
      }
    }
    after = join(types.map((one, i) => body.drop(one, at, block.offsets[i] as number)))
  }
  // A flat result stays on the stack while the borrows are dropped.
  return [importText(name, type), exportText(name, type, body, join([...before, callImport(name, type, body, got, after)]))]
}

/** WIT and core module of a batch. */
export function guestSource(trees: ReadonlyArray<Tree>, calls: ReadonlyArray<Call>): GuestSource {
  const names = Array.from({ length: resourceCount }, (_, i) => `resource-${i}`)
  const text = witPackage(functionsOf(trees, calls), "api", packageName).text
  const lines = text.split("\n").filter((line) => !/^\s*resource resource-\d+;$/.test(line))
  // Handles are of resources that the host implements, so both directions must mean the same ones.
  const used = names.filter((name) => text.includes(`resource ${name};`))
  const open = lines.findIndex((line) => line.startsWith("interface api"))
  if (used.length > 0) lines.splice(open + 1, 0, `  use types.{${used.join(", ")}};`)
  const types = join(["interface types {", ...names.map((name) => `  resource ${name};`), "}"])
  const texts = [...trees.flatMap(treeText), ...calls.flatMap(callText)]
  const drops = used.map((name) => `(import "${typesName}" "[resource-drop]${name}" (func $drop-${name} (param i32)))`)
  const imports = texts.filter((line) => line.startsWith("(import"))
  const rest = texts.filter((line) => !line.startsWith("(import"))
  return { wit: join([...lines, types]), core: join(["(module", ...drops, ...imports, allocator, ...rest, ")"]) }
}
