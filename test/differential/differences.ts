/**
 * Every point in which our host and jco 1.35 (jco-transpile 0.15.0) are known to differ, at most 15: with the clause of
 * CanonicalABI.md at the commit pinned in `schemas/wit/README.md`, who is right, and minimal cases that prove that the
 * difference still exists. Whatever differs otherwise fails `differential.test.ts`.
 */
import { deepStrictEqual } from "node:assert"
import { enumeration, flags, type FunctionType, list, option, primitive, record, result, tuple, type ValueType, variant } from "../../schemas/wit/model.ts"
import { children } from "../../schemas/wit/tree.ts"
import { flatten } from "../host/abi-reference.ts"
import { sameValue } from "../schemas/arbitrary-type.ts"
import type { Pair, Shown, Side } from "./compare.ts"

/** What a case shows on one side: a value, or a refusal whose message matches. */
export type Expected = { readonly value: unknown } | { readonly refused: RegExp }

/** What the proofs run on. */
export interface Stage {
  /** The types of `shapes` in both hosts. */
  readonly pair: Pair
  /** Calls a function of `liar.ts` in a fresh instance; `thing` makes a resource of its host. */
  readonly lie: (side: Side, name: string, args: (thing: () => object) => ReadonlyArray<unknown>) => unknown
  /** Builds and calls, alone: the component in text exports `f` without parameters. */
  readonly alone: (side: Side, component: string) => Promise<unknown>
  /** Builds the guest of one type with an encoding, and echoes a value. */
  readonly encoded: (side: Side, encoding: "compact-utf16", value: string) => Promise<unknown>
  /** Disposes of two guest resources that came in one list: how often the destructor ran. */
  readonly disposeTwo: (side: Side) => Promise<unknown>
}

export interface Case {
  readonly what: string
  /** The function of `liar.ts` it calls, if it is one of those. */
  readonly lie?: string
  readonly run: (stage: Stage, side: Side) => unknown
  readonly ours: Expected
  readonly jco: Expected
}

export interface Difference {
  readonly name: string
  /** Function or section of CanonicalABI.md, or where the specification says nothing, that. */
  readonly clause: string
  readonly right: "ours" | "jco" | "both"
  readonly why: string
  readonly cases: ReadonlyArray<Case>
}

const { bool, u8, s8, s32, u64, f64, char, string } = primitive

/** Types of the minimal cases. */
export const shapes = {
  bool,
  u8,
  u64,
  f64,
  char,
  string,
  bytes: list(u8),
  pair: tuple(u8, u8),
  record: record({ a: u8, b: string }),
  upper: record({ "max-URL": u8 }),
  variant: variant({ a: u8, b: undefined }),
  enum: enumeration("x", "y"),
  flags: flags("x", "y"),
  option: option(u8),
  options: option(option(option(u8))),
  nested: tuple(result(undefined, u8)),
  outer: result(u8, u8),
  s8InI64: variant({ a: u64, b: s8 }),
  s32InI64: variant({ a: u64, b: s32 }),
} as const satisfies Readonly<Record<string, ValueType>>

const index = (shape: keyof typeof shapes): number => Object.keys(shapes).indexOf(shape)
const value = (expected: unknown): Expected => ({ value: expected })
const refused = (message: RegExp): Expected => ({ refused: message })

/** The value through the guest and back, outermost `result` as a value, in whatever form the side gives it. */
const echo =
  (shape: keyof typeof shapes, given: unknown): Case["run"] =>
  (stage, side) =>
    stage.pair.raw(side, `echo-${index(shape)}`, [given], undefined).result
/** What the import got of a value that the guest loaded from memory and passed as core values. */
const passed =
  (shape: keyof typeof shapes, given: unknown): Case["run"] =>
  (stage, side) =>
    stage.pair.passed(side, index(shape), given)
const lie =
  (name: string, args: (thing: () => object) => ReadonlyArray<unknown> = () => []): Case["run"] =>
  (stage, side) =>
    stage.lie(side, name, args)

/** A wrong argument: our refusal names where it is, jco makes something of it. */
const coerced = (shape: keyof typeof shapes, given: unknown, jco: unknown, path = ""): Case => ({
  what: `${shape} from ${typeof given === "bigint" ? `${given}n` : JSON.stringify(given)}`,
  run: echo(shape, given),
  ours: refused(new RegExp(` at args\\[0\\]${path.replace(/[.[\]]/g, "\\$&")}$`)),
  jco: value(jco),
})

const bits = (shown: unknown): unknown => new Uint32Array((shown as Float32Array).buffer)[0]
const canonicalNan64 = 0x7ff8000000000000n
const nanWithPayload = (): Float64Array => new Float64Array(new BigUint64Array([0x7ff4000000000001n]).buffer)
const labels = Array.from({ length: 33 }, (_, i) => `"f${i}"`).join(" ")
/** 33 flags, the first and the last set, from a hand-written binary. */
const wideFlags = `(component (type $f (flags ${labels})) (export $g "g" (type $f))
  (core module $m (memory (export "m") 1) (func (export "f") (result i32) (i32.store (i32.const 8) (i32.const 1)) (i32.store (i32.const 12) (i32.const 1)) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func $e (result $g) (canon lift (core func $i "f") (memory (core memory $i "m"))))
  (export "f" (func $e)))`

export const differences: ReadonlyArray<Difference> = [
  {
    name: "byte order mark",
    clause: "load_string_from_range: the bytes are decoded as they are, and U+FEFF is a character",
    right: "ours",
    why: "jco decodes with a TextDecoder that drops a leading U+FEFF",
    cases: [{ what: "a string that starts with U+FEFF", run: echo("string", "\ufeffa"), ours: value("\ufeffa"), jco: value("a") }],
  },
  {
    name: "signed payload joined to i64",
    clause: "lift_flat_variant: CoerceValueIter wraps an i64 to an i32, of which lift_flat_signed makes a negative number",
    right: "ours",
    why: "jco takes the i64 for the number itself",
    cases: [
      {
        what: "an s8 beside a u64",
        run: passed("s8InI64", { tag: "b", val: -1 }),
        ours: value({ tag: "b", val: -1 }),
        jco: refused(/must be between -128 and 127/),
      },
      {
        what: "an s32 beside a u64",
        run: passed("s32InI64", { tag: "b", val: -1 }),
        ours: value({ tag: "b", val: -1 }),
        jco: value({ tag: "b", val: 4294967295 }),
      },
    ],
  },
  {
    name: "bits that a type does not have",
    clause: "convert_int_to_bool, lift_flat_unsigned, lift_flat_signed and unpack_flags_from_int ignore the unused high bits",
    right: "ours",
    why: "jco refuses a value whose unused bits are set",
    cases: [
      { what: "a bool of 2", lie: "bool-two", run: lie("bool-two"), ours: value(true), jco: refused(/invalid variant discriminant for bool/) },
      {
        what: "a bool of 2 in memory",
        lie: "bool-in-memory",
        run: lie("bool-in-memory"),
        ours: value([true, false]),
        jco: refused(/invalid variant discriminant for bool/),
      },
      { what: "a u8 of 0x1ff", lie: "u8-high", run: lie("u8-high"), ours: value(255), jco: refused(/must be between 0 and 255/) },
      { what: "an s8 of 0x180", lie: "s8-high", run: lie("s8-high"), ours: value(-128), jco: refused(/must be between -128 and 127/) },
      { what: "a u16 of 0x1ffff", lie: "u16-high", run: lie("u16-high"), ours: value(65_535), jco: refused(/must be between 0 and 65535/) },
      { what: "two flags of 0xff", lie: "flags-extra", run: lie("flags-extra"), ours: value({ read: true, write: true }), jco: refused(/extraneous bits/) },
    ],
  },
  {
    name: "latin1+utf16",
    clause: "canonopt string-encoding=latin1+utf16; store_string_to_latin1_or_utf16",
    right: "ours",
    why: "jco's generator stops at an assertion that the encoding is UTF-8 or UTF-16",
    cases: [
      {
        what: "any component with that encoding",
        run: (stage, side) => stage.encoded(side, "compact-utf16", "aé→"),
        ours: value("aé→"),
        jco: refused(/unreachable/),
      },
    ],
  },
  {
    name: "flags of 33 and more",
    clause: "elem_size_flags: 0 < n <= 32",
    right: "jco",
    why: "we carry the layout of the specification's earlier text, one i32 for each 32 labels, since components with it exist; jco's decoder refuses them",
    cases: [
      {
        what: "33 flags, the first and the last set",
        run: async (stage, side) =>
          Object.entries((await stage.alone(side, wideFlags)) as object)
            .filter(([, on]) => on === true)
            .map(([name]) => name),
        ours: value(["f0", "f32"]),
        jco: refused(/cannot have more than 32 flags/),
      },
    ],
  },
  {
    name: "text that is not UTF-8",
    clause: "load_string_from_range: a UnicodeError traps",
    right: "ours",
    why: "jco replaces what it cannot decode by U+FFFD",
    cases: [{ what: "the bytes ff c2 80 41", lie: "string-bad", run: lie("string-bad"), ours: refused(/is not UTF-8/), jco: value("\ufffd\u0080A") }],
  },
  {
    name: "memory that is not there",
    clause: "load_list_from_range and lift_flat_values: trap_if(ptr + … > len(memory)), trap_if(ptr != align_to(ptr, …))",
    right: "ours",
    why: "jco reads what the memory has and takes zeros for the rest; it does not look at the alignment of a result area",
    cases: [
      {
        what: "a list that begins inside the memory and ends outside",
        lie: "list-outside",
        run: lie("list-outside"),
        ours: refused(/outside the memory/),
        jco: value(new Uint32Array([0])),
      },
      {
        what: "a result area at an odd address",
        lie: "area-misaligned",
        run: lie("area-misaligned"),
        ours: refused(/not aligned to 4/),
        jco: value(new Uint32Array()),
      },
    ],
  },
  {
    name: "a borrow that is kept",
    clause: "Task.return_: trap_if(self.num_borrows > 0)",
    right: "ours",
    why: "jco lets the call return",
    cases: [
      {
        what: "a borrowed handle that the guest does not drop",
        lie: "keep-borrow",
        run: lie("keep-borrow", (thing) => [thing()]),
        ours: refused(/was not dropped/),
        jco: value(undefined),
      },
    ],
  },
  {
    name: "a handle that never was",
    clause: "lift_own: trap_if(not isinstance(h, ResourceHandle))",
    right: "ours",
    why: "jco makes a new, empty object of the host's class for an index that is not in the table",
    cases: [
      {
        what: "handle 77 of an empty table as a result",
        lie: "own-unknown",
        run: async (stage, side) => typeof (await lie("own-unknown")(stage, side)),
        ours: refused(/handle 77 is unknown/),
        jco: value("object"),
      },
    ],
  },
  {
    name: "disposing of handles from a list",
    clause: "canon resource.drop: the destructor runs once for each owned handle",
    right: "ours",
    why: "jco's objects of one list share one variable, so all of them drop the last one's handle",
    cases: [{ what: "two of one list disposed of", run: (stage, side) => stage.disposeTwo(side), ours: value(2), jco: value(1) }],
  },
  {
    name: "NaN payloads in lists",
    clause: "canonicalize_nan32, maybe_scramble_nan64: which bits a NaN has is up to the host",
    right: "both",
    why: "our NaNs are canonical everywhere, so that a guest's result is deterministic; jco copies the elements of number lists as bytes",
    cases: [
      {
        what: "a NaN that the guest makes",
        lie: "nan-list",
        run: async (stage, side) => bits(await lie("nan-list")(stage, side)),
        ours: value(0x7fc00000),
        jco: value(0x7fa00001),
      },
      {
        what: "a NaN that the guest is given",
        lie: "nan-list-bits",
        run: lie("nan-list-bits", () => [nanWithPayload()]),
        ours: value(canonicalNan64),
        jco: value(0x7ff4000000000001n),
      },
    ],
  },
  {
    name: "wrong arguments",
    clause: "Lowering begins with a value of the type; how a host makes one of its own values is not specified",
    right: "both",
    why: "we refuse what is not a value of the type and say where; jco applies JavaScript's conversions, which turn mistakes into other values",
    cases: [
      coerced("bool", "no", true),
      coerced("u8", 256, 0),
      coerced("u8", 1.5, 1),
      coerced("u8", "3", 3),
      coerced("u8", null, 0),
      coerced("u64", -1n, 0xffff_ffff_ffff_ffffn),
      coerced("u64", 1, 1n),
      coerced("f64", "x", Number.NaN),
      coerced("char", "ab", "a"),
      coerced("bytes", "abc", new Uint8Array()),
      coerced("pair", [1], [1, 0]),
      coerced("pair", [1, 2, 3], [1, 2]),
      coerced("record", { a: "7", b: "" }, { a: 7, b: "" }, ".a"),
      coerced("variant", { tag: "a" }, { tag: "a", val: 0 }, ".val"),
      coerced("variant", { tag: "b", val: 3 }, { tag: "b" }, ".val"),
      coerced("flags", { z: true }, { x: false, y: false }),
      coerced("option", null, undefined),
    ],
  },
  {
    name: "outermost result",
    clause: "A result is a variant of ok and err; how a host shows it is not specified",
    right: "both",
    why: "an export's error case throws a PluginError with the payload here and the payload itself there; a host function returns the result here and returns or throws there",
    cases: [
      {
        what: "an export that answers err(7)",
        run: (stage, side) => stage.pair.bare(side, `echo-${index("outer")}`, [{ tag: "err", val: 7 }]),
        ours: refused(/^PluginError: /),
        jco: refused(/^7$/),
      },
      {
        what: "a host function that returns 7 for result<u8, u8>",
        run: (stage, side) => stage.pair.bare(side, `flat-${index("outer")}`, [{ tag: "ok", val: 1 }], 7),
        ours: refused(/at result$/),
        jco: value(7),
      },
    ],
  },
  {
    name: "forms of option and result",
    clause: "How a host shows option and result is not specified",
    right: "both",
    why: "here every option of an option is tagged and a case without payload has no `val`; jco tags only where undefined is already taken, and a result always has `val`",
    cases: [
      {
        what: "some(some(some(1)))",
        run: (stage, side) => echo("options", side === "ours" ? { tag: "some", val: { tag: "some", val: 1 } } : { tag: "some", val: 1 })(stage, side),
        ours: value({ tag: "some", val: { tag: "some", val: 1 } }),
        jco: value({ tag: "some", val: 1 }),
      },
      { what: "ok without payload, inside", run: echo("nested", [{ tag: "ok" }]), ours: value([{ tag: "ok" }]), jco: value([{ tag: "ok", val: undefined }]) },
    ],
  },
  {
    name: "upper-case words",
    clause: "How a host turns labels into property names is not specified",
    right: "both",
    why: "here a word after the first keeps its capitals, `max-URL` → `maxURL`; jco writes `maxUrl`",
    cases: [
      {
        what: "a field max-URL",
        run: (stage, side) => echo("upper", side === "ours" ? { maxURL: 1 } : { maxUrl: 1 })(stage, side),
        ours: value({ maxURL: 1 }),
        jco: value({ maxUrl: 1 }),
      },
    ],
  },
]

/** Does `shown` meet the expectation? The text says how it does not. */
export function unmet(expected: Expected, shown: { readonly value: unknown } | { readonly thrown: unknown }): string | undefined {
  if ("refused" in expected) {
    if (!("thrown" in shown)) return `answered ${JSON.stringify(shown.value, (_, v: unknown) => (typeof v === "bigint" ? `${v}n` : v))} instead of refusing`
    return expected.refused.test(String(shown.thrown)) ? undefined : `refused with ${String(shown.thrown)}`
  }
  if ("thrown" in shown) return `refused with ${String(shown.thrown)}`
  if (sameValue(shown.value, expected.value)) return undefined
  try {
    deepStrictEqual(shown.value, expected.value)
    return "answered a value that differs in sign of zero or own properties"
  } catch (error) {
    return String(error)
  }
}

/** Leaf kinds by core value, as `flatten` orders them; a variant's are those of all its cases. */
function leaves(type: ValueType): ReadonlyArray<ReadonlySet<string>> {
  const cases =
    type.kind === "variant"
      ? type.cases.map((one) => one.type)
      : type.kind === "result"
        ? [type.ok, type.err]
        : type.kind === "option"
          ? [type.type]
          : undefined
  if (cases !== undefined) {
    const out: Array<ReadonlySet<string>> = []
    for (const one of cases) if (one !== undefined) for (const [i, kinds] of leaves(one).entries()) out[i] = new Set([...(out[i] ?? []), ...kinds])
    return [new Set(), ...out]
  }
  if (type.kind === "record" || type.kind === "tuple") return children(type).flatMap(leaves)
  return flatten(type).map(() => new Set([type.kind]))
}

const signed = ["s8", "s16", "s32"]
/** Does `type` flatten a signed integer of at most 32 bits into an i64? */
const joinsSigned = (type: ValueType): boolean => {
  const cores = flatten(type)
  return leaves(type).some((kinds, i) => cores[i] === "i64" && signed.some((kind) => kinds.has(kind)))
}

/** Negative numbers as jco shows them where it takes the i64 for the number. */
function unsigned(shown: unknown): unknown {
  if (typeof shown === "number") return Number.isInteger(shown) && shown < 0 ? shown + 2 ** 32 : shown
  if (Array.isArray(shown)) return shown.map(unsigned)
  if (typeof shown !== "object" || shown === null || Object.getPrototypeOf(shown) !== Object.prototype) return shown
  return Object.fromEntries(Object.entries(shown).map(([key, inner]) => [key, unsigned(inner)]))
}

/** Is what jco shows the difference "signed payload joined to i64"? `called` is the import that lifts core values. */
export function isSignedJoin(called: FunctionType, jco: Shown, expected: Shown): boolean {
  const types = called.params.map((param) => param.type)
  if (types.flatMap(flatten).length > 16 || !types.some(joinsSigned)) return false
  if (jco.thrown !== undefined) return jco.thrown instanceof Error && /must be between -\d+ and \d+/.test(jco.thrown.message)
  return sameValue(unsigned(jco.received), unsigned(expected.received)) && sameValue(jco.result, expected.result)
}
