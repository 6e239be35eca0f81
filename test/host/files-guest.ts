/** A component that uses `wasi:filesystem` and `wasi:cli` with its own hands, for limits, stops and revocations. */
import { readFileSync } from "node:fs"
import { wasiVersion } from "../../host/capability/io.ts"
import { bumpAllocator, componentOf } from "./component-builder.ts"

/** A package of WASI 0.2 as jco ships it, nested. */
export function shipped(name: string): string {
  const at = import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`)
  const text = readFileSync(new URL(at), "utf8").replace(/^world [^{]*\{[^}]*\}/gm, "")
  const header = /^package ([^;]+);$/m.exec(text) as RegExpExecArray
  return `package ${header[1]} {\n${text.replace(header[0], "")}\n}\n`
}

export const wasiPackages = (): string => ["io", "clocks", "random", "filesystem", "cli"].map(shipped).join("")

const types = `wasi:filesystem/types@${wasiVersion}`

/**
 * `open(n)` opens the file "f" of the first directory n times and keeps all; `grow(bytes)` sets its size; `read(n)` opens it,
 * and reads 1 byte at 0 n times, answering how many reads were fine; `wait()` reads a byte of standard input, blocking.
 */
export const filesGuest = (): Promise<Uint8Array> =>
  componentOf(
    `package test:files;
world files {
  import wasi:filesystem/types@${wasiVersion};
  import wasi:filesystem/preopens@${wasiVersion};
  import wasi:cli/stdin@${wasiVersion};
  import wasi:cli/environment@${wasiVersion};
  import wasi:cli/exit@${wasiVersion};
  import pause: func();
  export open: func(n: u32);
  export grow: func(bytes: u64);
  export read: func(n: u32) -> u32;
  export wait: func() -> u32;
  export wasi:cli/run@${wasiVersion};
}
${wasiPackages()}`,
    `(module
      (import "wasi:filesystem/preopens@${wasiVersion}" "get-directories" (func $directories (param i32)))
      (import "${types}" "[method]descriptor.open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
      (import "${types}" "[method]descriptor.set-size" (func $set-size (param i32 i64 i32)))
      (import "${types}" "[method]descriptor.read" (func $read (param i32 i64 i64 i32)))
      (import "wasi:cli/stdin@${wasiVersion}" "get-stdin" (func $stdin (result i32)))
      (import "wasi:io/streams@${wasiVersion}" "[method]input-stream.blocking-read" (func $blocking-read (param i32 i64 i32)))
      (import "wasi:cli/environment@${wasiVersion}" "get-arguments" (func $arguments (param i32)))
      (import "wasi:cli/exit@${wasiVersion}" "exit-with-code" (func $exit (param i32)))
      (import "$root" "pause" (func $pause))
      ${bumpAllocator().replace(`(export "realloc")`, `(export "cabi_realloc")`)}
      (data (i32.const 16) "f")
      (func $first (result i32)
        (call $directories (i32.const 1024))
        (i32.load (i32.load (i32.const 1024))))
      (func $f (param $directory i32) (result i32)
        (call $open-at (local.get $directory) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 1) (i32.const 3) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then unreachable))
        (i32.load (i32.const 2052)))
      (func (export "open") (param $n i32) (local $directory i32)
        (local.set $directory (call $first))
        (loop $next
          (if (local.get $n) (then
            (drop (call $f (local.get $directory)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next)))))
      (func (export "grow") (param $bytes i64)
        (call $set-size (call $f (call $first)) (local.get $bytes) (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then unreachable)))
      (func (export "read") (param $n i32) (result i32) (local $file i32) (local $fine i32)
        (local.set $file (call $f (call $first)))
        (loop $next
          (if (local.get $n) (then
            (call $read (local.get $file) (i64.const 1) (i64.const 0) (i32.const 2048))
            (local.set $fine (i32.add (local.get $fine) (i32.eqz (i32.load8_u (i32.const 2048)))))
            (call $pause)
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next))))
        (local.get $fine))
      (func (export "wait") (result i32)
        (call $blocking-read (call $stdin) (i64.const 1) (i32.const 2048))
        (select (i32.const 256) (i32.load8_u (i32.load (i32.const 2052))) (i32.load8_u (i32.const 2048))))
      (func (export "wasi:cli/run@${wasiVersion}#run") (result i32) (local $count i32)
        (call $arguments (i32.const 1024))
        (local.set $count (i32.load (i32.const 1028)))
        (if (i32.eqz (local.get $count)) (then (return (i32.const 0))))
        (if (i32.eq (local.get $count) (i32.const 1)) (then (return (i32.const 1))))
        (call $exit (local.get $count))
        unreachable)
    )`,
  )
