/** Guests of the asynchronous ABI, each as small as what it shows. Built once, then read as files by every engine. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { wat } from "./component-builder.ts"

/** Every built-in that the guests below use, as core imports of module "b": `[name in core, canon definition, core type]`. */
interface Builtin {
  readonly canon: string
  readonly type: string
}
const i32s = (n: number): string => (n === 0 ? "" : `(param${" i32".repeat(n)})`)
const core = (params: number, result: "" | "i32" | "i64" = ""): string => `${i32s(params)}${result === "" ? "" : ` (result ${result})`}`

const plain: Readonly<Record<string, Builtin>> = {
  "set-new": { canon: "waitable-set.new", type: core(0, "i32") },
  "set-drop": { canon: "waitable-set.drop", type: core(1) },
  "set-wait": { canon: 'waitable-set.wait (memory (core memory $mem "m"))', type: core(2, "i32") },
  "set-poll": { canon: 'waitable-set.poll (memory (core memory $mem "m"))', type: core(2, "i32") },
  join: { canon: "waitable.join", type: core(2) },
  "subtask-drop": { canon: "subtask.drop", type: core(1) },
  "subtask-cancel": { canon: "subtask.cancel", type: core(1, "i32") },
  "subtask-cancel-async": { canon: "subtask.cancel async", type: core(1, "i32") },
  "task-cancel": { canon: "task.cancel", type: core(0) },
  yield: { canon: "thread.yield", type: core(0, "i32") },
  "context-get": { canon: "context.get i32 0", type: core(0, "i32") },
  "context-set": { canon: "context.set i32 0", type: core(1) },
  "pressure-inc": { canon: "backpressure.inc", type: core(0) },
  "pressure-dec": { canon: "backpressure.dec", type: core(0) },
}

/** The operations on one stream or future type `$NAME`, as `NAME.read` and so on. */
function ends(name: string, kind: "stream" | "future", options = ""): Readonly<Record<string, Builtin>> {
  const memory = `(memory (core memory $mem "m")) ${options}`
  const params = kind === "stream" ? 3 : 2
  return {
    [`${name}.new`]: { canon: `${kind}.new $${name}`, type: core(0, "i64") },
    [`${name}.read`]: { canon: `${kind}.read $${name} async ${memory}`, type: core(params, "i32") },
    [`${name}.write`]: { canon: `${kind}.write $${name} async ${memory}`, type: core(params, "i32") },
    [`${name}.read-sync`]: { canon: `${kind}.read $${name} ${memory}`, type: core(params, "i32") },
    [`${name}.write-sync`]: { canon: `${kind}.write $${name} ${memory}`, type: core(params, "i32") },
    [`${name}.cancel-read`]: { canon: `${kind}.cancel-read $${name}`, type: core(1, "i32") },
    [`${name}.cancel-write`]: { canon: `${kind}.cancel-write $${name}`, type: core(1, "i32") },
    [`${name}.drop-readable`]: { canon: `${kind}.drop-readable $${name}`, type: core(1) },
    [`${name}.drop-writable`]: { canon: `${kind}.drop-writable $${name}`, type: core(1) },
  }
}

interface Export {
  /** `(param "x" u32) (result u32)`. */
  readonly type: string
  /** `callback` (default), `stackful`, or `sync`. */
  readonly lift?: "callback" | "stackful" | "sync"
  readonly options?: string
}

interface Guest {
  /** Type definitions before everything else, `(type $s (stream u8))`. */
  readonly types?: string
  /** Component functions it imports by name; the core side calls them as `"i" NAME`, asynchronously unless `sync`. */
  readonly imports?: Readonly<Record<string, { readonly type: string; readonly core: string; readonly options?: string; readonly sync?: boolean }>>
  readonly streams?: Readonly<Record<string, Builtin>>
  /** `task.return` by result type: `return-u32`. */
  readonly returns?: Readonly<Record<string, { readonly result: string; readonly core: string; readonly options?: string }>>
  readonly core: string
  readonly exports: Readonly<Record<string, Export>>
  /** As a nested component: `(component $NAME …)`. */
  readonly name?: string
}

/** The text of a guest. Core imports by name `$name` for all built-ins; the memory is one of its own, since built-ins need it before the module is there. */
function text({ types = "", imports = {}, streams = {}, returns = {}, core: body, exports, name = "" }: Guest): string {
  const memory = `(core module $M (memory (export "m") 2) (global $g (mut i32) (i32.const 65536))
    (func (export "r") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $g) (i32.sub (local.get 2) (i32.const 1))) (i32.xor (i32.sub (local.get 2) (i32.const 1)) (i32.const -1))))
      (global.set $g (i32.add (local.get $at) (local.get 3))) (local.get $at)))
    (core instance $mem (instantiate $M))`
  const all = { ...plain, ...streams }
  const used = Object.entries(all).filter(([key]) => body.includes(`$${key})`) || body.includes(`$${key} `))
  const canons = used.map(([key, { canon }]) => `(core func $${key} (canon ${canon}))`)
  const returned = Object.entries(returns)
  for (const [key, { result, options = "" }] of returned) canons.push(`(core func $${key} (canon task.return ${result} ${options}))`)
  const imported = Object.entries(imports)
  const lowers = imported.map(
    ([key, { options = "", sync }]) =>
      `(core func $low-${key} (canon lower (func $${key}) ${sync === true ? "" : "async"} (memory (core memory $mem "m")) ${options}))`,
  )
  const builtins = [...used.map(([key]) => key), ...returned.map(([key]) => key)]
  return `(component ${name} ${types}
    ${imported.map(([key, { type }]) => `(import "${key}" (func $${key} ${type}))`).join("\n")}
    ${memory}
    ${canons.join("\n")}
    ${lowers.join("\n")}
    (core instance $b ${builtins.map((key) => `(export "${key}" (func $${key}))`).join(" ")})
    (core instance $i ${imported.map(([key]) => `(export "${key}" (func $low-${key}))`).join(" ")})
    (core module $m
      (import "mem" "m" (memory 2))
      ${used.map(([key, { type }]) => `(import "b" "${key}" (func $${key} ${type}))`).join("\n")}
      ${returned.map(([key, { core: type }]) => `(import "b" "${key}" (func $${key} ${type}))`).join("\n")}
      ${imported.map(([key, { core: type }]) => `(import "i" "${key}" (func $${key} ${type}))`).join("\n")}
      ${body}
      ${Object.entries(exports)
        .filter(([key, { lift = "callback" }]) => lift === "callback" && !body.includes(`"cb-${key}"`))
        .map(([key]) => `(func (export "cb-${key}") (param i32 i32 i32) (result i32) unreachable)`)
        .join(" ")})
    (core instance $c (instantiate $m (with "mem" (instance $mem)) (with "b" (instance $b)) (with "i" (instance $i))))
    ${Object.entries(exports)
      .map(([key, { type, lift = "callback", options = "" }]) => {
        const how = lift === "sync" ? "" : lift === "stackful" ? "async" : `async (callback (core func $c "cb-${key}"))`
        return `(func (export "${key}") ${lift === "sync" ? "" : "async"} ${type} (canon lift (core func $c "${key}") ${how} (memory (core memory $mem "m")) (realloc (core func $mem "r")) ${options}))`
      })
      .join("\n")})`
}

const guest = (of: Guest): Promise<Uint8Array> => wat(text(of))

/** `(subtask << 4 | state)` of an asynchronous call into `$sub`; its set into `$set`; answers with WAIT on it. */
const waitFor = `
  (func $wait-for (param $packed i32) (result i32) (local $set i32)
    (local.set $set (call $set-new))
    (call $join (i32.shr_u (local.get $packed) (i32.const 4)) (local.get $set))
    (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))`

const u32 = { result: "(result u32)", core: "(param i32)" }

const builders: Readonly<Record<string, () => Promise<Uint8Array>>> = {
  /** Awaits one function of the host's. */
  caller: () =>
    guest({
      imports: { f: { type: `async (param "x" u32) (result u32)`, core: "(param i32 i32) (result i32)" } },
      returns: { ret: u32 },
      core: `${waitFor}
        (func (export "run") (param $x i32) (result i32) (local $packed i32)
          (local.set $packed (call $f (local.get $x) (i32.const 16)))
          (if (i32.eq (local.get $packed) (i32.const 2))
            (then (call $ret (i32.add (i32.const 1000) (i32.load (i32.const 16)))) (return (i32.const 0))))
          (call $wait-for (local.get $packed)))
        (func (export "cb-run") (param $event i32) (param $index i32) (param $state i32) (result i32)
          (if (i32.ne (local.get $event) (i32.const 1)) (then unreachable))
          (if (i32.ne (local.get $state) (i32.const 2)) (then unreachable))
          (call $subtask-drop (local.get $index))
          (call $ret (i32.load (i32.const 16)))
          (i32.const 0))`,
      exports: { run: { type: `(param "x" u32) (result u32)` } },
    }),

  /** Answers 1, and then works: grows its memory, computes, calls the host; 0 ends, 1 traps, 2 begins again. */
  resting: () =>
    guest({
      imports: { f: { type: `async (param "x" u32) (result u32)`, core: "(param i32 i32) (result i32)" } },
      returns: { ret: u32 },
      core: `(global $mode (mut i32) (i32.const 0))
        (func $work (local $i i32)
          (drop (memory.grow (i32.const 8)))
          (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 100000))))
          (drop (call $f (i32.const 1) (i32.const 16)))
          (if (i32.eq (global.get $mode) (i32.const 1)) (then unreachable)))
        (func (export "run") (param $mode i32) (result i32)
          (global.set $mode (local.get $mode)) (call $ret (i32.const 1)) (i32.const 1))
        (func (export "cb-run") (param i32 i32 i32) (result i32)
          (call $work) (i32.eq (global.get $mode) (i32.const 2)))`,
      exports: { run: { type: `(param "mode" u32) (result u32)` } },
    }),

  /** The same on a stack of its own. */
  "resting-stack": () =>
    guest({
      returns: { ret: u32 },
      core: `(func (export "run") (param $mode i32) (local $i i32)
          (call $ret (i32.const 1)) (drop (call $yield))
          (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 100000))))
          (if (i32.eq (local.get $mode) (i32.const 1)) (then unreachable)))`,
      exports: { run: { type: `(param "mode" u32) (result u32)`, lift: "stackful" } },
    }),

  dropping: () => wat(dropping()),
  "donut-destructor": () => wat(donut(true, true)),
  "donut-plain": () => wat(donut(true, false)),
  "donut-sync-destructor": () => wat(donut(false, true)),
  "donut-sync-plain": () => wat(donut(false, false)),

  /** Reads and writes streams of bytes, waiting by callbacks alone. */
  bytes: () =>
    guest({
      types: "(type $s (stream u8))",
      streams: ends("s", "stream"),
      returns: { ret: u32, "ret-s": { result: "(result $s)", core: "(param i32)" } },
      core: `
        (global $end (mut i32) (i32.const 0)) (global $set (mut i32) (i32.const 0))
        (global $sum (mut i32) (i32.const 0)) (global $left (mut i32) (i32.const 0)) (global $next (mut i32) (i32.const 0))
        (func $wait (result i32) (i32.or (i32.shl (global.get $set) (i32.const 4)) (i32.const 2)))
        (func $open (param $end i32)
          (global.set $end (local.get $end)) (global.set $set (call $set-new)) (call $join (local.get $end) (global.get $set)))
        ;; takes what was read; 1 at the end. What stands behind the buffer is as it was.
        (func $took (param $r i32) (result i32) (local $i i32)
          (if (i32.load8_u (i32.const 81)) (then unreachable))
          (block $done (loop $l
            (br_if $done (i32.ge_u (local.get $i) (i32.shr_u (local.get $r) (i32.const 4))))
            (global.set $sum (i32.add (global.get $sum) (i32.load8_u (i32.add (i32.const 64) (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))
          (i32.and (local.get $r) (i32.const 1)))
        (func $read (result i32) (local $r i32)
          (loop $l
            (local.set $r (call $s.read (global.get $end) (i32.const 64) (i32.const 16)))
            (if (i32.eq (local.get $r) (i32.const -1)) (then (return (call $wait))))
            (br_if $l (i32.eqz (call $took (local.get $r)))))
          (call $read-end))
        (func $read-end (result i32)
          (call $s.drop-readable (global.get $end)) (call $set-drop (global.get $set)) (call $ret (global.get $sum)) (i32.const 0))
        (func (export "sum") (param $s i32) (result i32) (call $open (local.get $s)) (call $read))
        (func (export "cb-sum") (param i32 i32 i32) (result i32)
          (if (i32.ne (local.get 0) (i32.const 2)) (then unreachable))
          (if (call $took (local.get 2)) (then (return (call $read-end))))
          (call $read))
        ;; writes 0, 1, 2 … in pieces of ten
        (func $fill (result i32) (local $n i32) (local $i i32)
          (local.set $n (select (i32.const 10) (global.get $left) (i32.gt_u (global.get $left) (i32.const 10))))
          (block $done (loop $l
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (i32.store8 (i32.add (i32.const 64) (local.get $i)) (i32.add (global.get $next) (local.get $i)))
            (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))
          (local.get $n))
        (func $wrote (param $r i32)
          (global.set $left (i32.sub (global.get $left) (i32.shr_u (local.get $r) (i32.const 4))))
          (global.set $next (i32.add (global.get $next) (i32.shr_u (local.get $r) (i32.const 4))))
          (if (i32.and (local.get $r) (i32.const 1)) (then (global.set $left (i32.const 0)))))
        (func $write (result i32) (local $r i32)
          (block $done (loop $l
            (br_if $done (i32.eqz (global.get $left)))
            (local.set $r (call $s.write (global.get $end) (i32.const 64) (call $fill)))
            (if (i32.eq (local.get $r) (i32.const -1)) (then (return (call $wait))))
            (call $wrote (local.get $r)) (br $l)))
          (call $s.drop-writable (global.get $end)) (i32.const 0))
        (func (export "count") (param $n i32) (result i32) (local $ends i64)
          (local.set $ends (call $s.new)) (global.set $left (local.get $n))
          (call $open (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
          (call $ret-s (i32.wrap_i64 (local.get $ends)))
          (call $write))
        (func (export "cb-count") (param i32 i32 i32) (result i32)
          (if (i32.ne (local.get 0) (i32.const 3)) (then unreachable))
          (call $wrote (local.get 2)) (call $write))
        ;; gives back what it was given, unread
        (func (export "same") (param $s i32) (result i32) (call $ret-s (local.get $s)) (i32.const 0))
        (func (export "ignore") (param $s i32) (result i32) (call $s.drop-readable (local.get $s)) (call $ret (i32.const 7)) (i32.const 0))
        ;; returns a stream and ends, or fails after the first piece
        (func (export "left-open") (result i32) (call $ret-s (i32.wrap_i64 (call $s.new))) (i32.const 0))
        (func (export "fail-later") (param $n i32) (result i32) (local $ends i64)
          (local.set $ends (call $s.new)) (global.set $left (local.get $n))
          (call $open (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
          (call $ret-s (i32.wrap_i64 (local.get $ends)))
          (drop (call $s.write (global.get $end) (i32.const 64) (call $fill))) (call $wait))
        (func (export "cb-fail-later") (param i32 i32 i32) (result i32) unreachable)
        (func (export "spin-later") (param $n i32) (result i32) (local $ends i64)
          (local.set $ends (call $s.new)) (global.set $left (local.get $n))
          (call $open (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
          (call $ret-s (i32.wrap_i64 (local.get $ends)))
          (drop (call $s.write (global.get $end) (i32.const 64) (call $fill))) (call $wait))
        (func (export "cb-spin-later") (param i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)`,
      exports: {
        sum: { type: `(param "s" $s) (result u32)` },
        count: { type: `(param "n" u32) (result $s)` },
        same: { type: `(param "s" $s) (result $s)` },
        ignore: { type: `(param "s" $s) (result u32)` },
        "left-open": { type: `(result $s)` },
        "fail-later": { type: `(param "n" u32) (result $s)` },
        "spin-later": { type: `(param "n" u32) (result $s)` },
      },
    }),

  /** The same on stacks of its own: values of other types, futures, error contexts. */
  stacks: () =>
    guest({
      types: `(type $s (stream u32)) (type $t (stream string)) (type $n (stream)) (type $f (future u32)) (type $g (future string))`,
      imports: { f: { type: `async (param "x" u32) (result u32)`, core: "(param i32) (result i32)", sync: true } },
      streams: {
        ...ends("s", "stream"),
        ...ends("t", "stream", `(realloc (core func $mem "r"))`),
        ...ends("n", "stream"),
        ...ends("f", "future"),
        ...ends("g", "future", `(realloc (core func $mem "r"))`),
      },
      returns: {
        ret: u32,
        "ret-s": { result: "(result $s)", core: "(param i32)" },
        "ret-t": { result: "(result $t)", core: "(param i32)" },
        "ret-n": { result: "(result $n)", core: "(param i32)" },
        "ret-f": { result: "(result $f)", core: "(param i32)" },
        "ret-pair": { result: "(result (tuple $f $s))", core: "(param i32 i32)" },
        "ret-string": { result: "(result string)", core: "(param i32 i32)", options: `(memory (core memory $mem "m"))` },
      },
      core: `(data (i32.const 256) "onetwothree")
        (func $lo (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
        (func $hi (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
        (func (export "numbers") (param $n i32) (local $e i64) (local $i i32)
          (local.set $e (call $s.new)) (call $ret-s (call $lo (local.get $e)))
          (block $done (loop $l
            (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
            (i32.store (i32.const 64) (local.get $i))
            (br_if $done (i32.and (call $s.write-sync (call $hi (local.get $e)) (i32.const 64) (i32.const 1)) (i32.const 1)))
            (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))
          (call $s.drop-writable (call $hi (local.get $e))))
        (func (export "total") (param $s i32) (local $sum i32) (local $r i32) (local $i i32)
          (loop $l
            (local.set $r (call $s.read-sync (local.get $s) (i32.const 64) (i32.const 4)))
            (local.set $i (i32.const 0))
            (block $done (loop $k
              (br_if $done (i32.ge_u (local.get $i) (i32.shr_u (local.get $r) (i32.const 4))))
              (local.set $sum (i32.add (local.get $sum) (i32.load (i32.add (i32.const 64) (i32.shl (local.get $i) (i32.const 2))))))
              (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $k)))
            (br_if $l (i32.eqz (i32.and (local.get $r) (i32.const 1)))))
          (call $s.drop-readable (local.get $s)) (call $ret (local.get $sum)))
        (func (export "words") (local $e i64)
          (local.set $e (call $t.new)) (call $ret-t (call $lo (local.get $e)))
          (i32.store (i32.const 64) (i32.const 256)) (i32.store (i32.const 68) (i32.const 3))
          (i32.store (i32.const 72) (i32.const 259)) (i32.store (i32.const 76) (i32.const 3))
          (i32.store (i32.const 80) (i32.const 262)) (i32.store (i32.const 84) (i32.const 5))
          (drop (call $t.write-sync (call $hi (local.get $e)) (i32.const 64) (i32.const 3)))
          (call $t.drop-writable (call $hi (local.get $e))))
        (func (export "first-word") (param $t i32)
          (if (i32.ne (call $t.read-sync (local.get $t) (i32.const 64) (i32.const 1)) (i32.const 16)) (then unreachable))
          (call $t.drop-readable (local.get $t))
          (call $ret-string (i32.load (i32.const 64)) (i32.load (i32.const 68))))
        (func (export "ticks") (param $n i32) (local $e i64)
          (local.set $e (call $n.new)) (call $ret-n (call $lo (local.get $e)))
          (drop (call $n.write-sync (call $hi (local.get $e)) (i32.const 0) (local.get $n)))
          (call $n.drop-writable (call $hi (local.get $e))))
        (func (export "promise") (param $x i32) (local $e i64)
          (local.set $e (call $f.new)) (call $ret-f (call $lo (local.get $e)))
          (drop (call $yield))
          (i32.store (i32.const 64) (call $f (local.get $x)))
          (drop (call $f.write-sync (call $hi (local.get $e)) (i32.const 64)))
          (call $f.drop-writable (call $hi (local.get $e))))
        (func (export "both") (local $e i64) (local $d i64)
          (local.set $e (call $f.new)) (local.set $d (call $s.new))
          (call $ret-pair (call $lo (local.get $e)) (call $lo (local.get $d)))
          (i32.store (i32.const 64) (i32.const 41))
          (drop (call $f.write-sync (call $hi (local.get $e)) (i32.const 64)))
          (call $f.drop-writable (call $hi (local.get $e)))
          (i32.store (i32.const 64) (i32.const 42))
          (drop (call $s.write-sync (call $hi (local.get $d)) (i32.const 64) (i32.const 1)))
          (call $s.drop-writable (call $hi (local.get $d))))
        (func (export "await") (param $f i32)
          (if (call $f.read-sync (local.get $f) (i32.const 64)) (then unreachable))
          (call $f.drop-readable (local.get $f)) (call $ret (i32.load (i32.const 64))))
        (func (export "await-text") (param $g i32)
          (if (call $g.read-sync (local.get $g) (i32.const 64)) (then unreachable))
          (call $g.drop-readable (local.get $g)) (call $ret-string (i32.load (i32.const 64)) (i32.load (i32.const 68))))
        (func (export "plain") (param $x i32) (result i32) (i32.add (call $f (local.get $x)) (i32.const 1)))
        (func (export "wait-plain") (param $x i32) (result i32) (call $context-set (local.get $x)) (drop (call $yield)) (call $context-get))
        (func (export "wait-set") (param $s i32) (local $set i32) (local $code i32)
          (local.set $set (call $set-new)) (call $join (local.get $s) (local.get $set))
          (if (i32.ne (call $s.read (local.get $s) (i32.const 64) (i32.const 1)) (i32.const -1)) (then unreachable))
          (local.set $code (call $set-wait (local.get $set) (i32.const 128)))
          (if (i32.ne (i32.load (i32.const 128)) (local.get $s)) (then unreachable))
          (call $s.drop-readable (local.get $s)) (call $set-drop (local.get $set))
          (call $ret (i32.add (i32.mul (local.get $code) (i32.const 1000)) (i32.load (i32.const 64)))))`,
      exports: {
        numbers: { type: `(param "n" u32) (result $s)`, lift: "stackful" },
        total: { type: `(param "s" $s) (result u32)`, lift: "stackful" },
        words: { type: `(result $t)`, lift: "stackful" },
        "first-word": { type: `(param "t" $t) (result string)`, lift: "stackful" },
        ticks: { type: `(param "n" u32) (result $n)`, lift: "stackful" },
        promise: { type: `(param "x" u32) (result $f)`, lift: "stackful" },
        both: { type: `(result (tuple $f $s))`, lift: "stackful" },
        await: { type: `(param "f" $f) (result u32)`, lift: "stackful" },
        "await-text": { type: `(param "g" $g) (result string)`, lift: "stackful" },
        plain: { type: `(param "x" u32) (result u32)`, lift: "sync" },
        "wait-plain": { type: `(param "x" u32) (result u32)`, lift: "sync" },
        "wait-set": { type: `(param "s" $s) (result u32)`, lift: "stackful" },
      },
    }),

  /** Gives the stream it was given to a host function, and gives back what that answers. */
  through: () =>
    guest({
      types: "(type $s (stream u8))",
      imports: { f: { type: `async (param "s" $s) (result $s)`, core: "(param i32 i32) (result i32)" } },
      streams: ends("s", "stream"),
      returns: { ret: u32, "ret-s": { result: "(result $s)", core: "(param i32)" } },
      core: `${waitFor}
        (func (export "run") (param $s i32) (result i32) (call $wait-for (call $f (local.get $s) (i32.const 16))))
        (func (export "cb-run") (param i32 i32 i32) (result i32)
          (call $subtask-drop (local.get 1)) (call $ret-s (i32.load (i32.const 16))) (i32.const 0))
        ;; gives so many streams that nobody reads, and keeps none
        (func (export "flood") (param $n i32) (result i32) (local $ends i64) (local $left i32)
          (local.set $left (local.get $n))
          (loop $l
            (local.set $ends (call $s.new))
            (drop (call $f (i32.wrap_i64 (local.get $ends)) (i32.const 16)))
            (call $s.drop-readable (i32.load (i32.const 16)))
            (call $s.drop-writable (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $l (local.get $left)))
          (call $ret (local.get $n)) (i32.const 0))`,
      exports: { run: { type: `(param "s" $s) (result $s)` }, flood: { type: `(param "n" u32) (result u32)` } },
    }),

  /** Makes and reads error contexts. */
  notes: () =>
    guest({
      types: `(type $e error-context)`,
      streams: {
        "note-new": { canon: 'error-context.new (memory (core memory $mem "m"))', type: core(2, "i32") },
        "note-text": { canon: 'error-context.debug-message (memory (core memory $mem "m")) (realloc (core func $mem "r"))', type: core(2) },
        "note-drop": { canon: "error-context.drop", type: core(1) },
      },
      returns: {
        "ret-e": { result: "(result error-context)", core: "(param i32)" },
        "ret-string": { result: "(result string)", core: "(param i32 i32)", options: `(memory (core memory $mem "m"))` },
      },
      core: `
        (func (export "complain") (param i32 i32) (result i32) (call $ret-e (call $note-new (local.get 0) (local.get 1))) (i32.const 0))
        (func (export "explain") (param i32) (result i32)
          (call $note-text (local.get 0) (i32.const 64)) (call $note-drop (local.get 0))
          (call $ret-string (i32.load (i32.const 64)) (i32.load (i32.const 68))) (i32.const 0))`,
      exports: {
        complain: { type: `(param "s" string) (result error-context)` },
        explain: { type: `(param "e" error-context) (result string)` },
      },
    }),

  /** One component around another: every kind of call between them. */
  composed: () => wat(composed()),

  /** What no guest may do, an export each. */
  hostile: () =>
    guest({
      types: "(type $s (stream u8)) (type $f (future u32)) (type $o (stream u32))",
      imports: { f: { type: `async (param "x" u32) (result u32)`, core: "(param i32 i32) (result i32)" } },
      streams: { ...ends("s", "stream"), ...ends("f", "future"), ...ends("o", "stream") },
      returns: { ret: u32, "ret-none": { result: "", core: "" }, "ret-s": { result: "(result $s)", core: "(param i32)" } },
      core: `
        (func $lo (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
        (func $hi (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
        (global $e (mut i64) (i64.const 0))
        (func (export "no-return") (result i32) (i32.const 0))
        (func (export "return-twice") (result i32) (call $ret (i32.const 1)) (call $ret (i32.const 2)) (i32.const 0))
        (func (export "return-other") (result i32) (call $ret-none) (i32.const 0))
        (func (export "bad-code") (result i32) (call $ret (i32.const 1)) (i32.const 9))
        (func (export "wait-nothing") (result i32) (i32.const 0x7ff2))
        (func (export "wait-stream") (result i32) (i32.or (i32.shl (call $lo (call $s.new)) (i32.const 4)) (i32.const 2)))
        (func (export "wait-empty") (result i32) (i32.or (i32.shl (call $set-new) (i32.const 4)) (i32.const 2)))
        (func (export "cancel-unasked") (result i32) (call $task-cancel) (i32.const 0))
        (func (export "drop-twice") (result i32) (local $s i32)
          (local.set $s (call $lo (call $s.new))) (call $s.drop-readable (local.get $s)) (call $s.drop-readable (local.get $s)) (i32.const 0))
        (func (export "drop-wrong-end") (result i32) (call $s.drop-readable (call $hi (call $s.new))) (i32.const 0))
        (func (export "drop-other-type") (result i32) (call $o.drop-readable (call $lo (call $s.new))) (i32.const 0))
        (func (export "drop-as-set") (result i32) (call $set-drop (call $lo (call $s.new))) (i32.const 0))
        (func (export "drop-future") (result i32) (call $f.drop-writable (call $hi (call $f.new))) (i32.const 0))
        (func (export "drop-full-set") (result i32) (local $set i32)
          (local.set $set (call $set-new)) (call $join (call $lo (call $s.new)) (local.get $set)) (call $set-drop (local.get $set)) (i32.const 0))
        (func (export "join-set") (result i32) (call $join (call $set-new) (call $set-new)) (i32.const 0))
        (func (export "own-end") (result i32) (global.set $e (call $s.new))
          (drop (call $s.write (call $hi (global.get $e)) (i32.const 64) (i32.const 4)))
          (drop (call $s.read (call $lo (global.get $e)) (i32.const 80) (i32.const 4))) (i32.const 0))
        (func (export "read-twice") (result i32) (global.set $e (call $s.new))
          (drop (call $s.read (call $lo (global.get $e)) (i32.const 64) (i32.const 4)))
          (drop (call $s.read (call $lo (global.get $e)) (i32.const 64) (i32.const 4))) (i32.const 0))
        (func (export "drop-reading") (result i32) (global.set $e (call $s.new))
          (drop (call $s.read (call $lo (global.get $e)) (i32.const 64) (i32.const 4)))
          (call $s.drop-readable (call $lo (global.get $e))) (i32.const 0))
        (func (export "give-reading") (result i32) (global.set $e (call $s.new))
          (drop (call $s.read (call $lo (global.get $e)) (i32.const 64) (i32.const 4)))
          (call $ret-s (call $lo (global.get $e))) (i32.const 0))
        (func (export "give-writable") (result i32) (call $ret-s (call $hi (call $s.new))) (i32.const 0))
        (func (export "huge-read") (result i32) (drop (call $s.read (call $lo (call $s.new)) (i32.const 64) (i32.const -1))) (i32.const 0))
        (func (export "outside-read") (result i32) (drop (call $s.read (call $lo (call $s.new)) (i32.const 131000) (i32.const 200))) (i32.const 0))
        (func (export "cancel-idle") (result i32) (drop (call $s.cancel-read (call $lo (call $s.new)))) (i32.const 0))
        (func (export "pressure-under") (result i32) (call $pressure-dec) (i32.const 0))
        (func (export "pressure-over") (result i32) (loop $l (call $pressure-inc) (br $l)) (i32.const 0))
        (func (export "many-sets") (result i32) (loop $l (drop (call $set-new)) (br $l)) (i32.const 0))
        (func (export "many-streams") (result i32) (loop $l (drop (call $s.new)) (br $l)) (i32.const 0))
        (func (export "many-calls") (result i32) (loop $l (drop (call $f (i32.const 1) (i32.const 16))) (br $l)) (i32.const 0))
        (func (export "drop-running") (result i32) (call $subtask-drop (i32.shr_u (call $f (i32.const 1) (i32.const 16)) (i32.const 4))) (i32.const 0))
        (func (export "cancel-twice") (result i32) (local $t i32)
          (local.set $t (i32.shr_u (call $f (i32.const 1) (i32.const 16)) (i32.const 4)))
          (drop (call $subtask-cancel (local.get $t))) (drop (call $subtask-cancel (local.get $t))) (i32.const 0))
        (func (export "cancel-host") (result i32) (local $t i32)
          (local.set $t (i32.shr_u (call $f (i32.const 1) (i32.const 16)) (i32.const 4)))
          (call $ret (call $subtask-cancel (local.get $t))) (call $subtask-drop (local.get $t)) (i32.const 0))
        (func (export "bad-result") (result i32) (drop (call $f (i32.const 1) (i32.const -4))) (i32.const 0))
        (func (export "yield-forever") (result i32) (i32.const 1))
        (func (export "cb-yield-forever") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "poll-forever") (result i32) (call $context-set (call $set-new)) (i32.or (i32.shl (call $context-get) (i32.const 4)) (i32.const 3)))
        (func (export "cb-poll-forever") (param i32 i32 i32) (result i32) (i32.or (i32.shl (call $context-get) (i32.const 4)) (i32.const 3)))
        (func (export "trap-after-return") (result i32) (call $ret (i32.const 1)) unreachable)
        (func (export "spin-after-return") (result i32) (call $ret (i32.const 1)) (loop $l (br $l)) unreachable)
        (func (export "linger") (result i32) (call $ret (i32.const 1)) (i32.const 1))
        (func (export "cb-linger") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "swallow") (result i32) (block $h (try_table (catch_all $h) (call $ret-none))) (call $ret (i32.const 1)) (i32.const 0))`,
      exports: Object.fromEntries(hostileExports.map((name) => [name, { type: name.startsWith("give-") ? "(result $s)" : "(result u32)" }] as const)),
    }),
}

export const hostileExports = (
  "no-return return-twice return-other bad-code wait-nothing wait-stream wait-empty cancel-unasked drop-twice drop-wrong-end drop-other-type drop-as-set drop-future " +
  "drop-full-set join-set own-end read-twice drop-reading give-reading give-writable huge-read outside-read cancel-idle pressure-under pressure-over many-sets " +
  "many-streams many-calls drop-running cancel-twice cancel-host bad-result yield-forever poll-forever trap-after-return spin-after-return linger swallow"
).split(" ")

/** An inner component that waits, and an outer one that calls it in each way. */
function composed(): string {
  const f = { type: `async (param "x" u32) (result u32)`, core: "(param i32 i32) (result i32)" }
  const inner = text({
    name: "$inner",
    types: "(type $s (stream u8))",
    streams: ends("s", "stream"),
    imports: { f },
    returns: { ret: u32, "ret-s": { result: "(result $s)", core: "(param i32)" } },
    core: `${waitFor}
      (global $e (mut i32) (i32.const 0))
      (func (export "slow") (param $x i32) (result i32) (local $packed i32) (local $at i32)
        ;; a place of its own for each answer, found again by the subtask
        (local.set $at (i32.add (i32.const 512) (i32.shl (i32.and (local.get $x) (i32.const 63)) (i32.const 2))))
        (local.set $packed (call $f (local.get $x) (local.get $at)))
        (if (i32.eq (local.get $packed) (i32.const 2)) (then (call $ret (i32.load (local.get $at))) (return (i32.const 0))))
        (call $context-set (i32.shr_u (local.get $packed) (i32.const 4)))
        (i32.store (i32.add (i32.const 1024) (i32.shl (call $context-get) (i32.const 2))) (local.get $at))
        (call $wait-for (local.get $packed)))
      (func (export "cb-slow") (param $event i32) (param $index i32) (param $state i32) (result i32)
        (if (i32.eq (local.get $event) (i32.const 6))
          (then
            (drop (call $subtask-cancel (call $context-get))) (call $subtask-drop (call $context-get))
            (call $task-cancel) (return (i32.const 0))))
        (call $subtask-drop (local.get $index))
        (call $ret (i32.add (i32.load (i32.load (i32.add (i32.const 1024) (i32.shl (local.get $index) (i32.const 2))))) (i32.const 1))) (i32.const 0))
      (func (export "quick") (param $x i32) (result i32) (call $ret (i32.mul (local.get $x) (i32.const 3))) (i32.const 0))
      (func (export "hold") (result i32) (call $pressure-inc) (call $ret (i32.const 0)) (i32.const 0))
      (func (export "release") (param $x i32) (result i32) (call $pressure-dec) (local.get $x))
      (func (export "bytes") (result i32) (local $ends i64) (local $set i32)
        (local.set $ends (call $s.new)) (global.set $e (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (local.set $set (call $set-new)) (call $join (global.get $e) (local.get $set))
        (call $ret-s (i32.wrap_i64 (local.get $ends)))
        (i64.store (i32.const 64) (i64.const 0x0807060504030201))
        (if (i32.ne (call $s.write (global.get $e) (i32.const 64) (i32.const 8)) (i32.const -1)) (then unreachable))
        (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))
      (func (export "cb-bytes") (param i32 i32 i32) (result i32) (call $s.drop-writable (global.get $e)) (i32.const 0))`,
    exports: {
      slow: { type: `(param "x" u32) (result u32)` },
      quick: { type: `(param "x" u32) (result u32)` },
      hold: { type: `(result u32)` },
      release: { type: `(param "x" u32) (result u32)`, lift: "sync" },
      bytes: { type: "(result $s)" },
    },
  })
  const outer = text({
    name: "$outer",
    types: "(type $s (stream u8))",
    streams: ends("s", "stream"),
    imports: {
      slow: f,
      "slow-sync": { ...f, core: "(param i32) (result i32)", sync: true },
      quick: f,
      hold: { type: "async (result u32)", core: "(param i32) (result i32)" },
      release: { type: `(param "x" u32) (result u32)`, core: "(param i32) (result i32)", sync: true },
      bytes: { type: "async (result $s)", core: "(param i32) (result i32)" },
    },
    returns: { ret: u32, "ret-s": { result: "(result $s)", core: "(param i32)" } },
    core: `${waitFor}
      (func $index (param i32) (result i32) (i32.shr_u (local.get 0) (i32.const 4)))
      (func (export "run") (param $x i32) (result i32) (local $p i32)
        (local.set $p (call $slow (local.get $x) (i32.const 16)))
        (if (i32.eq (local.get $p) (i32.const 2)) (then (call $ret (i32.load (i32.const 16))) (return (i32.const 0))))
        (if (i32.ne (i32.and (local.get $p) (i32.const 15)) (i32.const 1)) (then unreachable))
        (call $wait-for (local.get $p)))
      (func (export "cb-run") (param i32 i32 i32) (result i32)
        (call $subtask-drop (local.get 1)) (call $ret (i32.add (i32.load (i32.const 16)) (i32.const 100))) (i32.const 0))
      (func (export "eager") (param $x i32) (result i32)
        (if (i32.ne (call $quick (local.get $x) (i32.const 16)) (i32.const 2)) (then unreachable))
        (call $ret (i32.load (i32.const 16))) (i32.const 0))
      (func (export "waits") (param $x i32) (result i32) (i32.add (call $slow-sync (local.get $x)) (i32.const 200)))
      ;; three at once: the answers come as they come
      (func (export "three") (param $x i32) (result i32) (local $set i32) (local $i i32)
        (local.set $set (call $set-new)) (call $context-set (i32.const 0))
        (loop $l
          (call $join (call $index (call $slow (i32.add (local.get $x) (local.get $i)) (i32.add (i32.const 16) (i32.shl (local.get $i) (i32.const 2))))) (local.get $set))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 3))))
        (i32.store (i32.const 48) (local.get $set)) (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))
      (func (export "cb-three") (param i32 i32 i32) (result i32)
        (call $subtask-drop (local.get 1)) (call $context-set (i32.add (call $context-get) (i32.const 1)))
        (if (i32.eq (call $context-get) (i32.const 3))
          (then (call $ret (i32.add (i32.load (i32.const 16)) (i32.add (i32.load (i32.const 20)) (i32.load (i32.const 24))))) (return (i32.const 0))))
        (i32.or (i32.shl (i32.load (i32.const 48)) (i32.const 4)) (i32.const 2)))
      ;; cancels what waits: 4, cancelled before it returned
      (func (export "cancel") (param $x i32) (result i32) (local $p i32) (local $state i32)
        (local.set $p (call $slow (local.get $x) (i32.const 16)))
        (local.set $state (call $subtask-cancel (call $index (local.get $p))))
        (call $subtask-drop (call $index (local.get $p))) (call $ret (local.get $state)) (i32.const 0))
      ;; held back: STARTING, cancelled before it started; and let in later
      (func (export "held") (param $x i32) (result i32) (local $p i32) (local $q i32)
        (if (i32.ne (call $hold (i32.const 16)) (i32.const 2)) (then unreachable))
        (local.set $p (call $slow (local.get $x) (i32.const 16)))
        (if (i32.and (local.get $p) (i32.const 15)) (then unreachable))
        (local.set $q (call $quick (local.get $x) (i32.const 20)))
        (if (i32.and (local.get $q) (i32.const 15)) (then unreachable))
        (if (i32.ne (call $subtask-cancel (call $index (local.get $p))) (i32.const 3)) (then unreachable))
        (call $subtask-drop (call $index (local.get $p)))
        (call $ret (i32.const 5)) (i32.const 0))
      (func (export "stream") (param $x i32) (result i32) (local $set i32)
        (if (i32.ne (call $bytes (i32.const 16)) (i32.const 2)) (then unreachable))
        (if (i32.ne (call $s.read (i32.load (i32.const 16)) (i32.const 64) (i32.const 100)) (i32.const 0x80)) (then unreachable))
        (call $s.drop-readable (i32.load (i32.const 16)))
        (call $ret (i32.add (i32.load8_u (i32.const 64)) (i32.load8_u (i32.const 71)))) (i32.const 0))
      (func (export "forward") (result i32)
        (if (i32.ne (call $bytes (i32.const 16)) (i32.const 2)) (then unreachable))
        (call $ret-s (i32.load (i32.const 16))) (i32.const 0))`,
    exports: {
      run: { type: `(param "x" u32) (result u32)` },
      eager: { type: `(param "x" u32) (result u32)` },
      waits: { type: `(param "x" u32) (result u32)`, lift: "sync" },
      three: { type: `(param "x" u32) (result u32)` },
      cancel: { type: `(param "x" u32) (result u32)` },
      held: { type: `(param "x" u32) (result u32)` },
      stream: { type: `(param "x" u32) (result u32)` },
      forward: { type: "(result $s)" },
    },
  })
  const names = ["slow", "quick", "hold", "release", "bytes"]
  return `(component (import "f" (func $f async (param "x" u32) (result u32)))
    ${inner} ${outer}
    (instance $in (instantiate $inner (with "f" (func $f))))
    (instance $out (instantiate $outer ${names.map((name) => `(with "${name}" (func $in "${name}"))`).join(" ")} (with "slow-sync" (func $in "slow"))))
    ${["run", "eager", "waits", "three", "cancel", "held", "stream", "forward"].map((name) => `(export "${name}" (func $out "${name}"))`).join(" ")})`
}

/**
 * An inner component whose destructor, and whose allocator, look into the slot of whoever runs and write to it, and an outer
 * one that keeps 42 there. `run` and `text` answer 1000 × what was seen + what is left; `held` drops what is held back.
 */
const dropping = (): string => `(component
  (component $inner
    (core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0)) (core func $hold (canon backpressure.inc))
    (core module $d
      (import "b" "get" (func $get (result i32))) (import "b" "set" (func $set (param i32))) (import "b" "hold" (func $hold))
      (memory (export "m") 1) (global $seen (mut i32) (i32.const -1))
      (func $look (global.set $seen (call $get)) (call $set (i32.const 99)))
      (func (export "dtor") (param i32) (call $look))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $look) (i32.const 64))
      (func (export "take") (param i32 i32)) (func (export "hold") (call $hold))
      (func (export "seen") (result i32) (global.get $seen)))
    (core instance $i (instantiate $d (with "b" (instance (export "get" (func $get)) (export "set" (func $set)) (export "hold" (func $hold))))))
    (type $r (resource (rep i32) (dtor (core func $i "dtor"))))
    (core func $new (canon resource.new $r))
    (core module $m (import "b" "new" (func $new (param i32) (result i32))) (func (export "make") (result i32) (call $new (i32.const 7))))
    (core instance $j (instantiate $m (with "b" (instance (export "new" (func $new))))))
    (export $R "r" (type $r))
    (func (export "make") (result (own $R)) (canon lift (core func $j "make")))
    (func (export "take") (param "s" string) (canon lift (core func $i "take") (memory (core memory $i "m")) (realloc (core func $i "realloc"))))
    (func (export "hold") (canon lift (core func $i "hold")))
    (func (export "seen") (result u32) (canon lift (core func $i "seen"))))
  (instance $in (instantiate $inner))
  (alias export $in "r" (type $r))
  (core module $M (memory (export "m") 1)) (core instance $mem (instantiate $M))
  (core func $make (canon lower (func $in "make"))) (core func $seen (canon lower (func $in "seen"))) (core func $hold (canon lower (func $in "hold")))
  (core func $take (canon lower (func $in "take") (memory (core memory $mem "m"))))
  (core func $drop (canon resource.drop $r))
  (core func $ret (canon task.return (result u32)))
  (core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0))
  (core module $c
    (import "b" "make" (func $make (result i32))) (import "b" "seen" (func $seen (result i32))) (import "b" "hold" (func $hold))
    (import "b" "take" (func $take (param i32 i32))) (import "b" "drop" (func $drop (param i32))) (import "b" "ret" (func $ret (param i32)))
    (import "b" "get" (func $get (result i32))) (import "b" "set" (func $set (param i32)))
    (func $answer (result i32) (call $ret (i32.add (i32.mul (call $seen) (i32.const 1000)) (call $get))) (i32.const 0))
    (func (export "run") (result i32) (call $set (i32.const 42)) (call $drop (call $make)) (call $answer))
    (func (export "text") (result i32) (call $set (i32.const 42)) (call $take (i32.const 0) (i32.const 3)) (call $answer))
    (func (export "held") (result i32) (local $r i32) (local.set $r (call $make)) (call $hold) (call $drop (local.get $r)) (call $ret (i32.const 1)) (i32.const 0))
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $o (instantiate $c (with "b" (instance
    ${["make", "seen", "hold", "take", "drop", "ret", "get", "set"].map((name) => `(export "${name}" (func $${name}))`).join(" ")}))))
  ${["run", "text", "held"].map((name) => `(func (export "${name}") async (result u32) (canon lift (core func $o "${name}") async (callback (core func $o "cb"))))`).join("\n")})`

/** A component that gives a resource of its own to a component inside of it, which drops that while the outer one waits for it. */
const donut = (isAsync: boolean, hasDestructor: boolean): string => `(component
  (component $inner
    (import "r" (type $r (sub resource)))
    (core func $drop (canon resource.drop $r))
    (core module $m (import "b" "drop" (func $drop (param i32))) (func (export "eat") (param i32) (call $drop (local.get 0))))
    (core instance $i (instantiate $m (with "b" (instance (export "drop" (func $drop))))))
    (func (export "eat") (param "r" (own $r)) (canon lift (core func $i "eat"))))
  (core module $d (func (export "dtor") (param i32)))
  (core instance $i (instantiate $d))
  (type $r (resource (rep i32) ${hasDestructor ? '(dtor (core func $i "dtor"))' : ""}))
  (instance $in (instantiate $inner (with "r" (type $r))))
  (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r)) (core func $eat (canon lower (func $in "eat")))
  ${isAsync ? "(core func $ret (canon task.return (result u32)))" : ""}
  (core module $m
    (import "b" "new" (func $new (param i32) (result i32))) (import "b" "drop" (func $drop (param i32))) (import "b" "eat" (func $eat (param i32)))
    ${isAsync ? '(import "b" "ret" (func $ret (param i32)))' : ""}
    (func $answer (result i32) ${isAsync ? "(call $ret (i32.const 1)) (i32.const 0)" : "(i32.const 1)"})
    (func (export "own") (result i32) (call $drop (call $new (i32.const 7))) (call $answer))
    (func (export "give") (result i32) (call $eat (call $new (i32.const 7))) (call $answer))
    (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $o (instantiate $m (with "b" (instance
    (export "new" (func $new)) (export "drop" (func $drop)) (export "eat" (func $eat)) ${isAsync ? '(export "ret" (func $ret))' : ""}))))
  ${["own", "give"]
    .map(
      (name) =>
        `(func (export "${name}") ${isAsync ? "async" : ""} (result u32) (canon lift (core func $o "${name}") ${isAsync ? 'async (callback (core func $o "cb"))' : ""}))`,
    )
    .join("\n")})`

/** The bytes of one of them. */
export const asyncGuest = (name: string): Promise<Uint8Array> => (builders[name] as () => Promise<Uint8Array>)()

/** Writes every guest to `folder`, as NAME.wasm. */
export async function writeGuests(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await Promise.all(Object.entries(builders).map(async ([name, build]) => writeFile(join(folder, `${name}.wasm`), await build())))
}
