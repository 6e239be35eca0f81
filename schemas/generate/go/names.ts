/** The names that WIT's labels get in Go: every name of a world begins with its interface's. */
import { camel, pascal } from "../file.ts"

/** Keywords, and names that generated code means as Go declares them (Go specification, "Keywords", "Predeclared identifiers"). */
const reserved: ReadonlySet<string> = new Set(
  (
    "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var " +
    "append bool byte cap clear close complex copy error false float32 float64 int int8 int16 int32 int64 len make max min new nil panic print println rune string " +
    "true uint uint8 uint16 uint32 uint64 uintptr unsafe self area result f out at block address pointer take lent mark reset flats flatsOf endLent bits32 bits64"
  ).split(" "),
)
/** Methods that generated code adds, and the field that says which case a variant is. */
const reservedMembers: ReadonlySet<string> = new Set(["Drop", "Tag"])

export const parameterName = (label: string): string => {
  const name = camel(label)
  return reserved.has(name) || /^(?:[ap]|abi)\d+$|^(?:abi|held|drop|import|export|new|rep)[A-Z]/.test(name) ? `${name}_` : name
}
/** A field, a method or a case: exported, so no keyword. */
export const memberName = (label: string): string => {
  const name = pascal(label)
  return reservedMembers.has(name) ? `${name}_` : name
}
