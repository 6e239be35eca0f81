/** The names that WIT's labels get in AssemblyScript. Each is given once; two things of one name are refused. */
import { camel } from "../file.ts"
import { Names } from "../parts.ts"

/** Words that no declaration may have as its name, and globals that generated code uses. */
const reserved: ReadonlySet<string> = new Set(
  (
    "any async await bool boolean break case catch class const constructor continue debugger default delete do else enum export extends " +
    "f32 f64 false finally for function i16 i32 i64 i8 if implements import in instanceof interface isize let never new null number " +
    "object of override package private protected public return static string super switch symbol this throw true try typeof u16 u32 u64 u8 undefined " +
    "usize v128 var void while with yield eval arguments anyref funcref externref " +
    "readonly abstract declare " +
    "heap memory load store changetype reinterpret unchecked unreachable assert abort isDefined select idof"
  ).split(" "),
)
/** Classes and types that generated files use by these names. */
const reservedTypes: ReadonlySet<string> = new Set(["Array", "StaticArray", "String", "Option", "Result", "Unit", "Object"])
/** Members of every resource's class, and words that stand before a member's name. */
const reservedMembers: ReadonlySet<string> = new Set(
  "handle create from take drop value dispose constructor prototype static public private protected abstract override readonly declare".split(" "),
)

export const valueName = (name: string): string => (reserved.has(name) ? `${name}_` : name)
export const typeName = (name: string): string => (reservedTypes.has(name) || /^Tuple\d+$/.test(name) ? `${name}_` : name)
export const memberName = (name: string): string => (reservedMembers.has(name) ? `${name}_` : name)

/** A flag's. What a class of flags has besides are its words; `asc` takes no word of the language for the name of a getter. */
export const flagName = (label: string): string => (/^bits\d+$/.test(camel(label)) ? `${camel(label)}_` : valueName(camel(label)))
/** A variant's case: a static function of its class. */
export const caseName = (label: string): string => valueName(camel(label))

/** Names of one scope, each with what has it. */
export class Scope extends Names {
  constructor() {
    super("AssemblyScript")
  }
}

export { isNamed, type Node, nodeOf } from "../parts.ts"
