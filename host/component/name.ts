import { isInterfaceName, isLabel, printable, resourceFunction } from "../../schemas/wit/name.ts"
import type { ComponentReader } from "./reader.ts"

const labelLengthMax = 256

/** A kebab-case label, or `VerifyError`. */
export function checkLabel(name: string, r: ComponentReader, offset: number): string {
  if (name.length > labelLengthMax) throw r.malformed(`a label is longer than ${labelLengthMax} characters`, offset)
  if (!isLabel(name)) throw r.malformed(`"${printable(name)}" is not a kebab-case label`, offset)
  return name
}

/** A name of an import or export: label, annotated resource function, or interface name. */
export function externName(name: string, r: ComponentReader, offset: number): string {
  if (name.length > 2 * labelLengthMax) throw r.malformed(`a name is longer than ${2 * labelLengthMax} characters`, offset)
  if (isLabel(name) || isInterfaceName(name) || resourceFunction(name) !== undefined) return name
  if (/^\[(async|implements)/.test(name)) throw r.unsupported("annotated names of the async proposal", offset)
  if (/^(url|integrity|locked-dep|unlocked-dep|relative-url)=/.test(name)) throw r.unsupported("imports by URL, hash or dependency", offset)
  throw r.malformed(`"${printable(name)}" is not the name of an import or export`, offset)
}
