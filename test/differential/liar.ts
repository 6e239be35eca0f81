/** A guest that breaks the canonical ABI on purpose, or shows what bits it was given: one function for each case. */
import type { Recipe } from "./build.ts"
import { allocator } from "./guest.ts"

const constant = (n: number): string => `(i32.const ${n})`
/** A pointer and a length as a result in memory. */
const pair = (at: number, length: number, area = 64): string =>
  `(i32.store offset=0 ${constant(64)} ${constant(at)}) (i32.store offset=4 ${constant(64)} ${constant(length)}) ${constant(area)}`

/** WIT type, core result, core parameters and body of each function. */
const functions: Readonly<Record<string, readonly [type: string, result: "i32" | "i64" | "f32" | "", params: string, body: string]>> = {
  "bool-two": ["func() -> bool", "i32", "", constant(2)],
  "bool-in-memory": ["func() -> tuple<bool, bool>", "i32", "", `(i32.store16 ${constant(64)} ${constant(2)}) ${constant(64)}`],
  "u8-high": ["func() -> u8", "i32", "", constant(0x1ff)],
  "s8-high": ["func() -> s8", "i32", "", constant(0x180)],
  "u16-high": ["func() -> u16", "i32", "", constant(0x1ffff)],
  "flags-extra": ["func() -> permissions", "i32", "", constant(0xff)],
  "char-surrogate": ["func() -> char", "i32", "", constant(0xd800)],
  "char-big": ["func() -> char", "i32", "", constant(0x110000)],
  "enum-out": ["func() -> colour", "i32", "", constant(3)],
  "option-out": ["func() -> option<u8>", "i32", "", `(i32.store8 ${constant(64)} ${constant(2)}) ${constant(64)}`],
  "variant-out": ["func() -> shape", "i32", "", `(i32.store8 ${constant(64)} ${constant(2)}) ${constant(64)}`],
  "string-bad": ["func() -> string", "i32", "", `(i32.store ${constant(128)} ${constant(0x4180c2ff)}) ${pair(128, 4)}`],
  "string-outside": ["func() -> string", "i32", "", pair(65_530, 100)],
  "string-huge": ["func() -> string", "i32", "", pair(0, -1)],
  "list-outside": ["func() -> list<u32>", "i32", "", pair(65_532, 2)],
  "list-misaligned": ["func() -> list<u32>", "i32", "", pair(129, 1)],
  "area-misaligned": ["func() -> list<u32>", "i32", "", pair(128, 0, 66)],
  "area-outside": ["func() -> list<u32>", "i32", "", constant(65_536)],
  "nan-result": ["func() -> f32", "f32", "", `(f32.reinterpret_i32 ${constant(0x7fa00001)})`],
  "nan-list": ["func() -> list<f32>", "i32", "", `(i32.store ${constant(128)} ${constant(0x7fa00001)}) ${pair(128, 1)}`],
  "nan-bits": ["func(x: f32) -> u32", "i32", "(param f32)", "(i32.reinterpret_f32 (local.get 0))"],
  "nan-list-bits": ["func(x: list<f64>) -> u64", "i64", "(param i32 i32)", "(i64.load (local.get 0))"],
  leave: ["func() -> u32", "i32", "", constant(7)],
  "keep-borrow": ["func(x: borrow<thing>)", "", "(param i32)", ""],
  "drop-twice": ["func(x: thing)", "", "(param i32)", "(call $drop (local.get 0)) (call $drop (local.get 0))"],
  "drop-zero": ["func()", "", "", `(call $drop ${constant(0)})`],
  "own-unknown": ["func() -> thing", "i32", "", constant(77)],
}

export const liarApi = "gen:liar/api"
export const liarHost = "gen:liar/host"

export const liar: Recipe = {
  wit: `package gen:liar;
interface host { note: func(); resource thing; }
interface api { use host.{thing}; enum colour { red, green, blue } flags permissions { read, write } variant shape { dot, disc(u32) }
${Object.entries(functions)
  .map(([name, [type]]) => `  ${name}: ${type};`)
  .join("\n")}
}
world liar { import host; export api; }`,
  core: `(module (import "${liarHost}" "note" (func $note)) (import "${liarHost}" "[resource-drop]thing" (func $drop (param i32))) ${allocator}
${Object.entries(functions)
  .map(([name, [, result, params, body]]) => `(func (export "${liarApi}#${name}") ${params} ${result === "" ? "" : `(result ${result})`} ${body})`)
  .join("\n")}
(func (export "cabi_post_${liarApi}#leave") (param i32) (call $note)))`,
  world: "liar",
  encoding: "utf8",
}

/** What CanonicalABI.md says of each: a value, or a trap. */
export const lawful: Readonly<Record<string, { readonly value: unknown } | "trap">> = {
  "bool-two": { value: true },
  "bool-in-memory": { value: [true, false] },
  "u8-high": { value: 255 },
  "s8-high": { value: -128 },
  "u16-high": { value: 65_535 },
  "flags-extra": { value: { read: true, write: true } },
  "char-surrogate": "trap",
  "char-big": "trap",
  "enum-out": "trap",
  "option-out": "trap",
  "variant-out": "trap",
  "string-bad": "trap",
  "string-outside": "trap",
  "string-huge": "trap",
  "list-outside": "trap",
  "list-misaligned": "trap",
  "area-misaligned": "trap",
  "area-outside": "trap",
  "nan-result": { value: Number.NaN },
  "nan-list": { value: new Float32Array([Number.NaN]) },
  "nan-bits": { value: 0x7fc00000 },
  "nan-list-bits": { value: 0x7ff8000000000000n },
  leave: "trap",
  "keep-borrow": "trap",
  "drop-twice": "trap",
  "drop-zero": "trap",
  "own-unknown": "trap",
}
