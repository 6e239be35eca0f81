/**
 * Several modules of one manifest as the bytes of one: the main module with a custom section behind it that holds the others.
 * So they are one plugin everywhere: one digest, one entry of a cache, one message to a thread or process.
 *
 *     section = 0, size, name "stele:extism-modules", module*       (custom section, core specification 5.5.3)
 *     module  = name, size, bytes                                   (names and sizes as the format writes them)
 */
import { LimitError } from "../../../schemas/error/limit.ts"
import { ExtismError } from "../../../schemas/error/extism.ts"
import { VerifyError } from "../../../schemas/error/verify.ts"
import { Reader } from "../../../schemas/wasm/reader.ts"
import { isCoreModule } from "../../component/decode.ts"
import { joined } from "../../port/port.ts"
import { printable } from "../../../schemas/wit/name.ts"
import { mainName } from "./names.ts"

const sectionName = "stele:extism-modules"
const nameBytes = new TextEncoder().encode(sectionName)
/** Bytes of a module's name. */
const moduleNameBytesMax = 256

export interface Modules {
  readonly main: Uint8Array
  readonly libraries: ReadonlyMap<string, Uint8Array>
}

const leb = (value: number): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  let rest = value
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>>= 7
  } while (rest > 0)
  return bytes
}

/** @throws ExtismError `Link` for what is no core module, or has a name that is too long */
export function joinModules({ main, libraries }: Modules): Uint8Array {
  for (const [name, bytes] of [[mainName, main] as const, ...libraries]) {
    const refuse = (detail: string): never => {
      throw new ExtismError("Link", { module: printable(name), detail })
    }
    if (!isCoreModule(bytes)) refuse("it is no core module")
    if (new TextEncoder().encode(name).length > moduleNameBytesMax) refuse(`its name is longer than ${moduleNameBytesMax} bytes`)
  }
  const parts: Array<Uint8Array> = [Uint8Array.from(leb(nameBytes.length)), nameBytes]
  for (const [name, bytes] of libraries) {
    const text = new TextEncoder().encode(name)
    parts.push(Uint8Array.from(leb(text.length)), text, Uint8Array.from(leb(bytes.length)), bytes)
  }
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  return joined([main, Uint8Array.of(0, ...leb(size)), ...parts])
}

/** The last section, where it is this one; undefined for a module alone. What is in it is checked as any bytes are. */
export function splitModules(bytes: Uint8Array, coreModulesMax: number): Modules | undefined {
  const reader = new Reader(bytes, 8)
  let last = 8
  while (reader.at < reader.end) {
    last = reader.at
    reader.byte()
    const size = reader.u32()
    // The module's own decoder says what is wrong with it.
    if (size > reader.end - reader.at) return undefined
    reader.at += size
  }
  if (bytes[last] !== 0) return undefined
  reader.at = last + 1
  reader.u32()
  const name = take(reader)
  if (name === undefined || name.length !== nameBytes.length || !name.every((byte, i) => byte === nameBytes[i])) return undefined
  const libraries = new Map<string, Uint8Array>()
  while (reader.at < reader.end) {
    const from = reader.at
    const [text, module] = [take(reader), take(reader)]
    if (text === undefined || module === undefined || text.length > moduleNameBytesMax)
      throw new VerifyError("Malformed", { offset: from, detail: "a module among others ends too early" })
    const label = decode(text, from)
    if (libraries.has(label)) throw new ExtismError("Link", { module: printable(label), detail: "there are two of this name" })
    libraries.set(label, module)
    // The kernel is one of them.
    if (libraries.size + 2 > coreModulesMax) throw new LimitError("coreModulesMax", { limit: coreModulesMax, actual: libraries.size + 2 })
  }
  return { main: bytes.subarray(0, last), libraries }
}

/** A length and that many bytes; undefined where there are fewer. */
function take(reader: Reader): Uint8Array | undefined {
  const length = reader.u32()
  if (length > reader.end - reader.at) return undefined
  reader.at += length
  return reader.bytes.subarray(reader.at - length, reader.at)
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

function decode(text: Uint8Array, offset: number): string {
  try {
    return utf8.decode(text)
  } catch {
    throw new VerifyError("Malformed", { offset, detail: "the name of a module is not UTF-8" })
  }
}
