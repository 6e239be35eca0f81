/** Guests that wait, each as small as what it shows. Built once, then read as files by every engine. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bumpAllocator, componentOf, guest, wat } from "./component-builder.ts"

const f = { f: `(param "x" u32) (result u32)` }
const importF = `(import "host" "f" (func $f (param i32) (result i32)))`
const allocator = bumpAllocator().replace('(export "realloc")', '(export "cabi_realloc")')

const builders: Readonly<Record<string, () => Promise<Uint8Array>>> = {
  /** Sums what `f` answers; spins, traps, or catches all around it. */
  caller: () =>
    guest({
      imports: f,
      core: `${importF}
        (func (export "sum") (param $n i32) (result i32) (local $i i32) (local $s i32)
          (block $done (loop $l
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (local.set $s (i32.add (local.get $s) (call $f (local.get $i))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $l)))
          (local.get $s))
        (func (export "spin") (loop $l (br $l)))
        (func (export "spin-after") (drop (call $f (i32.const 1))) (loop $l (br $l)))
        (func (export "trap-after") (drop (call $f (i32.const 1))) unreachable)
        (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))
        (func (export "deep-after") (drop (call $f (i32.const 1))) (drop (call $deep (i32.const 0))))
        (func (export "swallow") (loop $l (block $h (try_table (catch_all $h) (drop (call $f (i32.const 1))))) (br $l)))`,
      exports: { sum: `(param "n" u32) (result u32)`, spin: "", "spin-after": "", "trap-after": "", "deep-after": "", swallow: "" },
    }),
  /** Calls `f` where nothing may wait. */
  starter: () => guest({ imports: f, core: `${importF} (func $s (drop (call $f (i32.const 1)))) (start $s) (func (export "run"))`, exports: { run: "" } }),
  poster: () =>
    guest({
      imports: f,
      core: `${importF} (func (export "run") (result i32) (i32.const 7)) (func (export "post-run") (param i32) (drop (call $f (i32.const 1))))`,
      exports: { run: "(result u32)" },
    }),
  allocating: () =>
    guest({
      imports: f,
      core: `${importF} (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $f (i32.const 1)))
        (func (export "run") (param i32 i32))`,
      exports: { run: `(param "s" string)` },
    }),
  /** One component around another: what waits is behind a call between the two. */
  nested: () =>
    wat(`(component
      (import "f" (func $f (param "x" u32) (result u32)))
      (component $inner
        (import "f" (func $f (param "x" u32) (result u32)))
        (core module $m (import "host" "f" (func $f (param i32) (result i32)))
          (func (export "twice") (param i32) (result i32) (i32.add (call $f (local.get 0)) (call $f (local.get 0))))
          (func (export "trap-after") (param i32) (result i32) (drop (call $f (local.get 0))) unreachable))
        (core func $lf (canon lower (func $f)))
        (core instance $host (export "f" (func $lf)))
        (core instance $i (instantiate $m (with "host" (instance $host))))
        (func (export "twice") (param "x" u32) (result u32) (canon lift (core func $i "twice")))
        (func (export "trap-after") (param "x" u32) (result u32) (canon lift (core func $i "trap-after"))))
      (instance $in (instantiate $inner (with "f" (func $f))))
      (core module $m
        (import "in" "twice" (func $twice (param i32) (result i32)))
        (import "in" "trap-after" (func $trap (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (i32.add (call $twice (local.get 0)) (call $twice (i32.const 1))))
        (func (export "trap") (param i32) (result i32) (block $h (try_table (catch_all $h) (return (call $trap (local.get 0))))) (i32.const 99)))
      (core func $twice (canon lower (func $in "twice")))
      (core func $trap (canon lower (func $in "trap-after")))
      (core instance $inc (export "twice" (func $twice)) (export "trap-after" (func $trap)))
      (core instance $i (instantiate $m (with "in" (instance $inc))))
      (func (export "run") (param "x" u32) (result u32) (canon lift (core func $i "run")))
      (func (export "trap") (param "x" u32) (result u32) (canon lift (core func $i "trap"))))`),
  /** `text` of what lies under a key of `wasi:keyvalue`. */
  reader: () =>
    componentOf(
      `package test:reader;
       interface api { read: func(key: string) -> list<u8>; write: func(key: string, value: list<u8>); }
       world plugin { import wasi:keyvalue/store@0.2.0-draft; export api; }
       package wasi:keyvalue@0.2.0-draft {
         interface store {
           variant error { no-such-store, access-denied, other(string) }
           open: func(identifier: string) -> result<bucket, error>;
           resource bucket { get: func(key: string) -> result<option<list<u8>>, error>; set: func(key: string, value: list<u8>) -> result<_, error>; }
         }
       }`,
      `(module
        (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
        (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
        (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
        (import "wasi:keyvalue/store@0.2.0-draft" "[resource-drop]bucket" (func $drop (param i32)))
        ${allocator}
        (func $bucket (result i32) (call $open (i32.const 0) (i32.const 0) (i32.const 64)) (if (i32.load8_u (i32.const 64)) (then unreachable)) (i32.load (i32.const 68)))
        (func (export "test:reader/api#read") (param $k i32) (param $n i32) (result i32) (local $b i32)
          (local.set $b (call $bucket))
          (call $get (local.get $b) (local.get $k) (local.get $n) (i32.const 128))
          (if (i32.load8_u (i32.const 128)) (then unreachable))
          (if (i32.eqz (i32.load8_u (i32.const 132))) (then unreachable))
          (call $drop (local.get $b))
          (i32.const 136))
        (func (export "test:reader/api#write") (param $k i32) (param $n i32) (param $v i32) (param $m i32) (local $b i32)
          (local.set $b (call $bucket))
          (call $set (local.get $b) (local.get $k) (local.get $n) (local.get $v) (local.get $m) (i32.const 256))
          (if (i32.load8_u (i32.const 256)) (then unreachable))
          (call $drop (local.get $b))))`,
    ),
  /** Holds a resource of the embedder while it waits on one of its methods. */
  holder: () =>
    componentOf(
      `package test:held;
       interface things { resource thing { constructor(); get: func() -> u32; another: func() -> thing; } }
       interface api { run: func() -> u32; more: func() -> u32; }
       world plugin { import things; export api; }`,
      `(module
        (import "test:held/things" "[constructor]thing" (func $new (result i32)))
        (import "test:held/things" "[method]thing.get" (func $get (param i32) (result i32)))
        (import "test:held/things" "[method]thing.another" (func $another (param i32) (result i32)))
        (import "test:held/things" "[resource-drop]thing" (func $drop (param i32)))
        ${allocator}
        (func (export "test:held/api#run") (result i32) (local $t i32) (local $n i32)
          (local.set $t (call $new)) (local.set $n (call $get (local.get $t))) (call $drop (local.get $t)) (local.get $n))
        (func (export "test:held/api#more") (result i32) (local $t i32)
          (local.set $t (call $another (call $new)))
          (call $get (local.get $t))))`,
    ),
  /** Sleeps by `wasi:io/poll`. */
  sleeper: () =>
    componentOf(
      `package test:sleep;
       interface api { block: func(ns: u64); poll: func(ns: u64) -> u32; }
       world plugin { import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0; export api; }
       package wasi:io@0.2.0 { interface poll { resource pollable { ready: func() -> bool; block: func(); } poll: func(in: list<borrow<pollable>>) -> list<u32>; } }
       package wasi:clocks@0.2.0 { interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; type duration = u64; subscribe-duration: func(when: duration) -> pollable; } }`,
      `(module
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
        ${allocator}
        (func (export "test:sleep/api#block") (param i64) (local $p i32)
          (local.set $p (call $timer (local.get 0))) (call $block (local.get $p)) (call $drop (local.get $p)))
        (func (export "test:sleep/api#poll") (param i64) (result i32) (local $p i32)
          (local.set $p (call $timer (local.get 0))) (i32.store (i32.const 64) (local.get $p))
          (call $poll (i32.const 64) (i32.const 1) (i32.const 128)) (call $drop (local.get $p)) (i32.load (i32.const 132))))`,
    ),
}

/** Writes every guest as `NAME.wasm` into `folder`. */
export async function writeGuests(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, build] of Object.entries(builders)) await writeFile(join(folder, `${name}.wasm`), await build())
}
