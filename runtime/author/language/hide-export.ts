/**
 * Takes an export out of a component: interpreters export what their own build calls, which is no part of the plugin's world. An export also
 * gives what it exports a second index, so something of the same sort is put in its place, and every later index stays what it was
 * (Binary.md "Component Definitions", "Import and Export Definitions").
 */
import { Reader } from "../../../schemas/wasm/reader.ts"
import { Writer } from "../../../schemas/wasm/writer.ts"

const section = { instance: 5, alias: 6, export: 11 } as const
const sort = { func: 0x01, instance: 0x05 } as const
const nameCharsMax = 1_000

interface Export {
  readonly name: string
  readonly sort: number
  readonly from: number
  readonly to: number
}

/** The entries of an export section that starts at `at`; undefined where there is something that no component of today has. */
function exportsIn(bytes: Uint8Array, at: number, end: number): ReadonlyArray<Export> | undefined {
  const reader = new Reader(bytes, at, end)
  const found: Array<Export> = []
  for (let count = reader.u32(); count > 0; count--) {
    const from = reader.at
    reader.byte()
    const name = reader.text(nameCharsMax)
    const kind = reader.byte()
    if (kind === 0x00) reader.byte()
    reader.u32()
    // A type that it is exported as: one of a component's own indexes.
    if (reader.byte() !== 0x00) {
      const ascribed = reader.byte()
      if (ascribed === 0x00) return undefined
      if (ascribed === 0x03 && reader.byte() === 0x01) return undefined
      reader.u32()
    }
    found.push({ name, sort: kind, from, to: reader.at })
  }
  return found
}

/** The bytes of an alias of a function `name` of some instance, which makes a function index wherever it stands. */
function aliasOf(bytes: Uint8Array, at: number, end: number, name: string): Uint8Array | undefined {
  const text = new Writer().text(name).bytes()
  for (let i = at + 1; i + text.length <= end; i++) {
    if (!text.every((byte, j) => bytes[i + j] === byte)) continue
    // `0x01` func, `0x00` of an instance, its index, the name.
    for (let start = i - 3; start > at && start >= i - 7; start--) {
      if (bytes[start] !== sort.func || bytes[start + 1] !== 0x00) continue
      const reader = new Reader(bytes, start + 2, end)
      reader.u32()
      if (reader.at === i) return bytes.slice(start, i + text.length)
    }
  }
  return undefined
}

/** The component without its exports `names`; the same bytes where it has none of them, or none that can be taken out. */
export function hideExports(component: Uint8Array, names: ReadonlySet<string>): Uint8Array {
  const out = new Writer(component.length)
  out.raw(component.subarray(0, 8))
  const reader = new Reader(component, 8)
  const aliases = new Map<string, Uint8Array>()
  while (reader.at < component.length) {
    const start = reader.at
    const id = reader.byte()
    const end = reader.u32() + reader.at
    if (id === section.alias) {
      for (const name of names) {
        const found = aliasOf(component, reader.at, end, name)
        if (found !== undefined) aliases.set(name, found)
      }
    }
    const entries = id === section.export ? exportsIn(component, reader.at, end) : undefined
    const isHidden = (one: Export): boolean => names.has(one.name) && (one.sort === sort.instance || (one.sort === sort.func && aliases.has(one.name)))
    if (entries === undefined || !entries.some(isHidden)) out.raw(component.subarray(start, end))
    else
      for (const one of entries) {
        const entry = new Writer().u32(1)
        if (!isHidden(one)) out.section(section.export, entry.raw(component.subarray(one.from, one.to)))
        else if (one.sort === sort.func) out.section(section.alias, entry.raw(aliases.get(one.name) as Uint8Array))
        else out.section(section.instance, entry.raw([0x01, 0x00]))
      }
    reader.at = end
  }
  return out.bytes()
}
