/**
 * Writes a component definition by definition, in order: each method adds one entry to one index space and answers its
 * index. Entries of one kind that follow each other share a section. Opcodes stand beside the production of Binary.md (at
 * the commit pinned in `schemas/wit/README.md`) that they encode.
 */
import type { StringEncoding } from "../wit/layout.ts"
import { Writer } from "../wasm/writer.ts"

/** `sortidx` of Binary.md, as far as components of ours pass them on. */
const sorts = { func: 0x01, type: 0x03, instance: 0x05 } as const
export type Sort = keyof typeof sorts

export interface Item {
  readonly name: string
  readonly sort: Sort
  readonly index: number
}

/** `core:sort`. */
const coreSorts = { func: 0x00, table: 0x01, memory: 0x02 } as const
export type CoreSort = keyof typeof coreSorts

export interface CoreItem {
  readonly name: string
  readonly sort: CoreSort
  readonly index: number
}

/** `canonopt`s; absent ones are not written. */
export interface CanonicalOptions {
  readonly encoding?: StringEncoding
  readonly memory?: number
  readonly realloc?: number
  readonly postReturn?: number
}

const encodings: Readonly<Record<StringEncoding, number>> = { utf8: 0x00, utf16: 0x01, "latin1+utf16": 0x02 }

const section = { coreModule: 1, coreInstance: 2, component: 4, instance: 5, alias: 6, type: 7, canon: 8, import: 10, export: 11 } as const

/** The bounds of an import or export of a type. */
export type TypeBound = { readonly eq: number } | "resource"

function externType(out: Writer, bound: TypeBound): void {
  out.byte(0x03)
  if (bound === "resource") out.byte(0x01)
  else out.byte(0x00).u32(bound.eq)
}

/** An instance type being declared (`0x42`), with an index space of its own inside the component's. */
export class InstanceTypeWriter {
  readonly #declarations = new Writer()
  #count = 0
  #types = 0

  #declare(opcode: number): Writer {
    this.#count++
    return this.#declarations.byte(opcode)
  }

  defineType(entry: Uint8Array): number {
    this.#declare(0x01).raw(entry)
    return this.#types++
  }

  /** A type of the component around. */
  aliasOuterType(index: number): number {
    this.#declare(0x02).byte(0x03).byte(0x02).u32(1).u32(index)
    return this.#types++
  }

  exportType(name: string, bound: TypeBound): number {
    externType(this.#declare(0x04).byte(0x00).text(name), bound)
    return this.#types++
  }

  exportFunction(name: string, type: number): void {
    this.#declare(0x04).byte(0x00).text(name).byte(0x01).u32(type)
  }

  entry(): Uint8Array {
    return new Writer().byte(0x42).u32(this.#count).raw(this.#declarations.bytes()).bytes()
  }
}

export class ComponentWriter {
  readonly #out: Writer
  #id = -1
  #entries = new Writer()
  #count = 0
  readonly #next = { type: 0, func: 0, instance: 0, component: 0, coreModule: 0, coreInstance: 0, coreFunc: 0, coreTable: 0, coreMemory: 0 }

  constructor(capacity = 256) {
    // Magic, version 0x0d, layer 1.
    this.#out = new Writer(capacity).raw([0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00])
  }

  #flush(): void {
    if (this.#count > 0) this.#out.section(this.#id, new Writer(this.#entries.length + 5).u32(this.#count).raw(this.#entries.bytes()))
    this.#entries = new Writer()
    this.#count = 0
  }

  #entry(id: number): Writer {
    if (this.#id !== id) this.#flush()
    this.#id = id
    this.#count++
    return this.#entries
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  defineType(entry: Uint8Array): number {
    this.#entry(section.type).raw(entry)
    return this.#next.type++
  }

  /** `(resource (rep i32) (dtor …)?)`. */
  resource(destructor: number | undefined): number {
    const out = this.#entry(section.type).byte(0x3f).byte(0x7f)
    if (destructor === undefined) out.byte(0x00)
    else out.byte(0x01).u32(destructor)
    return this.#next.type++
  }

  aliasOuterType(index: number): number {
    this.#entry(section.alias).byte(0x03).byte(0x02).u32(1).u32(index)
    return this.#next.type++
  }

  // ── Imports and exports ───────────────────────────────────────────────────

  importType(name: string, bound: TypeBound): number {
    externType(this.#entry(section.import).byte(0x00).text(name), bound)
    return this.#next.type++
  }

  importFunction(name: string, type: number): number {
    this.#entry(section.import).byte(0x00).text(name).byte(0x01).u32(type)
    return this.#next.func++
  }

  importInstance(name: string, type: number): number {
    this.#entry(section.import).byte(0x00).text(name).byte(0x05).u32(type)
    return this.#next.instance++
  }

  /** `type` is what a function is exported as, where that is not its own type. */
  export({ name, sort, index }: Item, type?: number): number {
    const out = this.#entry(section.export).byte(0x00).text(name).byte(sorts[sort]).u32(index)
    if (type === undefined) out.byte(0x00)
    else out.byte(0x01).byte(0x01).u32(type)
    return this.#next[sort]++
  }

  // ── Instances ─────────────────────────────────────────────────────────────

  component(component: ComponentWriter): number {
    this.#flush()
    this.#id = -1
    this.#out.section(section.component, new Writer().raw(component.bytes()))
    return this.#next.component++
  }

  instantiate(component: number, args: ReadonlyArray<Item>): number {
    this.#entry(section.instance)
      .byte(0x00)
      .u32(component)
      .vector(args, ({ name, sort, index }) => this.#entries.text(name).byte(sorts[sort]).u32(index))
    return this.#next.instance++
  }

  /** An instance of these items. */
  bundle(items: ReadonlyArray<Item>): number {
    this.#entry(section.instance)
      .byte(0x01)
      .vector(items, ({ name, sort, index }) => this.#entries.byte(0x00).text(name).byte(sorts[sort]).u32(index))
    return this.#next.instance++
  }

  alias(sort: Sort, instance: number, name: string): number {
    this.#entry(section.alias).byte(sorts[sort]).byte(0x00).u32(instance).text(name)
    return this.#next[sort]++
  }

  // ── Core ──────────────────────────────────────────────────────────────────

  coreModule(parts: ReadonlyArray<Uint8Array>): number {
    this.#flush()
    this.#id = -1
    this.#out.byte(section.coreModule).u32(parts.reduce((sum, part) => sum + part.length, 0))
    for (const part of parts) this.#out.raw(part)
    return this.#next.coreModule++
  }

  coreInstantiate(module: number, args: ReadonlyArray<readonly [name: string, instance: number]>): number {
    this.#entry(section.coreInstance)
      .byte(0x00)
      .u32(module)
      .vector(args, ([name, instance]) => this.#entries.text(name).byte(0x12).u32(instance))
    return this.#next.coreInstance++
  }

  coreBundle(items: ReadonlyArray<CoreItem>): number {
    this.#entry(section.coreInstance)
      .byte(0x01)
      .vector(items, ({ name, sort, index }) => this.#entries.text(name).byte(coreSorts[sort]).u32(index))
    return this.#next.coreInstance++
  }

  aliasCore(sort: CoreSort, instance: number, name: string): number {
    this.#entry(section.alias).byte(0x00).byte(coreSorts[sort]).byte(0x01).u32(instance).text(name)
    return this.#next[sort === "func" ? "coreFunc" : sort === "table" ? "coreTable" : "coreMemory"]++
  }

  // ── Canonical functions ───────────────────────────────────────────────────

  #options(out: Writer, { encoding, memory, realloc, postReturn }: CanonicalOptions): void {
    const options: Array<readonly [opcode: number, index?: number]> = []
    if (encoding !== undefined && encoding !== "utf8") options.push([encodings[encoding]])
    if (memory !== undefined) options.push([0x03, memory])
    if (realloc !== undefined) options.push([0x04, realloc])
    if (postReturn !== undefined) options.push([0x05, postReturn])
    out.vector(options, ([opcode, index]) => {
      out.byte(opcode)
      if (index !== undefined) out.u32(index)
    })
  }

  lift(func: number, options: CanonicalOptions, type: number): number {
    const out = this.#entry(section.canon).byte(0x00).byte(0x00).u32(func)
    this.#options(out, options)
    out.u32(type)
    return this.#next.func++
  }

  lower(func: number, options: CanonicalOptions): number {
    this.#options(this.#entry(section.canon).byte(0x01).byte(0x00).u32(func), options)
    return this.#next.coreFunc++
  }

  resourceOperation(operation: "new" | "drop" | "rep", resource: number): number {
    this.#entry(section.canon).byte({ new: 0x02, drop: 0x03, rep: 0x04 }[operation]).u32(resource)
    return this.#next.coreFunc++
  }

  bytes(): Uint8Array {
    this.#flush()
    return this.#out.bytes()
  }
}
