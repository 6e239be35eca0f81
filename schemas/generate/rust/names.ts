/** The names that WIT's labels get in Rust. */
import { pascal, snake } from "../file.ts"

/** Keywords of every edition, and of none (Rust Reference, "Keywords"). */
const reserved: ReadonlySet<string> = new Set(
  (
    "as async await break const continue crate dyn else enum extern false fn for gen if impl in let loop match mod move mut pub ref return self static struct " +
    "super trait true try type union unsafe use where while abstract become box do final macro override priv typeof unsized virtual yield"
  ).split(" "),
)
/** Types that generated code means by these names. */
const reservedTypes: ReadonlySet<string> = new Set(
  "Self Option Some None Result Ok Err String Vec Drop Copy Clone Debug PartialEq Eq Default Lift Lower Flats Blocks Handle Lent".split(" "),
)

/** Fields, functions, parameters, modules. */
export const valueName = (label: string): string => {
  const name = snake(label)
  return reserved.has(name) ? `${name}_` : name
}
export const typeName = (label: string): string => {
  const name = pascal(label)
  return reservedTypes.has(name) ? `${name}_` : name
}
export const constName = (label: string): string => snake(label).toUpperCase()
