/** The guests that the embedding cases load, each as small as what it shows. Built once, then read as files by every engine. */
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bumpAllocator, componentOf, guest } from "./component-builder.ts"

const example = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url)))

/** A string literal of a core module's data, and the two constants that point at it. */
const data = (at: number, text: string) => ({
  segment: `(data (i32.const ${at}) ${JSON.stringify(text)})`,
  args: `(i32.const ${at}) (i32.const ${text.length})`,
})
const prices = data(16, "prices")
const tea = data(32, "tea")
const context = data(48, "guest")

const allocator = bumpAllocator().replace('(export "realloc")', '(export "cabi_realloc")')

const keyvalue = `package wasi:keyvalue@0.2.0-draft {
  interface store {
    variant error { no-such-store, access-denied, other(string) }
    open: func(identifier: string) -> result<bucket, error>;
    resource bucket { get: func(key: string) -> result<option<list<u8>>, error>; }
  }
}
package wasi:logging@0.1.0-draft {
  interface logging {
    enum level { trace, debug, info, warn, error, critical }
    log: func(level: level, context: string, message: string);
  }
}`

const builders: Readonly<Record<string, () => Promise<Uint8Array>>> = {
  greeter: () => example("greeter"),
  snoop: () => example("snoop"),
  spinner: () => example("spinner"),

  /** Plain functions of a world, with state, faults and endless ones. */
  basic: () =>
    guest({
      core: `${bumpAllocator()}
        (global $count (mut i32) (i32.const 0))
        (func $area (param $at i32) (param $a i32) (param $b i32) (result i32)
          (i32.store (local.get $at) (local.get $a)) (i32.store offset=4 (local.get $at) (local.get $b)) (local.get $at))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "echo") (param i32 i32) (result i32) (call $area (i32.const 8) (local.get 0) (local.get 1)))
        (func (export "echo-bytes") (param i32 i32) (result i32) (call $area (i32.const 8) (local.get 0) (local.get 1)))
        (func (export "sum") (param i32 i32) (result i64) (local $s i64)
          (block $done (loop $next
            (br_if $done (i32.eqz (local.get 1)))
            (local.set $s (i64.add (local.get $s) (i64.load32_u (local.get 0))))
            (local.set 0 (i32.add (local.get 0) (i32.const 4)))
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (br $next)))
          (local.get $s))
        (func (export "count") (result i32) (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
        (func (export "spin") (loop (br 0)))
        (func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))
        (func (export "recurse") (result i32) (call $deeper (i32.const 0)))
        (func $inner-fault unreachable)
        (func $outer-fault (call $inner-fault))
        (func (export "trap") (global.set $count (i32.const 100)) (call $outer-fault))
        (func (export "check") (param i32) (result i32)
          (i32.store8 (i32.const 8) (i32.gt_u (local.get 0) (i32.const 9)))
          (i32.store (i32.const 12) (local.get 0))
          (i32.store (i32.const 16) (i32.const 3000))
          (i32.store (i32.const 20) (i32.const 7))
          (i32.const 8))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (data (i32.const 3000) "too big")`,
      head: `(type $refusal (record (field "value" u32) (field "why" string)))
        (export $refusal-type "refusal" (type $refusal))
        (type $pair (record (field "first-name" string) (field "age" u32)))
        (export $pair-type "person" (type $pair))`,
      exports: {
        add: `(param "a" u32) (param "b" u32) (result u32)`,
        echo: `(param "text" string) (result string)`,
        "echo-bytes": `(param "data" (list u8)) (result (list u8))`,
        sum: `(param "numbers" (list u32)) (result u64)`,
        count: `(result u32)`,
        spin: ``,
        recurse: `(result u32)`,
        trap: ``,
        check: `(param "n" u32) (result (result u32 (error $refusal-type)))`,
        grow: `(param "pages" u32) (result s32)`,
      },
    }),

  /** Calls what the embedder provides, under a versioned interface. */
  caller: () =>
    componentOf(
      `package acme:caller@1.2.3;
       interface host { record item { name: string, size: u32 } answer: func(n: u32) -> u32; note: func(text: string); pick: func(n: u32) -> result<item, string>; }
       interface api { go: func(n: u32) -> u32; repeat: func(n: u32) -> u32; size-of: func(n: u32) -> u32; say: func(text: string); }
       world plugin { import host; export api; }`,
      `(module
        (import "acme:caller/host@1.2.3" "answer" (func $answer (param i32) (result i32)))
        (import "acme:caller/host@1.2.3" "note" (func $note (param i32 i32)))
        (import "acme:caller/host@1.2.3" "pick" (func $pick (param i32 i32)))
        ${allocator}
        (func (export "acme:caller/api@1.2.3#go") (param i32) (result i32) (call $answer (local.get 0)))
        (func (export "acme:caller/api@1.2.3#repeat") (param $n i32) (result i32) (local $s i32)
          (block $done (loop $next
            (br_if $done (i32.eqz (local.get $n)))
            (local.set $s (i32.add (local.get $s) (call $answer (local.get $n))))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next)))
          (local.get $s))
        (func (export "acme:caller/api@1.2.3#size-of") (param i32) (result i32)
          (call $pick (local.get 0) (i32.const 64))
          (if (result i32) (i32.load8_u (i32.const 64)) (then (i32.const -1)) (else (i32.load offset=12 (i32.const 64)))))
        (func (export "acme:caller/api@1.2.3#say") (param i32 i32) (call $note (local.get 0) (local.get 1)))
      )`,
    ),

  /** Calls the embedder while it is being instantiated, and not otherwise. */
  starter: () =>
    guest({
      core: `(import "host" "answer" (func $answer (param i32) (result i32)))
        (global $got (mut i32) (i32.const 0))
        (func $start (global.set $got (call $answer (i32.const 1))))
        (start $start)
        (func (export "get") (result i32) (global.get $got))`,
      imports: { answer: `(param "n" u32) (result u32)` },
      exports: { get: `(result u32)` },
    }),

  /** Opens a bucket in one call and reads through the handle in later ones; the second export logs. */
  holder: () =>
    componentOf(
      `package acme:holder;
       interface api { open: func() -> u32; read: func() -> u32; say: func(); }
       world plugin { import wasi:keyvalue/store@0.2.0-draft; import wasi:logging/logging@0.1.0-draft; export api; }
       ${keyvalue}`,
      `(module
        (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
        (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
        (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
        ${allocator} ${prices.segment} ${tea.segment} ${context.segment}
        (global $bucket (mut i32) (i32.const 0))
        ;; 0: opened; 1 + the error's case otherwise
        (func (export "acme:holder/api#open") (result i32)
          (call $open ${prices.args} (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (return (i32.add (i32.const 1) (i32.load8_u offset=4 (i32.const 64))))))
          (global.set $bucket (i32.load offset=4 (i32.const 64)))
          (i32.const 0))
        ;; 100 + the value's bytes; 0: nothing there; 1 + the error's case otherwise
        (func (export "acme:holder/api#read") (result i32)
          (call $get (global.get $bucket) ${tea.args} (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (return (i32.add (i32.const 1) (i32.load8_u offset=4 (i32.const 64))))))
          (if (i32.eqz (i32.load8_u offset=4 (i32.const 64))) (then (return (i32.const 0))))
          (i32.add (i32.const 100) (i32.load offset=12 (i32.const 64))))
        (func (export "acme:holder/api#say") (call $log (i32.const 2) ${context.args} ${tea.args}))
      )`,
    ),

  /** A resource that the guest implements: counters in its memory, and how many were destroyed. */
  counters: () =>
    componentOf(
      `package acme:res;
       interface counters {
         resource counter { constructor(start: u32); inc: func() -> u32; make: static func(start: u32) -> counter; }
         sum: func(all: list<borrow<counter>>) -> u32;
         take: func(one: counter) -> u32;
         dropped: func() -> u32;
         stuck: func(one: borrow<counter>);
       }
       world plugin { export counters; }`,
      `(module
        (import "[export]acme:res/counters" "[resource-new]counter" (func $new (param i32) (result i32)))
        (import "[export]acme:res/counters" "[resource-rep]counter" (func $rep (param i32) (result i32)))
        (import "[export]acme:res/counters" "[resource-drop]counter" (func $drop (param i32)))
        ${allocator}
        (global $next (mut i32) (i32.const 256)) (global $dropped (mut i32) (i32.const 0))
        (func $make (param i32) (result i32)
          (global.set $next (i32.add (global.get $next) (i32.const 4)))
          (i32.store (global.get $next) (local.get 0))
          (call $new (global.get $next)))
        (func (export "acme:res/counters#[constructor]counter") (param i32) (result i32) (call $make (local.get 0)))
        (func (export "acme:res/counters#[static]counter.make") (param i32) (result i32) (call $make (local.get 0)))
        (func (export "acme:res/counters#[method]counter.inc") (param i32) (result i32)
          (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1))) (i32.load (local.get 0)))
        (func (export "acme:res/counters#sum") (param $at i32) (param $n i32) (result i32) (local $s i32)
          (block $done (loop $next
            (br_if $done (i32.eqz (local.get $n)))
            (local.set $s (i32.add (local.get $s) (i32.load (i32.load (local.get $at)))))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next)))
          (local.get $s))
        (func (export "acme:res/counters#take") (param i32) (result i32) (local $v i32)
          (local.set $v (i32.load (call $rep (local.get 0)))) (call $drop (local.get 0)) (local.get $v))
        (func (export "acme:res/counters#dropped") (result i32) (global.get $dropped))
        (func (export "acme:res/counters#stuck") (param i32) (loop (br 0)))
        (func (export "acme:res/counters#[dtor]counter") (param i32) (global.set $dropped (i32.add (global.get $dropped) (i32.const 1))))
      )`,
    ),

  /** Uses a resource that the embedder implements. */
  shopper: () =>
    componentOf(
      `package acme:shop@0.3.0;
       interface cart { resource cart { constructor(owner: string); add: func(n: u32) -> u32; open: static func() -> u32; } total: func(c: borrow<cart>) -> u32; send: func(c: cart) -> u32; }
       interface api { run: func(n: u32) -> u32; keep: func() -> u32; fail: func() -> u32; }
       world plugin { import cart; export api; }`,
      `(module
        (import "acme:shop/cart@0.3.0" "[constructor]cart" (func $new (param i32 i32) (result i32)))
        (import "acme:shop/cart@0.3.0" "[method]cart.add" (func $add (param i32 i32) (result i32)))
        (import "acme:shop/cart@0.3.0" "[static]cart.open" (func $open (result i32)))
        (import "acme:shop/cart@0.3.0" "total" (func $total (param i32) (result i32)))
        (import "acme:shop/cart@0.3.0" "send" (func $send (param i32) (result i32)))
        (import "acme:shop/cart@0.3.0" "[resource-drop]cart" (func $drop (param i32)))
        ${allocator} ${tea.segment}
        ;; two adds, the total through a borrow, the count of open carts: total + 1000 * open
        (func (export "acme:shop/api@0.3.0#run") (param $n i32) (result i32) (local $c i32) (local $t i32)
          (local.set $c (call $new ${tea.args}))
          (drop (call $add (local.get $c) (local.get $n)))
          (drop (call $add (local.get $c) (local.get $n)))
          (local.set $t (i32.add (call $total (local.get $c)) (i32.mul (i32.const 1000) (call $open))))
          (call $drop (local.get $c))
          (local.get $t))
        (func (export "acme:shop/api@0.3.0#keep") (result i32)
          (drop (call $new ${tea.args})) (drop (call $send (call $new ${tea.args}))) (call $open))
        (func (export "acme:shop/api@0.3.0#fail") (result i32) (drop (call $new ${tea.args})) unreachable)
      )`,
    ),
}

/** Writes every guest as `NAME.wasm` into `folder`. */
export async function writeGuests(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, build] of Object.entries(builders)) await writeFile(join(folder, `${name}.wasm`), await build())
}
