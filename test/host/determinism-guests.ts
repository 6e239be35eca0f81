/**
 * Guests whose results would tell two engines apart, if anything could: NaN bits seen in every way a guest can see
 * them, vectors, growth at its cap, bulk operations, recursion to the counted stack's end, calls of the host.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { kernels } from "../bench/guest/kernels.ts"
import { bumpAllocator, guest, wat } from "./component-builder.ts"

/** Bit patterns: zeros, ones, halves, extremes, subnormals, infinities, quiet and signalling NaNs of both signs with payloads. */
const bits64 = [
  "0",
  "0x8000000000000000",
  "0x3ff0000000000000",
  "0xbff0000000000000",
  "0x7fefffffffffffff",
  "0x1",
  "0x800fffffffffffff",
  "0x7ff0000000000000",
  "0xfff0000000000000",
  "0x7ff8000000000000",
  "0xfff8000000000000",
  "0x7ff8000000000001",
  "0xfff80000deadbeef",
  "0x7ff0000000000001",
  "0xfff7ffffffffffff",
  "0x7ff4000012345678",
  "0x4330000000000001",
  "0xc1e0000000200000",
  "0x3fe0000000000000",
  "0x4004000000000000",
  "0xbffb333333333333",
] as const
const bits32 = [
  "0",
  "0x80000000",
  "0x3f800000",
  "0xbf800000",
  "0x7f7fffff",
  "0x1",
  "0x807fffff",
  "0x7f800000",
  "0xff800000",
  "0x7fc00000",
  "0xffc00000",
  "0x7fc00001",
  "0xffc0beef",
  "0x7f800001",
  "0xffbfffff",
  "0x7fa01234",
  "0x4b000001",
  "0xcf000000",
  "0x3f000000",
  "0x40200000",
  "0xbfd9999a",
] as const
const count = bits64.length

const littleEndian = (value: string, bytes: number): string =>
  Array.from({ length: bytes }, (_, i) => `\\${((BigInt(value) >> BigInt(8 * i)) & 255n).toString(16).padStart(2, "0")}`).join("")

/** At 1024 the 64-bit patterns, at 2048 the 32-bit ones. */
const patterns = `(data (i32.const 1024) "${bits64.map((bits) => littleEndian(bits, 8)).join("")}")
  (data (i32.const 2048) "${bits32.map((bits) => littleEndian(bits, 4)).join("")}")`

const mixIn = `(func $mix (param $h i64) (param $x i64) (result i64)
  (i64.mul (i64.xor (i64.rotl (local.get $h) (i64.const 7)) (local.get $x)) (i64.const 0x9e3779b97f4a7c15)))`

/** Loops `body` over all pairs of patterns: `$a` and `$b` are addresses of elements of `size` bytes; `body` leaves an i64. */
const overPairs = (name: string, size: 4 | 8, body: string, locals = ""): string => {
  const [from, to] = size === 8 ? [1024, 1024 + 8 * count] : [2048, 2048 + 4 * count]
  return `(func (export "${name}") (result i64) (local $a i32) (local $b i32) (local $h i64) ${locals}
    (local.set $a (i32.const ${from}))
    (loop $as
      (local.set $b (i32.const ${from}))
      (loop $bs
        (local.set $h (call $mix (local.get $h) ${body}))
        (br_if $bs (i32.lt_u (local.tee $b (i32.add (local.get $b) (i32.const ${size}))) (i32.const ${to}))))
      (br_if $as (i32.lt_u (local.tee $a (i32.add (local.get $a) (i32.const ${size}))) (i32.const ${to}))))
    (local.get $h))`
}

type Body = readonly [name: string, size: 4 | 8, body: string, locals?: string]

const x64 = "(f64.load (local.get $a))"
const y64 = "(f64.load (local.get $b))"
const x32 = "(f32.load (local.get $a))"
const y32 = "(f32.load (local.get $b))"
const seen64 = (value: string): string => `(i64.reinterpret_f64 ${value})`
const seen32 = (value: string): string => `(i64.extend_i32_u (i32.reinterpret_f32 ${value}))`

const scalar: ReadonlyArray<Body> = [
  ...["add", "sub", "mul", "div", "min", "max", "copysign"].flatMap((op): ReadonlyArray<Body> => [
    [`f64-${op}`, 8, seen64(`(f64.${op} ${x64} ${y64})`)],
    [`f32-${op}`, 4, seen32(`(f32.${op} ${x32} ${y32})`)],
  ]),
  ...["sqrt", "ceil", "floor", "trunc", "nearest", "neg", "abs"].flatMap((op): ReadonlyArray<Body> => [
    [`f64-${op}`, 8, seen64(`(f64.${op} ${x64})`)],
    [`f32-${op}`, 4, seen32(`(f32.${op} ${x32})`)],
  ]),
  ["f64-promote", 4, seen64(`(f64.promote_f32 ${x32})`)],
  ["f32-demote", 8, seen32(`(f32.demote_f64 ${x64})`)],
  ["f64-trunc-sat", 8, `(i64.xor (i64.trunc_sat_f64_s ${x64}) (i64.extend_i32_u (i32.trunc_sat_f64_u ${y64})))`],
  ["f64-compare", 8, `(i64.extend_i32_u (i32.or (i32.shl (f64.lt ${x64} ${y64}) (i32.const 1)) (f64.eq ${x64} ${y64})))`],
]

const nan64 = `(f64.mul (f64.div ${x64} ${y64}) (f64.sub ${y64} ${x64}))`
const nan32 = `(f32.mul (f32.div ${x32} ${y32}) (f32.sub ${y32} ${x32}))`

/** The same value seen through everything that lets a guest see bits. */
const observed: ReadonlyArray<Body> = [
  ["see-reinterpret", 8, seen64(nan64)],
  ["see-store", 8, `(block (result i64) (f64.store (i32.const 8) ${nan64}) (i64.load (i32.const 8)))`],
  ["see-store32", 4, `(block (result i64) (f32.store (i32.const 8) ${nan32}) (i64.load32_u (i32.const 8)))`],
  ["see-store-bytes", 8, `(block (result i64) (f64.store (i32.const 8) ${nan64}) (i64.load8_u (i32.const 15)))`],
  ["see-copysign", 8, seen64(`(f64.copysign (f64.const 1) ${nan64})`)],
  ["see-copysign32", 4, seen32(`(f32.copysign (f32.const 1) ${nan32})`)],
  ["see-neg-abs", 8, seen64(`(f64.neg (f64.abs (f64.neg ${nan64})))`)],
  ["see-global", 8, `(block (result i64) (global.set $g64 ${nan64}) ${seen64("(global.get $g64)")})`],
  ["see-call", 8, `(call $bits64 ${nan64})`],
  ["see-call32", 4, `(call $bits32 ${nan32})`],
  ["see-return", 8, seen64(`(call $multiply ${x64} ${y64})`)],
  ["see-indirect", 8, `(call_indirect (param f64) (result i64) ${nan64} (i32.const 0))`],
  ["see-select", 8, seen64(`(select ${nan64} ${y64} (i32.and (local.get $a) (i32.const 8)))`)],
  ["see-block", 8, seen64(`(block $out (result f64) (br_if $out ${nan64} (local.get $a)))`)],
  ["see-loop", 8, seen64(`(loop (result f64) ${nan64})`)],
  ["see-if", 8, seen64(`(if (result f64) (i32.and (local.get $b) (i32.const 8)) (then ${nan64}) (else (f64.sqrt ${x64})))`)],
  ["see-local", 8, `(block (result i64) (local.set $f ${nan64}) ${seen64("(local.get $f)")})`, "(local $f f64)"],
  ["see-tee", 8, `(i64.xor ${seen64(`(local.tee $f ${nan64})`)} ${seen64("(local.get $f)")})`, "(local $f f64)"],
  ["see-tail", 8, `(call $tail ${x64} ${y64})`],
  [
    "see-multi",
    8,
    `(block (result i64) (call $both ${x64} ${y64}) (i64.xor (i64.reinterpret_f64) (i64.const 1)) (local.set $k) (i64.reinterpret_f64) (i64.add (local.get $k)))`,
    "(local $k i64)",
  ],
  ["see-lane", 8, `(i64x2.extract_lane 1 (f64x2.splat ${nan64}))`],
  ["see-replace", 8, `(i64x2.extract_lane 0 (f64x2.replace_lane 0 (v128.const i64x2 1 2) ${nan64}))`],
  ["see-vector-store", 8, `(block (result i64) (v128.store (i32.const 32) (f64x2.splat ${nan64})) (i64.load (i32.const 40)))`],
]

const v64 = "(v128.load64_splat (local.get $a))"
const w64 = "(v128.load64_splat (local.get $b))"
const v32 = "(v128.load32_splat (local.get $a))"
const w32 = "(v128.load32_splat (local.get $b))"
const lanes = (vector: string): string => `(call $lanes ${vector})`
const simd: ReadonlyArray<Body> = [
  ...["add", "sub", "mul", "div", "min", "max", "pmin", "pmax"].flatMap((op): ReadonlyArray<Body> => [
    [`f64x2-${op}`, 8, lanes(`(f64x2.${op} ${v64} ${w64})`)],
    [`f32x4-${op}`, 4, lanes(`(f32x4.${op} ${v32} ${w32})`)],
  ]),
  ...["sqrt", "ceil", "floor", "trunc", "nearest", "neg", "abs"].flatMap((op): ReadonlyArray<Body> => [
    [`f64x2-${op}`, 8, lanes(`(f64x2.${op} ${v64})`)],
    [`f32x4-${op}`, 4, lanes(`(f32x4.${op} ${v32})`)],
  ]),
  ["f64x2-promote", 4, lanes(`(f64x2.promote_low_f32x4 ${v32})`)],
  ["f32x4-demote", 8, lanes(`(f32x4.demote_f64x2_zero ${v64})`)],
  ["f32x4-mixed", 4, lanes(`(f32x4.mul (f32x4.div ${v32} (i32x4.add ${w32} (v128.const i32x4 0 1 2 3))) (f32x4.sqrt ${w32}))`)],
  ["simd-shuffle", 4, lanes(`(i8x16.shuffle 15 1 2 3 20 5 6 7 31 9 10 11 0 13 14 16 (f32x4.div ${v32} ${w32}) (f32x4.sub ${w32} ${v32}))`)],
  ["simd-bitselect", 8, lanes(`(v128.bitselect (f64x2.div ${v64} ${w64}) (f64x2.sqrt ${v64}) ${w64})`)],
  ["simd-trunc-sat", 4, lanes(`(i32x4.trunc_sat_f32x4_s (f32x4.div ${v32} ${w32}))`)],
  ["simd-compare", 8, `(i64.extend_i32_u (i64x2.bitmask (f64x2.ge (f64x2.div ${v64} ${w64}) ${v64})))`],
  ["simd-extract", 4, seen32(`(f32x4.extract_lane 2 (f32x4.div ${v32} ${w32}))`)],
  ["simd-any", 4, `(i64.extend_i32_u (i32.or (v128.any_true (f32x4.sub ${v32} ${w32})) (i32x4.bitmask (f32x4.div ${v32} ${w32}))))`],
]

/** NaN results of arithmetic whose bits are not the canonical ones, counted: 0 under `fuel`. */
const odd: ReadonlyArray<readonly [string, string]> = [
  ["f64-add", `(f64.add ${x64} ${y64})`],
  ["f64-div", `(f64.div ${x64} ${y64})`],
  ["f64-min", `(f64.min ${x64} ${y64})`],
  ["f64-sqrt", `(f64.sqrt ${x64})`],
]
const oddNaNs = overPairs(
  "odd-nans",
  8,
  odd.map(([, value]) => `(call $odd ${value})`).reduce((sum, next) => `(i64.add ${sum} ${next})`),
).replace(/\(local\.set \$h \(call \$mix \(local\.get \$h\) /, "(local.set $h (i64.add (local.get $h) ")

const floats: ReadonlyArray<Body> = [...scalar, ...observed, ...simd]

const floatGuest = () =>
  guest({
    core: `(memory (export "memory") 1) ${patterns} ${mixIn}
      (global $g64 (mut f64) (f64.const 0))
      (table 1 funcref) (elem (i32.const 0) $bits64)
      (func $bits64 (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
      (func $bits32 (param f32) (result i64) (i64.extend_i32_u (i32.reinterpret_f32 (local.get 0))))
      (func $multiply (param f64 f64) (result f64) (f64.mul (f64.div (local.get 0) (local.get 1)) (local.get 0)))
      (func $both (param f64 f64) (result f64 f64) (f64.div (local.get 0) (local.get 1)) (f64.sub (local.get 0) (local.get 1)))
      (func $tail (param f64 f64) (result i64) (return_call $bits64 (f64.div (local.get 0) (local.get 1))))
      (func $lanes (param v128) (result i64) (call $mix (i64x2.extract_lane 0 (local.get 0)) (i64x2.extract_lane 1 (local.get 0))))
      (func $odd (param f64) (result i64)
        (i64.extend_i32_u (i32.and (f64.ne (local.get 0) (local.get 0)) (i64.ne (i64.reinterpret_f64 (local.get 0)) (i64.const 0x7ff8000000000000)))))
      ${floats.map((body) => overPairs(...body)).join("\n")}
      ${oddNaNs}
      (func (export "lift-f64") (param i32) (result f64) (f64.div (f64.load (i32.add (i32.const 1024) (i32.mul (local.get 0) (i32.const 8)))) (f64.const 0)))
      (func (export "lift-f32") (param i32) (result f32) (f32.load (i32.add (i32.const 2048) (i32.mul (local.get 0) (i32.const 4)))))
      (func (export "lower-f64") (param f64 f64) (result i64) (i64.reinterpret_f64 (f64.add (local.get 0) (local.get 1))))`,
    exports: {
      ...Object.fromEntries(floats.map(([name]) => [name, "(result u64)"])),
      "odd-nans": "(result u64)",
      "lift-f64": `(param "i" u32) (result f64)`,
      "lift-f32": `(param "i" u32) (result f32)`,
      "lower-f64": `(param "a" f64) (param "b" f64) (result u64)`,
    },
  })

const traps: ReadonlyArray<readonly [string, string]> = [
  ["trap-unreachable", "unreachable"],
  ["trap-divide", "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))"],
  ["trap-remainder", "(drop (i64.rem_u (i64.const 1) (i64.load (i32.const 0))))"],
  ["trap-overflow", "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1))))"],
  ["trap-conversion", "(drop (i32.trunc_f32_s (f32.div (f32.const 0) (f32.load (i32.const 0)))))"],
  ["trap-conversion-range", "(drop (i64.trunc_f64_u (f64.sub (f64.load (i32.const 0)) (f64.const 1e30))))"],
  ["trap-load", "(drop (i32.load offset=4 (i32.sub (i32.load (i32.const 0)) (i32.const 5))))"],
  ["trap-store", "(i64.store (i32.const 0x7ffffff0) (i64.const 1))"],
  ["trap-fill", "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 1000000))"],
  ["trap-copy", "(memory.copy (i32.const 0) (i32.const 2000000) (i32.const 1))"],
  ["trap-init", "(memory.init $d (i32.const 0) (i32.const 2) (i32.const 9))"],
  ["trap-index", "(call_indirect (i32.const 99))"],
  ["trap-null", "(call_indirect (i32.const 2))"],
  ["trap-type", "(call_indirect (i32.const 0))"],
  ["trap-table", "(drop (table.get $t (i32.const 12)))"],
]

const workGuest = () =>
  guest({
    libc: bumpAllocator(),
    core: `(import "libc" "memory" (memory 1)) (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
      (import "host" "mark" (func $mark (param i32) (result i32)))
      (import "host" "ask" (func $ask (param i32 i32 i32)))
      (table $t 3 100000 funcref) (elem (i32.const 0) $typed) (data $d "data") (elem $e func $typed $typed)
      (func $typed (param i32) (result i32) (local.get 0))
      ${mixIn}
      (func $fib (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
          (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func (export "fib") (param i32) (result i32) (call $fib (local.get 0)))
      (func $ackermann (param i32 i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.add (local.get 1) (i32.const 1)))))
        (if (i32.eqz (local.get 1)) (then (return_call $ackermann (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))))
        (return_call $ackermann (i32.sub (local.get 0) (i32.const 1)) (call $ackermann (local.get 0) (i32.sub (local.get 1) (i32.const 1)))))
      (func (export "ackermann") (param i32 i32) (result i32) (call $ackermann (local.get 0) (local.get 1)))
      (func $down (param i32) (result i32) (drop (call $mark (local.get 0))) (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
      (func (export "down") (result i32) (call $down (i32.const 0)))
      (func $deep (param i64 i64 f64 v128) (result i32) (i32.add (call $deep (local.get 1) (local.get 0) (local.get 2) (local.get 3)) (i32.const 1)))
      (func (export "deep") (result i32) (call $deep (i64.const 1) (i64.const 2) (f64.const 3) (v128.const i64x2 4 5)))
      (func (export "integers") (param $n i32) (result i64) (local $h i64) (local $x i64)
        (local.set $x (i64.const 0x123456789abcdef))
        (loop $next
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
          (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
          (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
          (local.set $h (call $mix (local.get $h) (i64.add
            (i64.add (i64.clz (local.get $x)) (i64.mul (i64.ctz (local.get $x)) (i64.popcnt (local.get $x))))
            (i64.add (i64.div_s (local.get $x) (i64.const 1000003)) (i64.rem_u (local.get $x) (i64.const 65537))))))
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (i32.wrap_i64 (i64.extend16_s (i64.rotr (local.get $x) (local.get $h)))))))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $h))
      (func (export "grow-memory") (result i64) (local $h i64) (local $r i32) (local $n i32)
        (loop $next
          (local.set $r (memory.grow (i32.and (local.get $n) (i32.const 3))))
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (local.get $r))))
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (memory.size))))
          (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 40))))
        (local.get $h))
      (func (export "grow-table") (result i64) (local $h i64) (local $n i32)
        (loop $next
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (table.grow $t (ref.null func) (i32.mul (local.get $n) (i32.const 7))))))
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (table.size $t))))
          (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 60))))
        (local.get $h))
      (func (export "bulk") (param $n i32) (result i64) (local $h i64) (local $at i32)
        (drop (memory.grow (i32.const 8)))
        (loop $next
          (memory.fill (i32.add (i32.const 20000) (local.get $n)) (local.get $n) (i32.mul (local.get $n) (i32.const 77)))
          (memory.copy (i32.const 30001) (i32.const 20000) (i32.mul (local.get $n) (i32.const 91)))
          (memory.init $d (i32.add (i32.const 20000) (local.get $n)) (i32.and (local.get $n) (i32.const 3)) (i32.const 1))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.set $at (i32.const 20000))
        (loop $next
          (local.set $h (call $mix (local.get $h) (i64.load (local.get $at))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 60000))))
        (local.get $h))
      (func (export "marks") (param $n i32) (result i32) (local $s i32)
        (loop $next
          (local.set $s (i32.add (local.get $s) (call $mark (local.get $s))))
          (if (i32.and (local.get $n) (i32.const 1)) (then (memory.fill (i32.const 20000) (i32.const 1) (i32.mul (local.get $n) (i32.const 100)))))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s))
      (func (export "texts") (param $n i32) (result i64) (local $h i64) (local $at i32) (local $end i32)
        (memory.fill (i32.const 20000) (i32.const 97) (i32.const 500))
        (loop $next
          (call $ask (i32.const 20000) (local.get $n) (i32.const 64))
          (local.set $at (i32.load (i32.const 64)))
          (local.set $end (i32.add (local.get $at) (i32.load (i32.const 68))))
          (loop $bytes
            (if (i32.lt_u (local.get $at) (local.get $end)) (then
              (local.set $h (call $mix (local.get $h) (i64.load8_u (local.get $at))))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br $bytes))))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $h))
      (func (export "switch") (param $n i32) (result i64) (local $h i64)
        (loop $next
          (local.set $h (call $mix (local.get $h) (i64.extend_i32_u
            (block $d (result i32) (block $c (block $b (block $a (br_table $a $b $c $b (i32.rem_u (i32.mul (local.get $n) (i32.const 2654435761)) (i32.const 5))))
              (br $d (i32.const 1))) (br $d (call_indirect (param i32) (result i32) (local.get $n) (i32.const 0)))) (i32.const 3)))))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $h))
      ${traps.map(([name, body]) => `(func (export "${name}") (drop (i32.const 0)) ${body})`).join("\n")}`,
    imports: { mark: `(param "n" u32) (result u32)`, ask: `(param "text" string) (result string)` },
    exports: {
      fib: `(param "n" u32) (result u32)`,
      ackermann: `(param "m" u32) (param "n" u32) (result u32)`,
      down: `(result u32)`,
      deep: `(result u32)`,
      integers: `(param "n" u32) (result u64)`,
      "grow-memory": `(result u64)`,
      "grow-table": `(result u64)`,
      bulk: `(param "n" u32) (result u64)`,
      marks: `(param "n" u32) (result u32)`,
      texts: `(param "n" u32) (result u64)`,
      switch: `(param "n" u32) (result u64)`,
      ...Object.fromEntries(traps.map(([name]) => [name, ""])),
    },
  })

/** Writes its progress into memory with stores, bulk operations, calls and growth between: a core module, for the rewriter's harness. */
export const progress = (): Promise<Uint8Array> =>
  wat(`(module (memory (export "memory") 1 4)
    (func $step (param i32) (result i32) (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (local.get 0))) (i32.div_u (local.get 0) (i32.const 3)))
    (func (export "run") (param $n i32) (result i32) (local $s i32)
      (loop $next
        (i32.store (i32.const 0) (local.get $n))
        (local.set $s (i32.add (local.get $s) (call $step (local.get $n))))
        (if (i32.and (local.get $n) (i32.const 1))
          (then (memory.fill (i32.const 64) (local.get $n) (i32.mul (local.get $n) (i32.const 64))))
          (else (f64.store (i32.const 16) (f64.sqrt (f64.sub (f64.const 0) (f64.convert_i32_u (local.get $n)))))))
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (if (i32.eq (local.get $n) (i32.const 5)) (then (drop (memory.grow (i32.const 1)))))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i32.store (i32.const 12) (local.get $s))
      (local.get $s)))`)

export interface Call {
  readonly guest: "floats" | "work" | "kernels"
  readonly name: string
  readonly args: ReadonlyArray<unknown>
}

const kernelNames = ["sieve", "interpreter", "fib", "matmul", "mandelbrot"]

/** Every call that is compared. */
export const calls: ReadonlyArray<Call> = [
  ...floats.map(([name]): Call => ({ guest: "floats", name, args: [] })),
  { guest: "floats", name: "odd-nans", args: [] },
  ...Array.from({ length: count }, (_, i): ReadonlyArray<Call> => [
    { guest: "floats", name: "lift-f64", args: [i] },
    { guest: "floats", name: "lift-f32", args: [i] },
  ]).flat(),
  { guest: "floats", name: "lower-f64", args: [Number.NaN, 1] },
  { guest: "floats", name: "lower-f64", args: [Infinity, -Infinity] },
  { guest: "work", name: "fib", args: [18] },
  { guest: "work", name: "ackermann", args: [2, 9] },
  { guest: "work", name: "down", args: [] },
  { guest: "work", name: "deep", args: [] },
  { guest: "work", name: "integers", args: [20_000] },
  { guest: "work", name: "grow-memory", args: [] },
  { guest: "work", name: "grow-table", args: [] },
  { guest: "work", name: "bulk", args: [300] },
  { guest: "work", name: "marks", args: [200] },
  { guest: "work", name: "texts", args: [200] },
  { guest: "work", name: "switch", args: [5_000] },
  ...traps.map(([name]): Call => ({ guest: "work", name, args: [] })),
  ...kernelNames.map((name): Call => ({ guest: "kernels", name: `stele:bench/kernels#${name}`, args: [] })),
]

/** Writes the guests' files into `folder`. */
export async function writeDeterminismGuests(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, "floats.wasm"), await floatGuest())
  await writeFile(join(folder, "work.wasm"), await workGuest())
  await writeFile(join(folder, "kernels.wasm"), ((await kernels())[0] as { readonly bytes: Uint8Array }).bytes)
  await writeFile(join(folder, "progress.wasm"), await progress())
}
