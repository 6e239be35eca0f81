/** The names that WIT's labels get in C: every name of a world begins with its interface's, and those of no interface with `stele_`. */
import { flagBytes } from "../parts.ts"
import type { ValueType } from "../../wit/model.ts"
import { discriminantSize } from "../../wit/layout.ts"
import { snake } from "../file.ts"

/** Words of C (C17 6.4.1), and macros of the headers that `stele.h` includes. */
const reserved: ReadonlySet<string> = new Set(
  (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return short signed " +
    "sizeof static struct switch typedef union unsigned void volatile while bool true false asm typeof tag"
  ).split(" "),
)

/** A field, a case or a parameter. */
export const memberName = (label: string): string => {
  const name = snake(label)
  return reserved.has(name) ? `${name}_` : name
}

export const scalars: { readonly [K in ValueType["kind"]]?: string } = {
  bool: "bool",
  s8: "int8_t",
  u8: "uint8_t",
  s16: "int16_t",
  u16: "uint16_t",
  s32: "int32_t",
  u32: "uint32_t",
  s64: "int64_t",
  u64: "uint64_t",
  f32: "float",
  f64: "double",
  char: "uint32_t",
  string: "stele_string",
}

/** The unsigned integer that counts so many cases. */
export const discriminantType = (cases: number): string => `uint${8 * discriminantSize(cases)}_t`
/** The unsigned integer that holds so many flags, or undefined for more than one word. */
export const flagsType = (labels: number): string | undefined => (labels > 32 ? undefined : `uint${8 * flagBytes(labels)}_t`)
