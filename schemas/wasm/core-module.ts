/**
 * Decoder of core modules: total on any bytes. It answers with what linking and rewriting need, and refuses what cannot
 * be contained, before the engine sees the bytes. Instructions are left to the rewriter, which walks each body against
 * the allow-list (`host/harden/opcodes.ts`).
 *
 * Every count is compared with the bytes that are left, and with a fixed cap, before anything is allocated for it; no
 * step recurses. Source: WebAssembly core specification 3.0, chapter 5 "Binary Format".
 */
import { Reader } from "./reader.ts"
import { LimitError, VerifyError } from "../error/mod.ts"

export type CoreValueType = "i32" | "i64" | "f32" | "f64" | "v128" | "funcref" | "externref"

export interface CoreFunctionType {
  readonly params: ReadonlyArray<CoreValueType>
  readonly results: ReadonlyArray<CoreValueType>
}

/** What a core module imports or exports. Memory sizes are in 64-KiB pages, table sizes in elements. */
export type CoreExternType =
  | { readonly kind: "func"; readonly type: CoreFunctionType }
  | { readonly kind: "table"; readonly element: "funcref" | "externref"; readonly min: number; readonly max?: number }
  | { readonly kind: "memory"; readonly min: number; readonly max?: number }
  | { readonly kind: "global"; readonly type: CoreValueType; readonly mutable: boolean }
  | { readonly kind: "tag"; readonly type: CoreFunctionType }

export interface CoreImport {
  readonly module: string
  readonly name: string
  readonly type: CoreExternType
}

export interface CoreModule {
  readonly imports: ReadonlyArray<CoreImport>
  readonly exports: ReadonlyMap<string, CoreExternType>
  /** Functions the module defines itself. */
  readonly functionCount: number
  /** Initial pages of the memory the module defines, 0 without one: what an instance takes from `memoryBytesMax` at once. */
  readonly memoryPagesInitial: number
  /** Initial elements of the tables the module defines, summed: what an instance takes from `tableElementsMax` at once. */
  readonly tableElementsInitial: number
  /** Offsets and indexes, for the rewriter. */
  readonly layout: CoreLayout
}

/** A function type as value-type bytes. */
export interface RawType {
  readonly params: Uint8Array
  readonly results: Uint8Array
  /** How many of the parameters, and of the results, are v128. */
  readonly vectorParams: number
  readonly vectorResults: number
}

export interface Limits32 {
  readonly min: number
  /** `undefined` when the binary states none. */
  readonly max: number | undefined
}

export interface CoreTable extends Limits32 {
  /** 0x70 funcref or 0x6F externref. */
  readonly element: number
}

/** Where things lie in the binary, and the index spaces. Imported entries come first in each space, as in the format. */
export interface CoreLayout {
  readonly types: ReadonlyArray<RawType>
  /** Type index of each function, imported ones first. */
  readonly functionTypes: Uint32Array
  readonly functionsImported: number
  readonly tables: ReadonlyArray<CoreTable>
  readonly tablesImported: number
  readonly memories: ReadonlyArray<Limits32>
  readonly memoriesImported: number
  /** Value type of each global, imported ones first. */
  readonly globalTypes: Uint8Array
  readonly globalsImported: number
  /** Type index of each tag, imported ones first. */
  readonly tagTypes: ReadonlyArray<number>
  readonly tagsImported: number
  readonly elemCount: number
  /** Elements in each element segment. */
  readonly elemSizes: Uint32Array
  readonly dataCount: number
  /** Bytes in each data segment. */
  readonly dataSizes: Uint32Array
  /** What instantiation copies: active segments, their elements and their bytes. */
  readonly activeSegments: number
  readonly activeElements: number
  readonly activeDataBytes: number
  /** Function indexes that are exported. */
  readonly exported: ReadonlyArray<number>
  /** Function indexes whose references leave their module's sight: element segments, `ref.func` in initialisers, start. */
  readonly referenced: ReadonlyArray<number>
  readonly start: number | undefined
  /** For each defined function: offset of its body (locals first) and of its end. */
  readonly bodyStarts: Uint32Array
  readonly bodyEnds: Uint32Array
  /** Contents of each section, by id: [start, end), or undefined. Index 0 is unused. */
  readonly sections: ReadonlyArray<readonly [number, number] | undefined>
  /** Contents of the `name` custom section after its name, if there is one. */
  readonly names: readonly [number, number] | undefined
}

const sameTypes = (a: ReadonlyArray<CoreValueType>, b: ReadonlyArray<CoreValueType>): boolean => a.length === b.length && a.every((type, i) => type === b[i])

/** Function types are equal by their parts: two modules number their own. */
export const isSameSignature = (a: CoreFunctionType, b: CoreFunctionType): boolean =>
  a === b || (sameTypes(a.params, b.params) && sameTypes(a.results, b.results))

/** Caps on counts. Engines allow more (V8: 1,000,000 functions and types); a module of that size is split before it comes here. */
const countsMax = {
  types: 100_000,
  imports: 100_000,
  functions: 500_000,
  tables: 1_000,
  tags: 10_000,
  globals: 200_000,
  exports: 100_000,
  "element segments": 100_000,
  "data segments": 100_000,
  parameters: 1_000,
  results: 1_000,
} as const

/** Names longer than this are refused; V8 and JavaScriptCore draw the line at the same 100,000 bytes. */
const nameBytesMax = 100_000

const sectionNames = ["custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "tag"]
/** Position of each section id in a module (core specification 5.5.2). */
const sectionOrder = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6]

/** Reads a core module: the cursor with the caps of its counts. */
export class CoreReader extends Reader {
  /** A count of things that take at least `bytesMin` bytes each. */
  count(what: keyof typeof countsMax, bytesMin: number): number {
    const from = this.at
    const count = this.u32()
    if (count * bytesMin > this.end - this.at) this.fail(`${count} ${what} do not fit in the bytes left`, from)
    if (count > countsMax[what]) throw new VerifyError("TooMany", { offset: from, what, count, limit: countsMax[what] })
    return count
  }

  name(): string {
    return this.text(nameBytesMax)
  }
}

const valueTypeNames = new Map<number, CoreValueType>([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
  [0x70, "funcref"],
  [0x6f, "externref"],
])

/** True for a value type that a function body may use; `exnref` (0x69) never crosses a module's boundary. */
export const isValueType = (byte: number): boolean => (byte >= 0x7b && byte <= 0x7f) || byte === 0x70 || byte === 0x6f || byte === 0x69

/** Refuses a byte that stands where a value type should, by what it would mean in a wider feature set. */
export function refuseValueType(reader: CoreReader, byte: number, offset: number): never {
  if (byte === 0x63 || byte === 0x64) throw new VerifyError("TypedReferences", { offset })
  if (byte === 0x68 || byte === 0x75) throw new VerifyError("StackSwitching", { offset }) // (no)contref
  if ((byte >= 0x6a && byte <= 0x78) || byte === 0x74) throw new VerifyError("GcTypes", { offset, found: "a GC reference type" })
  return reader.fail(`0x${byte.toString(16)} is not a value type`, offset)
}

const readValueType = (reader: CoreReader): number => {
  const offset = reader.at
  const byte = reader.byte()
  return isValueType(byte) ? byte : refuseValueType(reader, byte, offset)
}

const readValueTypes = (reader: CoreReader, what: "parameters" | "results"): Uint8Array => {
  const count = reader.count(what, 1)
  const from = reader.at
  for (let i = 0; i < count; i++) readValueType(reader)
  return count === 0 ? noTypes : reader.bytes.subarray(from, reader.at)
}

const noTypes = new Uint8Array(0)
const noIndexes = new Uint32Array(0)

const readType = (reader: CoreReader): RawType => {
  const offset = reader.at
  const form = reader.byte()
  if (form === 0x4e || form === 0x4f || form === 0x50) throw new VerifyError("GcTypes", { offset, found: "a recursive or sub type" })
  if (form === 0x5e || form === 0x5f) throw new VerifyError("GcTypes", { offset, found: "an array or struct type" })
  if (form === 0x4c || form === 0x4d) throw new VerifyError("GcTypes", { offset, found: "a descriptor type" })
  if (form === 0x5d) throw new VerifyError("StackSwitching", { offset }) // cont
  if (form !== 0x60) reader.fail(`0x${form.toString(16)} is not a type form`, offset)
  const params = readValueTypes(reader, "parameters")
  const results = readValueTypes(reader, "results")
  return { params, results, vectorParams: vectors(params), vectorResults: vectors(results) }
}

const vectors = (types: Uint8Array): number => {
  let count = 0
  for (const type of types) if (type === 0x7b) count++
  return count
}

/** Flags of limits: bit 0 maximum, bit 1 shared, bit 2 64-bit, bit 3 page size. */
const readLimits = (reader: CoreReader, engineMax: number, what: "memory" | "table"): Limits32 => {
  const offset = reader.at
  const flags = reader.byte()
  if (flags & 2) throw new VerifyError("SharedMemory", { offset })
  if (flags & 4) throw new VerifyError("Memory64", { offset })
  if (flags & 8) throw new VerifyError("CustomPageSize", { offset })
  if (flags > 1) reader.fail(`0x${flags.toString(16)} is not a limits flag`, offset)
  const min = reader.u32()
  const max = flags & 1 ? reader.u32() : undefined
  if (min > engineMax || (max !== undefined && (max < min || max > engineMax))) reader.fail(`${what} limits out of range`, offset)
  return { min, max }
}

const readTable = (reader: CoreReader): CoreTable => {
  const offset = reader.at
  const element = reader.byte()
  if (element === 0x40) throw new VerifyError("TypedReferences", { offset }) // a table with an initialiser
  if (element !== 0x70 && element !== 0x6f) {
    if (element === 0x69) throw new VerifyError("Unsupported", { offset, feature: "a table of exception references" })
    refuseValueType(reader, element, offset)
  }
  return { element, ...readLimits(reader, 0xffff_ffff, "table") }
}

/** One object for each type, however many imports and exports have it: four bytes of binary must not become 16 KB of names. */
const functionType = (
  types: ReadonlyArray<RawType>,
  known: Map<number, CoreFunctionType>,
  index: number,
  reader: CoreReader,
  offset: number,
): CoreFunctionType => {
  const found = known.get(index)
  if (found !== undefined) return found
  const raw = types[index]
  if (raw === undefined) return reader.fail(`type ${index} is not defined`, offset)
  const named = (bytes: Uint8Array): Array<CoreValueType> => {
    const out: Array<CoreValueType> = []
    for (const byte of bytes) out.push(valueTypeNames.get(byte) ?? refuseBoundary(offset))
    return out
  }
  const type = { params: named(raw.params), results: named(raw.results) }
  known.set(index, type)
  return type
}
const refuseBoundary = (offset: number): never => {
  throw new VerifyError("Unsupported", { offset, feature: "an exception reference in an import or export" })
}

/**
 * Steps over a constant expression and tells every function and global index in it, with the offset of its LEB128 (the
 * reader stands behind it). Allowed: constants, `global.get`,
 * `ref.null`, `ref.func`, and the extended constant instructions (i32 and i64 add, sub, mul).
 */
export function readConstant(reader: CoreReader, onFunction: (index: number, at: number) => void, onGlobal: (index: number, at: number) => void): void {
  for (;;) {
    const offset = reader.at
    const opcode = reader.byte()
    switch (opcode) {
      case 0x0b:
        return
      case 0x23: {
        const at = reader.at
        onGlobal(reader.u32(), at)
        break
      }
      case 0x41:
        reader.skipSigned(32)
        break
      case 0x42:
        reader.skipSigned(64)
        break
      case 0x43:
        reader.skip(4)
        break
      case 0x44:
        reader.skip(8)
        break
      case 0x6a:
      case 0x6b:
      case 0x6c:
      case 0x7c:
      case 0x7d:
      case 0x7e:
        break
      case 0xd0: {
        const at = reader.at
        const type = reader.byte()
        if (type !== 0x70 && type !== 0x6f && type !== 0x69) refuseValueType(reader, type, at)
        break
      }
      case 0xd2: {
        const at = reader.at
        onFunction(reader.u32(), at)
        break
      }
      case 0xfd: {
        if (reader.u32() !== 12) reader.fail("an instruction that is not constant", offset)
        reader.skip(16)
        break
      }
      case 0xfb:
        throw new VerifyError("GcTypes", { offset, found: "a GC instruction" })
      default:
        reader.fail("an instruction that is not constant", offset)
    }
  }
}

/**
 * Decodes a core module. `limits.functionBodyBytesMax` bounds each body.
 *
 * Throws `VerifyError` (`NotWasm`, `Malformed`, `Unsupported`, `TooMany` or the code of a refused feature), with the
 * offset in these bytes, or `LimitError` `functionBodyBytesMax`. It does not validate: types and indexes inside bodies
 * are the engine's and the rewriter's business.
 */
export function decodeCoreModule(bytes: Uint8Array, limits: { readonly functionBodyBytesMax: number }): CoreModule {
  const reader = new CoreReader(bytes)
  if (bytes.length < 8 || bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
    const found = bytes.length === 0 ? "nothing" : Array.from(bytes.subarray(0, 4), (b) => b.toString(16).padStart(2, "0")).join(" ")
    throw new VerifyError("NotWasm", { found })
  }
  if (bytes[4] !== 1 || bytes[5] !== 0 || bytes[6] !== 0 || bytes[7] !== 0) reader.fail("not a core module of version 1", 4)

  // Sections first: ids, order and extents, so that code can be judged knowing the data section behind it.
  const sections: Array<readonly [number, number] | undefined> = new Array<undefined>(14).fill(undefined)
  let names: readonly [number, number] | undefined
  let order = 0
  reader.at = 8
  while (reader.at < bytes.length) {
    const offset = reader.at
    const id = reader.byte()
    const size = reader.u32()
    const start = reader.at
    reader.skip(size)
    if (id === 0) {
      const custom = new CoreReader(bytes, start, reader.at)
      if (custom.name() === "name" && names === undefined) names = [custom.at, custom.end]
      continue
    }
    const position = sectionOrder[id] ?? reader.fail(`section ${id} is not known`, offset)
    if (position <= order) reader.fail(`the ${sectionNames[id]} section is repeated or out of order`, offset)
    order = position
    sections[id] = [start, reader.at]
  }
  const inSection = <A>(id: number, absent: A, read: (reader: CoreReader) => A): A => {
    const extent = sections[id]
    if (extent === undefined) return absent
    const section = new CoreReader(bytes, extent[0], extent[1])
    const result = read(section)
    if (section.at !== section.end) section.fail(`bytes left over in the ${sectionNames[id]} section`)
    return result
  }

  const types = inSection<Array<RawType>>(1, [], (r) => {
    const out: Array<RawType> = []
    for (let left = r.count("types", 2); left > 0; left--) out.push(readType(r))
    return out
  })

  const namedTypes = new Map<number, CoreFunctionType>()
  const imports: Array<CoreImport> = []
  const importedFunctions: Array<number> = []
  const tables: Array<CoreTable> = []
  const memories: Array<Limits32> = []
  const globals: Array<{ readonly type: number; readonly mutable: boolean }> = []
  const tagTypes: Array<number> = []
  const typeIndex = (r: CoreReader): number => {
    const offset = r.at
    const index = r.u32()
    if (index >= types.length) r.fail(`type ${index} is not defined`, offset)
    return index
  }
  const readMemory = (r: CoreReader): Limits32 => {
    const offset = r.at
    const memory = readLimits(r, 65_536, "memory")
    memories.push(memory)
    if (memories.length > 1) throw new VerifyError("MultipleMemories", { offset })
    return memory
  }
  const readGlobalType = (r: CoreReader): { readonly type: number; readonly mutable: boolean } => {
    const offset = r.at
    const type = readValueType(r)
    const flag = r.byte()
    if (flag > 1) {
      if (flag === 2 || flag === 3) throw new VerifyError("SharedMemory", { offset })
      r.fail(`0x${flag.toString(16)} is not a mutability`, offset)
    }
    if (type === 0x69) throw new VerifyError("Unsupported", { offset, feature: "a global of exception references" })
    const global = { type, mutable: flag === 1 }
    globals.push(global)
    return global
  }
  const readTag = (r: CoreReader): number => {
    const offset = r.at
    if (r.byte() !== 0) r.fail("a tag that is no exception", offset)
    const index = typeIndex(r)
    if (types[index]?.results.length !== 0) r.fail("a tag with results", offset)
    tagTypes.push(index)
    return index
  }
  const limitsOf = (l: Limits32): { readonly min: number; readonly max?: number } => (l.max === undefined ? { min: l.min } : { min: l.min, max: l.max })
  const tableType = (t: CoreTable): CoreExternType => ({ kind: "table", element: t.element === 0x70 ? "funcref" : "externref", ...limitsOf(t) })
  const globalType = (g: { readonly type: number; readonly mutable: boolean }): CoreExternType => ({
    kind: "global",
    type: valueTypeNames.get(g.type) as CoreValueType,
    mutable: g.mutable,
  })

  inSection(2, undefined, (r) => {
    for (let left = r.count("imports", 4); left > 0; left--) {
      const module = r.name()
      const name = r.name()
      const offset = r.at
      const kind = r.byte()
      if (kind === 0) {
        const index = typeIndex(r)
        importedFunctions.push(index)
        imports.push({ module, name, type: { kind: "func", type: functionType(types, namedTypes, index, r, offset) } })
      } else if (kind === 1) {
        const table = readTable(r)
        tables.push(table)
        imports.push({ module, name, type: tableType(table) })
      } else if (kind === 2) imports.push({ module, name, type: { kind: "memory", ...limitsOf(readMemory(r)) } })
      else if (kind === 3) imports.push({ module, name, type: globalType(readGlobalType(r)) })
      else if (kind === 4) imports.push({ module, name, type: { kind: "tag", type: functionType(types, namedTypes, readTag(r), r, offset) } })
      else r.fail(`0x${kind.toString(16)} is not an import kind`, offset)
    }
    return undefined
  })
  const functionsImported = importedFunctions.length
  const tablesImported = tables.length
  const memoriesImported = memories.length
  const globalsImported = globals.length
  const tagsImported = tagTypes.length

  const functionTypes = inSection<Uint32Array>(3, new Uint32Array(importedFunctions), (r) => {
    const count = r.count("functions", 1)
    const out = new Uint32Array(functionsImported + count)
    out.set(importedFunctions)
    for (let i = 0; i < count; i++) out[functionsImported + i] = typeIndex(r)
    return out
  })
  const functionCount = functionTypes.length - functionsImported
  inSection(4, undefined, (r) => {
    for (let left = r.count("tables", 2); left > 0; left--) tables.push(readTable(r))
    return undefined
  })
  inSection(5, undefined, (r) => {
    const count = r.u32()
    for (let i = 0; i < count; i++) readMemory(r)
    return undefined
  })
  inSection(13, undefined, (r) => {
    for (let left = r.count("tags", 2); left > 0; left--) readTag(r)
    return undefined
  })

  const exported: Array<number> = []
  const referenced: Array<number> = []
  const functionIndex = (index: number, offset: number): number => {
    if (index >= functionTypes.length) reader.fail(`function ${index} is not defined`, offset)
    return index
  }
  const references = (index: number, offset: number): void => void referenced.push(functionIndex(index, offset))
  const globalRead = (index: number, offset: number): void => {
    if (index >= globals.length) reader.fail(`global ${index} is not defined`, offset)
  }
  inSection(6, undefined, (r) => {
    for (let left = r.count("globals", 3); left > 0; left--) {
      readGlobalType(r)
      readConstant(r, references, globalRead)
    }
    return undefined
  })

  const exports = new Map<string, CoreExternType>()
  inSection(7, undefined, (r) => {
    for (let left = r.count("exports", 3); left > 0; left--) {
      const offset = r.at
      const name = r.name()
      const kind = r.byte()
      const index = r.u32()
      if (exports.has(name)) r.fail("two exports of one name", offset)
      const absent = (): never => r.fail(`an export of index ${index}, which is not defined`, offset)
      if (kind === 0) {
        exported.push(functionIndex(index, offset))
        exports.set(name, { kind: "func", type: functionType(types, namedTypes, functionTypes[index] as number, r, offset) })
      } else if (kind === 1) exports.set(name, tableType(tables[index] ?? absent()))
      else if (kind === 2) exports.set(name, { kind: "memory", ...limitsOf(memories[index] ?? absent()) })
      else if (kind === 3) exports.set(name, globalType(globals[index] ?? absent()))
      else if (kind === 4) exports.set(name, { kind: "tag", type: functionType(types, namedTypes, tagTypes[index] ?? absent(), r, offset) })
      else r.fail(`0x${kind.toString(16)} is not an export kind`, offset)
    }
    return undefined
  })
  const start = inSection<number | undefined>(8, undefined, (r) => {
    const offset = r.at
    const index = r.u32()
    references(index, offset)
    return index
  })

  let activeSegments = 0
  let activeElements = 0
  let activeDataBytes = 0
  const elemSizes = inSection<Uint32Array>(9, noIndexes, (r) => {
    const sizes = new Uint32Array(r.count("element segments", 2))
    for (let i = 0; i < sizes.length; i++) {
      const isActive = ((r.bytes[r.at] as number) & 1) === 0
      const size = readElem(r, references, globalRead)
      sizes[i] = size
      if (!isActive) continue
      activeSegments++
      activeElements += size
    }
    return sizes
  })

  const dataCountDeclared = inSection<number | undefined>(12, undefined, (r) => r.u32())
  const dataSizes = inSection<Uint32Array>(11, noIndexes, (r) => {
    const sizes = new Uint32Array(r.count("data segments", 2))
    for (let i = 0; i < sizes.length; i++) {
      const offset = r.at
      const flags = r.u32()
      if (flags > 2) r.fail(`${flags} is not a data segment's form`, offset)
      if (flags === 2 && r.u32() !== 0) throw new VerifyError("MultipleMemories", { offset })
      if (flags !== 1) {
        if (memories.length === 0) r.fail("a data segment in a module without a memory", offset)
        readConstant(r, references, globalRead)
      }
      const size = r.u32()
      r.skip(size)
      sizes[i] = size
      if (flags === 1) continue
      activeSegments++
      activeDataBytes += size
    }
    return sizes
  })
  if (dataCountDeclared !== undefined && dataCountDeclared !== dataSizes.length) reader.fail("the data count section disagrees with the data section")

  const bodyStarts = new Uint32Array(functionCount)
  const bodyEnds = new Uint32Array(functionCount)
  inSection(10, undefined, (r) => {
    const count = r.u32()
    if (count !== functionCount) r.fail(`${count} bodies for ${functionCount} functions`)
    for (let i = 0; i < count; i++) {
      const size = r.u32()
      if (size > limits.functionBodyBytesMax) throw new LimitError("functionBodyBytesMax", { limit: limits.functionBodyBytesMax, actual: size })
      bodyStarts[i] = r.at
      r.skip(size)
      bodyEnds[i] = r.at
    }
    return undefined
  })
  if (sections[10] === undefined && functionCount > 0) reader.fail(`no code section for ${functionCount} functions`)

  let tableElementsInitial = 0
  for (let i = tablesImported; i < tables.length; i++) tableElementsInitial += (tables[i] as CoreTable).min
  return {
    imports,
    exports,
    functionCount,
    memoryPagesInitial: memories.length > memoriesImported ? (memories[0] as Limits32).min : 0,
    tableElementsInitial,
    layout: {
      types,
      functionTypes,
      functionsImported,
      tables,
      tablesImported,
      memories,
      memoriesImported,
      globalTypes: new Uint8Array(globals.map((global) => global.type)),
      globalsImported,
      tagTypes,
      tagsImported,
      elemCount: elemSizes.length,
      elemSizes,
      dataCount: dataSizes.length,
      dataSizes,
      activeSegments,
      activeElements,
      activeDataBytes,
      exported,
      referenced,
      start,
      bodyStarts,
      bodyEnds,
      sections,
      names,
    },
  }
}

/** Steps over one element segment, tells the function and global indexes in it, and answers its length. */
export function readElem(r: CoreReader, onFunction: (index: number, at: number) => void, onGlobal: (index: number, at: number) => void): number {
  const offset = r.at
  const flags = r.u32()
  if (flags > 7) r.fail(`${flags} is not an element segment's form`, offset)
  if ((flags & 1) === 0) {
    if (flags & 2) r.u32() // table index; the engine checks it
    readConstant(r, onFunction, onGlobal)
  }
  const expressions = (flags & 4) !== 0
  if ((flags & 3) !== 0) {
    const at = r.at
    const kind = r.byte()
    if (expressions ? kind !== 0x70 && kind !== 0x6f : kind !== 0) {
      if (expressions) refuseValueType(r, kind, at)
      r.fail(`0x${kind.toString(16)} is not an element kind`, at)
    }
  }
  const at = r.at
  const count = r.u32()
  if (count > r.end - r.at) r.fail(`${count} elements do not fit in the bytes left`, at)
  for (let i = 0; i < count; i++) {
    if (expressions) readConstant(r, onFunction, onGlobal)
    else {
      const index = r.at
      onFunction(r.u32(), index)
    }
  }
  return count
}
