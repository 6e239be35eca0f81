/**
 * The two modules that break a cycle: a core module is instantiated with its imports, and a lowered import may need the
 * memory that this instance brings. The module gets stubs that call through a table, and when its memory is there a
 * second module fills the table and starts what has to be started. A host that makes lowered functions before it has the
 * memory can leave both out, as ours does (`host/component/fold.ts`), so they hold nothing else.
 */
import type { CoreSignature, FlatType } from "../wit/layout.ts"
import { Writer } from "../wasm/writer.ts"

const valueTypes: Readonly<Record<FlatType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c }

/** Export of the shim that is its table, and module names of the fix-up. */
export const shimTable = "$imports"
export const fixupModules = { slots: "", table: "shim", start: "main" } as const

class Module {
  // Magic, version 1.
  readonly #out = new Writer().raw([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00])
  readonly #types = new Map<string, { readonly index: number; readonly signature: CoreSignature }>()

  /** Index of a function type, written once. */
  type(signature: CoreSignature): number {
    const key = `${signature.params.join()}>${signature.results.join()}`
    let found = this.#types.get(key)
    if (found === undefined) {
      found = { index: this.#types.size, signature }
      this.#types.set(key, found)
    }
    return found.index
  }

  section<A>(id: number, items: ReadonlyArray<A>, write: (out: Writer, item: A, index: number) => void): this {
    const contents = new Writer()
    contents.vector(items, (item, index) => write(contents, item, index))
    this.#out.section(id, contents)
    return this
  }

  types(): this {
    return this.section(1, [...this.#types.values()], (out, { signature }) => {
      out.byte(0x60)
      for (const types of [signature.params, signature.results]) out.vector(types, (type) => out.byte(valueTypes[type]))
    })
  }

  raw(id: number, write: (out: Writer) => void): this {
    const contents = new Writer()
    write(contents)
    this.#out.section(id, contents)
    return this
  }

  bytes(): Uint8Array {
    return this.#out.bytes()
  }
}

const funcref = 0x70

/** Stubs `0`, `1`, … of these signatures; each calls what the table holds in its slot. */
export function shimModule(slots: ReadonlyArray<CoreSignature>): Uint8Array {
  const module = new Module()
  const typeOf = slots.map((signature) => module.type(signature))
  module.types()
  module.section(3, typeOf, (out, type) => out.u32(type))
  module.section(4, [slots.length], (out, size) => out.byte(funcref).byte(0x01).u32(size).u32(size))
  module.section(7, [...slots.keys(), shimTable], (out, each) => {
    if (typeof each === "number") out.text(String(each)).byte(0x00).u32(each)
    else out.text(each).byte(0x01).u32(0)
  })
  module.section(10, slots, (out, { params }, slot) => {
    const body = new Writer().byte(0x00) // no locals
    for (const index of params.keys()) body.byte(0x20).u32(index) // local.get
    body
      .byte(0x41) // i32.const
      .s32(slot)
      .byte(0x11) // call_indirect type, table 0
      .u32(typeOf[slot] as number)
      .u32(0)
      .byte(0x0b)
    out.u32(body.length).raw(body.bytes())
  })
  return module.bytes()
}

/** Fills the table of a shim, and calls `start`, an export of the main module. */
export function fixupModule(slots: ReadonlyArray<CoreSignature>, start: string | undefined): Uint8Array {
  const module = new Module()
  const functions = slots.map((signature, slot) => ({ module: fixupModules.slots as string, name: String(slot), type: module.type(signature) }))
  if (start !== undefined) functions.push({ module: fixupModules.start, name: start, type: module.type({ params: [], results: [] }) })
  const imports: Array<{ readonly module: string; readonly name: string; readonly type?: number }> = [...functions]
  if (slots.length > 0) imports.push({ module: fixupModules.table, name: shimTable })
  module.types()
  module.section(2, imports, (out, each) => {
    out.text(each.module).text(each.name)
    if (each.type !== undefined) out.byte(0x00).u32(each.type)
    else out.byte(0x01).byte(funcref).byte(0x01).u32(slots.length).u32(slots.length)
  })
  if (start !== undefined) module.raw(8, (out) => out.u32(slots.length))
  if (slots.length > 0)
    module.section(9, [slots], (out) =>
      out
        .byte(0x00)
        .byte(0x41)
        .byte(0x00)
        .byte(0x0b)
        .vector(slots, (_slot, index) => out.u32(index)),
    )
  return module.bytes()
}
