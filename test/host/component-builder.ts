/**
 * Component binaries for tests, three ways: byte by byte (malformed ones included), from text (`wat`, `guest`), and
 * from WIT with a core module (`componentOf`). The first shares no table with the host, so that a wrong opcode in the
 * host is not repeated here; the other two are wasm-tools, an independent implementation.
 *
 * ```ts
 * const bytes = component(types(recordOf(["a", prim.u8])), exportsOf(exported("t", "type", 0)))
 * const same = await wat(`(component (type $t (record (field "a" u8))) (export "t" (type $t)))`)
 * const adder = await guest({
 *   core: `(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))`,
 *   exports: { add: `(param "a" u32) (param "b" u32) (result u32)` },
 * })
 * ```
 */
import { append, name, s as signed, section, u } from "./wasm-builder.ts"

type Bytes = ReadonlyArray<number>

/** Concatenates parts, numbers being single bytes. */
export function concat(...parts: ReadonlyArray<number | ArrayLike<number>>): Array<number> {
  const out: Array<number> = []
  for (const part of parts) {
    if (typeof part === "number") out.push(part)
    else append(out, part)
  }
  return out
}

const vector = (items: ReadonlyArray<Bytes>): Array<number> => {
  const out = u(items.length)
  for (const item of items) append(out, item)
  return out
}

// ── Binary (component-model Binary.md) ──────────────────────────────────────

/** Magic, version 0x0d, layer 1. */
export const componentPreamble: Bytes = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]

/** A component of these sections, in this order. */
export const component = (...sections: ReadonlyArray<Bytes>): Uint8Array<ArrayBuffer> => Uint8Array.from(concat(componentPreamble, ...sections))

/** Sections by content. `raw(id, bytes)` takes any contents at all. */
export const raw = (id: number, contents: Bytes): Array<number> => section(id, contents)
export const customSection = (title: string, contents: Bytes): Array<number> => section(0, concat(name(title), contents))
export const coreModule = (bytes: ArrayLike<number>): Array<number> => section(1, Array.from(bytes))
export const coreInstances = (...items: ReadonlyArray<Bytes>): Array<number> => section(2, vector(items))
export const nested = (bytes: ArrayLike<number>): Array<number> => section(4, Array.from(bytes))
export const instances = (...items: ReadonlyArray<Bytes>): Array<number> => section(5, vector(items))
export const aliases = (...items: ReadonlyArray<Bytes>): Array<number> => section(6, vector(items))
export const types = (...items: ReadonlyArray<Bytes>): Array<number> => section(7, vector(items))
export const canons = (...items: ReadonlyArray<Bytes>): Array<number> => section(8, vector(items))
export const importsOf = (...items: ReadonlyArray<Bytes>): Array<number> => section(10, vector(items))
export const exportsOf = (...items: ReadonlyArray<Bytes>): Array<number> => section(11, vector(items))

/** Primitive value types. */
export const prim = {
  bool: [0x7f],
  s8: [0x7e],
  u8: [0x7d],
  s16: [0x7c],
  u16: [0x7b],
  s32: [0x7a],
  u32: [0x79],
  s64: [0x78],
  u64: [0x77],
  f32: [0x76],
  f64: [0x75],
  char: [0x74],
  string: [0x73],
} as const satisfies Readonly<Record<string, Bytes>>

/** A value type: a primitive's byte, or an index into the type space. */
export type ValType = Bytes | number
// Type indexes share a signed space with the primitives (Binary.md `valtype`).
const val = (type: ValType): Bytes => (typeof type === "number" ? signed(type) : type)

export const recordOf = (...fields: ReadonlyArray<readonly [string, ValType]>): Array<number> =>
  concat(0x72, vector(fields.map(([label, type]) => concat(name(label), val(type)))))
export const variantOf = (...cases: ReadonlyArray<readonly [string, ValType?]>): Array<number> =>
  concat(0x71, vector(cases.map(([label, type]) => concat(name(label), type === undefined ? 0x00 : concat(0x01, val(type)), 0x00))))
export const listOf = (element: ValType): Array<number> => concat(0x70, val(element))
export const tupleOf = (...members: ReadonlyArray<ValType>): Array<number> => concat(0x6f, vector(members.map(val)))
export const flagsOf = (...labels: ReadonlyArray<string>): Array<number> => concat(0x6e, vector(labels.map(name)))
export const enumOf = (...labels: ReadonlyArray<string>): Array<number> => concat(0x6d, vector(labels.map(name)))
export const optionOf = (type: ValType): Array<number> => concat(0x6b, val(type))
export const funcOf = (params: ReadonlyArray<readonly [string, ValType]>, result?: ValType): Array<number> =>
  concat(0x40, vector(params.map(([label, type]) => concat(name(label), val(type)))), result === undefined ? [0x01, 0x00] : concat(0x00, val(result)))
export const instanceTypeOf = (...declarations: ReadonlyArray<Bytes>): Array<number> => concat(0x42, vector(declarations))
export const resourceOf = (destructor?: number): Array<number> => concat(0x3f, 0x7f, destructor === undefined ? 0x00 : concat(0x01, u(destructor)))

const sorts = {
  func: [0x01],
  type: [0x03],
  component: [0x04],
  instance: [0x05],
  "core-func": [0x00, 0x00],
  "core-memory": [0x00, 0x02],
  "core-module": [0x00, 0x11],
} as const
export type SortName = keyof typeof sorts
export const sortIndex = (sort: SortName, index: number): Array<number> => concat(sorts[sort], u(index))

/** `(export NAME (SORT INDEX))` without ascription. */
export const exported = (text: string, sort: SortName, index: number): Array<number> => concat(0x00, name(text), sortIndex(sort, index), 0x00)
export const imported = (text: string, extern: Bytes): Array<number> => concat(0x00, name(text), extern)
export const externFunc = (type: number): Array<number> => concat(0x01, u(type))
export const externInstance = (type: number): Array<number> => concat(0x05, u(type))

export const coreInstantiate = (module: number, args: ReadonlyArray<readonly [string, number]> = []): Array<number> =>
  concat(0x00, u(module), vector(args.map(([title, instance]) => concat(name(title), 0x12, u(instance)))))
export const coreBundle = (items: ReadonlyArray<readonly [name: string, sort: number, index: number]>): Array<number> =>
  concat(0x01, vector(items.map(([title, sort, index]) => concat(name(title), sort, u(index)))))
export const instantiate = (of: number, args: ReadonlyArray<readonly [string, SortName, number]> = []): Array<number> =>
  concat(0x00, u(of), vector(args.map(([title, sort, index]) => concat(name(title), sortIndex(sort, index)))))
/** `(alias core export INSTANCE NAME (core func))`; sorts: 0 func, 1 table, 2 memory, 3 global, 4 tag. */
export const aliasCore = (instance: number, text: string, sort = 0): Array<number> => concat(0x00, sort, 0x01, u(instance), name(text))
export const aliasOuter = (sort: "type" | "component" | "core-module", depth: number, index: number): Array<number> =>
  concat(sorts[sort], 0x02, u(depth), u(index))

/** Canonical options as bytes: `canonMemory(0)`. */
export const canonMemory = (memory: number): Array<number> => concat(0x03, u(memory))
export const canonRealloc = (func: number): Array<number> => concat(0x04, u(func))
export const canonLift = (func: number, type: number, options: ReadonlyArray<Bytes> = []): Array<number> =>
  concat(0x00, 0x00, u(func), vector(options), u(type))
export const canonLower = (func: number, options: ReadonlyArray<Bytes> = []): Array<number> => concat(0x01, 0x00, u(func), vector(options))

// ── Text ────────────────────────────────────────────────────────────────────

/** Bytes of a text-format component or core module. wasm-tools resolves names in it and validates nothing. */
export async function wat(text: string): Promise<Uint8Array> {
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
  try {
    return await tools.parse(text)
  } catch (error) {
    throw new Error(`Cannot assemble: ${String((error as { payload?: unknown }).payload ?? error)}`, { cause: error })
  }
}

/** A component around one core module `$m` (instance `$i`), as text. */
export interface GuestText {
  /** Component-level text in front: types, imported interfaces, nested components. */
  readonly head?: string
  /** Fields of the core module. What it exports as `memory`, `realloc` and `post-NAME` becomes the canonical options. */
  readonly core: string
  /** Fields of a core module `$libc` that is instantiated first, for imports that need a memory: exports as in `core`. */
  readonly libc?: string
  /** Functions the world imports, by name: their component type. `core` imports them from module `host`. */
  readonly imports?: Readonly<Record<string, string>>
  /** More core arguments: `(with "x" (instance $x))`. */
  readonly with?: string
  /** Functions the world exports, by name: their component type. The core export has the same name. */
  readonly exports?: Readonly<Record<string, string>>
  /** One more canonical option for each lift and lower: `string-encoding=utf16`. */
  readonly option?: string
  /** Component-level text behind. */
  readonly tail?: string
}

/** The text of a component that lifts and lowers as `GuestText` says. */
export function guestText({ head = "", core, libc, imports = {}, with: given = "", exports = {}, option = "", tail = "" }: GuestText): string {
  const allocatorOf = (text: string, instance: string): string =>
    (text.includes('(export "memory")') ? ` (memory (core memory ${instance} "memory"))` : "") +
    (text.includes('(export "realloc")') ? ` (realloc (core func ${instance} "realloc"))` : "") +
    ` ${option}`
  const lowered = libc === undefined ? ` ${option}` : allocatorOf(libc, "$libc")
  const lifted = core.includes('(export "memory")') ? allocatorOf(core, "$i") : lowered
  const lowers = Object.entries(imports).map(
    ([title, type]) => `(import "${title}" (func $f-${title} ${type})) (core func $c-${title} (canon lower (func $f-${title})${lowered}))`,
  )
  const bundle = Object.keys(imports).map((title) => `(export "${title}" (func $c-${title}))`)
  const lifts = Object.entries(exports).map(([title, type]) => {
    const post = core.includes(`(export "post-${title}")`) ? ` (post-return (core func $i "post-${title}"))` : ""
    return `(func $e-${title} ${type} (canon lift (core func $i "${title}")${lifted}${post})) (export "${title}" (func $e-${title}))`
  })
  return `(component ${head}
    ${libc === undefined ? "" : `(core module $libc-module ${libc}) (core instance $libc (instantiate $libc-module))`}
    ${lowers.join("\n    ")}
    (core instance $host ${bundle.join(" ")})
    (core module $m ${core})
    (core instance $i (instantiate $m (with "host" (instance $host)) ${libc === undefined ? "" : '(with "libc" (instance $libc))'} ${given}))
    ${lifts.join("\n    ")}
    ${tail})`
}

/** The bytes of `guestText`. */
export const guest = (text: GuestText): Promise<Uint8Array> => wat(guestText(text))

/** A memory and an allocator that only moves forward, for cores and `libc`s that need one which works. */
export const bumpAllocator = (pages = 1): string => `
  (memory (export "memory") ${pages})
  (global $heap (mut i32) (i32.const 4096))
  (func $realloc (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))))
    (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
    (local.get $at))`

/** A component from WIT and a core module (bytes or text) that has wit-component's names, by wit-component. */
export async function componentOf(
  witSource: string,
  core: Uint8Array | string,
  options: { readonly world?: string; readonly encoding?: "utf8" | "utf16" | "compact-utf16" } = {},
): Promise<Uint8Array> {
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools")
  const binary = typeof core === "string" ? await wat(core) : core
  const { world, encoding = "utf8" } = options
  return tools.componentNew(await tools.componentEmbed({ binary, witSource, ...(world === undefined ? {} : { world }), stringEncoding: encoding }))
}
