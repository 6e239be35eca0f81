/** Small programs of preview 1 as text, for whatever runs programs: each does one thing and needs no toolchain. */
import { wat } from "../host/component-builder.ts"

const imports = `
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environSizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 8) "hello\\n") (data (i32.const 32) "a.txt") (data (i32.const 48) "new.txt") (data (i32.const 64) "to stderr\\n") (data (i32.const 80) "pipe") (data (i32.const 96) "to-pipe")
  ;; Writes what lies between two addresses; 256 is the buffer list, 264 the count.
  (func $print (param $fd i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 256) (local.get $at)) (i32.store (i32.const 260) (local.get $length))
    (drop (call $write (local.get $fd) (i32.const 256) (i32.const 1) (i32.const 264))))`

const program = (body: string, more = ""): Promise<Uint8Array> => wat(`(module ${imports} ${more} (func (export "_start") ${body}))`)

/** Copies a descriptor to standard output. */
const copy = (fd: string): string => `
  (loop $more
    (i32.store (i32.const 272) (i32.const 1024)) (i32.store (i32.const 276) (i32.const 4096))
    (if (call $read ${fd} (i32.const 272) (i32.const 1) (i32.const 280)) (then (call $exit (i32.const 99))))
    (if (i32.load (i32.const 280)) (then (call $print (i32.const 1) (i32.const 1024) (i32.load (i32.const 280))) (br $more))))`

const open = (name: number, length: number, flags: number, rights: number): string => `
  (call $open (i32.const 3) (i32.const 1) (i32.const ${name}) (i32.const ${length}) (i32.const ${flags}) (i64.const ${rights}) (i64.const 0) (i32.const 0) (i32.const 288))`

export const programs = {
  hello: () => program(`(call $print (i32.const 1) (i32.const 8) (i32.const 6)) (call $print (i32.const 2) (i32.const 64) (i32.const 10))`),
  exit0: () => program(`(call $print (i32.const 1) (i32.const 8) (i32.const 6)) (call $exit (i32.const 0))`),
  exit7: () => program(`(call $exit (i32.const 7))`),
  trap: () => program(`unreachable`),
  spin: () => program(`(loop (br 0))`),
  /** For an hour, by the monotonic clock; exits with the errno. */
  sleep: () =>
    program(`(i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 3600000000000))
      (call $exit (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 264)))`),
  /** Exit with the errno of one call. */
  wall: () => program(`(call $exit (call $time (i32.const 0) (i64.const 1) (i32.const 1024)))`),
  monotonic: () => program(`(call $exit (call $time (i32.const 1) (i64.const 1) (i32.const 1024)))`),
  random: () => program(`(call $exit (call $random (i32.const 1024) (i32.const 16)))`),
  /** Exits with 0 where the monotonic clock has steps of 100 µs. */
  steps: () =>
    program(`(drop (call $time (i32.const 1) (i64.const 1) (i32.const 1024)))
      (call $exit (i32.wrap_i64 (i64.rem_u (i64.load (i32.const 1024)) (i64.const 100000))))`),
  echo: () => program(copy("(i32.const 0)")),
  /** Prints a.txt of the first directory; exits with the errno of opening it. */
  show: () =>
    program(
      `(local $errno i32) (local.set $errno ${open(32, 5, 0, 2)}) (if (local.get $errno) (then (call $exit (local.get $errno)))) ${copy("(i32.load (i32.const 288))")}`,
    ),
  /** Makes new.txt in the first directory; exits with the errno. */
  make: () => program(`(call $exit ${open(48, 7, 1, 66)})`),
  /** Exit with the errno of opening what waits for its other end. */
  openPipe: () => program(`(call $exit ${open(80, 4, 0, 2)})`),
  openLink: () => program(`(call $exit ${open(96, 7, 0, 2)})`),
  /** Waits for input or 50 ms; exits with the type of the first event. */
  pollInput: () =>
    program(`(i32.store8 (i32.const 1032) (i32.const 1)) (i32.store (i32.const 1040) (i32.const 0))
      (i32.store (i32.const 1088) (i32.const 1)) (i64.store (i32.const 1096) (i64.const 50000000))
      (drop (call $poll (i32.const 1024) (i32.const 2048) (i32.const 2) (i32.const 264)))
      (call $exit (i32.load8_u (i32.const 2058)))`),
  /** Arguments, then variables, each with its zero byte. */
  arguments: () =>
    program(`(drop (call $sizes (i32.const 1024) (i32.const 1028))) (drop (call $args (i32.const 2048) (i32.const 4096)))
      (call $print (i32.const 1) (i32.const 4096) (i32.load (i32.const 1028)))
      (drop (call $environSizes (i32.const 1024) (i32.const 1028))) (drop (call $environ (i32.const 2048) (i32.const 4096)))
      (call $print (i32.const 1) (i32.const 4096) (i32.load (i32.const 1028)))`),
  /** Exits with the number of pages it could grow by, up to 100. */
  grow: () =>
    program(`(local $pages i32)
      (loop $more (if (i32.and (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (i32.lt_u (local.get $pages) (i32.const 100)))
        (then (local.set $pages (i32.add (local.get $pages) (i32.const 1))) (br $more))))
      (call $exit (local.get $pages))`),
  /** Writes without an end. */
  flood: () => program(`(loop (call $print (i32.const 1) (i32.const 0) (i32.const 65536)) (br 0))`),
  reactor: () =>
    wat(`(module ${imports} (global $ready (mut i64) (i64.const 0))
      (func (export "_initialize") (global.set $ready (i64.const 40)))
      (func (export "add") (param i64 i32) (result i64) (i64.add (global.get $ready) (i64.add (local.get 0) (i64.extend_i32_s (local.get 1)))))
      (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
      (func (export "exit") (call $exit (i32.const 3))))`),
} as const
