/**
 * The echo plugin that every contender runs: one core module in WebAssembly text. `raw` calls it by hand, we and jco
 * wrap it as a component, and Extism gets the same work behind its own ABI, written the way its PDKs do.
 */
import { componentEmbed, componentNew, parse } from "@bytecodealliance/jco-transpile/wasm-tools"

export const wit = `package stele:bench;
interface api {
  record item { name: string, data: list<u8> }
  echo: func(text: string) -> string;
  echo-bytes: func(data: list<u8>) -> list<u8>;
  render: func(item: item) -> item;
  spin: func();
}
interface host {
  note: func(text: string);
  size: func(text: string) -> u32;
}
world plugin { import host; export api; }
`

/** A bump allocator that post-return resets: what a guest costs beyond this is the guest's own business. */
export const coreWat = `(module
  (import "stele:bench/host" "note" (func $note (param i32 i32)))
  (import "stele:bench/host" "size" (func $size (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 512) "salt0000")
  (global $top (mut i32) (i32.const 1024))
  (func $alloc (export "cabi_realloc") (param $old i32) (param $oldSize i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (i32.const -1)
        (memory.grow (i32.add (i32.shr_u (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))) (i32.const 16)) (i32.const 1))))
        (then unreachable))))
    (global.set $top (local.get $end))
    (local.get $at))
  (func $echo (param $ptr i32) (param $len i32) (result i32)
    (local $out i32) (local $area i32)
    (local.set $out (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $len)))
    (memory.copy (local.get $out) (local.get $ptr) (local.get $len))
    (local.set $area (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)))
    (i32.store (local.get $area) (local.get $out))
    (i32.store offset=4 (local.get $area) (local.get $len))
    (local.get $area))
  (func (export "stele:bench/api#echo") (param i32 i32) (result i32) (call $echo (local.get 0) (local.get 1)))
  (func (export "cabi_post_stele:bench/api#echo") (param i32) (global.set $top (i32.const 1024)))
  (func (export "stele:bench/api#echo-bytes") (param i32 i32) (result i32) (call $echo (local.get 0) (local.get 1)))
  (func (export "cabi_post_stele:bench/api#echo-bytes") (param i32) (global.set $top (i32.const 1024)))
  (func (export "stele:bench/api#render") (param $name i32) (param $nameLen i32) (param $data i32) (param $dataLen i32) (result i32)
    (local $area i32)
    (call $note (local.get $name) (local.get $nameLen))
    (local.set $area (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 16)))
    (i32.store (local.get $area) (local.get $name))
    (i32.store offset=4 (local.get $area) (call $size (local.get $name) (local.get $nameLen)))
    (i32.store offset=8 (local.get $area) (local.get $data))
    (i32.store offset=12 (local.get $area) (local.get $dataLen))
    (local.get $area))
  (func (export "cabi_post_stele:bench/api#render") (param i32) (global.set $top (i32.const 1024)))
  (func (export "stele:bench/api#spin") (loop (br 0))))`

/** Extism's ABI: input and output pass through one imported call for each 8 bytes. */
export const extismWat = `(module
  (import "extism:host/env" "input_length" (func $inputLength (result i64)))
  (import "extism:host/env" "input_load_u64" (func $inputLoad (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $inputLoad8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "store_u8" (func $store8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (memory (export "memory") 64)
  (data (i32.const 2097152) "salt0000")
  (func (export "echo") (result i32)
    (local $n i64) (local $i i64) (local $out i64)
    (local.set $n (call $inputLength))
    (block $done (loop $next
      (br_if $done (i64.gt_u (i64.add (local.get $i) (i64.const 8)) (local.get $n)))
      (i64.store (i32.wrap_i64 (local.get $i)) (call $inputLoad (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 8)))
      (br $next)))
    (block $done (loop $next
      (br_if $done (i64.ge_u (local.get $i) (local.get $n)))
      (i32.store8 (i32.wrap_i64 (local.get $i)) (call $inputLoad8 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (local.set $out (call $alloc (local.get $n)))
    (local.set $i (i64.const 0))
    (block $done (loop $next
      (br_if $done (i64.gt_u (i64.add (local.get $i) (i64.const 8)) (local.get $n)))
      (call $store (i64.add (local.get $out) (local.get $i)) (i64.load (i32.wrap_i64 (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 8)))
      (br $next)))
    (block $done (loop $next
      (br_if $done (i64.ge_u (local.get $i) (local.get $n)))
      (call $store8 (i64.add (local.get $out) (local.get $i)) (i32.load8_u (i32.wrap_i64 (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (call $output (local.get $out) (local.get $n))
    (i32.const 0)))`

export const core = async (): Promise<Uint8Array> => parse(coreWat)

/** The component, its core module wrapped by wit-component. */
export async function component(wat = coreWat): Promise<Uint8Array> {
  return componentNew(await componentEmbed({ binary: await parse(wat), witSource: wit, world: "plugin", stringEncoding: "utf8" }), [])
}

export const extism = async (): Promise<Uint8Array> => parse(extismWat)

/**
 * A function that gives the same bytes with another eight in the core module's data each time: code no engine has
 * seen before, so that none answers from a cache of compiled modules.
 */
export function unseen(bytes: Uint8Array): () => Uint8Array {
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf("salt0000")
  if (at < 0) throw new Error("Cannot salt a guest without its salt")
  return () => {
    const out = bytes.slice()
    out.set(new TextEncoder().encode(String(salt++).padStart(8, "0")), at)
    return out
  }
}
let salt = 0

/** 63 bytes, as in the field's own comparisons. */
export const text63 = "The quick brown fox jumps over the lazy dog, 63 bytes in a row.".padEnd(63, ".").slice(0, 63)

/** The same module with a custom section that no engine has seen before: for modules without data to change. */
export function renamed(bytes: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(String(salt++).padStart(8, "0"))
  return Uint8Array.from([...bytes, 0x00, name.length + 1, name.length, ...name])
}
