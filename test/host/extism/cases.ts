/** What each function that an Extism plugin imports does, as plugins see it: the same plugin, input and answer for any host. */
import type { ExtismText } from "./guest.ts"

export interface Case extends ExtismText {
  /** The function it is about. */
  readonly of: string
  readonly about: string
  readonly input?: string
  /** The output as text, or eight bytes as a number. */
  readonly gives?: string | bigint
  /** The error instead. */
  readonly fails?: string
  /** Why Extism's JavaScript host 1.0.3 does not run it so; its Rust and Go hosts, whose kernel this is, do. */
  readonly notIn103?: string
}

const lacks = "it has no such function"
const inScript = "its blocks are not in one memory"

/** The bytes of a text as the little-endian number that `load_u64` reads. */
const word = (text: string): bigint => new DataView(new TextEncoder().encode(text).buffer).getBigInt64(0, true)

export const cases: ReadonlyArray<Case> = [
  {
    of: "alloc",
    about: "gives blocks of the length asked for, one apart from the other",
    locals: "(local $a i64) (local $b i64)",
    body: `(local.set $a (call $alloc (i64.const 5))) (local.set $b (call $alloc (i64.const 7)))
      (call $answer-i64 (i64.add (i64.mul (call $length (local.get $a)) (i64.const 100)) (i64.add (i64.mul (call $length (local.get $b)) (i64.const 10)) (i64.extend_i32_u (i64.ne (local.get $a) (local.get $b))))))`,
    gives: 571n,
  },
  {
    of: "alloc",
    about: "gives 0 for no bytes",
    body: `(call $answer-i64 (call $alloc (i64.const 0)))`,
    gives: 0n,
    notIn103: "it makes an empty block",
  },
  {
    of: "alloc",
    about: "gives 0 for more than a memory can hold",
    body: `(call $answer-i64 (i64.or (call $alloc (i64.const 0x7fffffffffffffff)) (call $alloc (i64.const 0x100000000))))`,
    gives: 0n,
    notIn103: "it throws",
  },
  {
    of: "alloc",
    about: "begins at the offset that Extism's own tests state",
    body: `(call $answer-i64 (call $alloc (i64.const 1065)))`,
    gives: 77n,
    notIn103: inScript,
  },
  {
    of: "free",
    about: "makes a block no block",
    locals: "(local $a i64)",
    body: `(local.set $a (call $alloc (i64.const 5))) (call $free (local.get $a)) (call $answer-i64 (call $length (local.get $a)))`,
    gives: 0n,
  },
  {
    of: "free",
    about: "does nothing to what is no block, or is free already",
    locals: "(local $a i64)",
    body: `(local.set $a (call $alloc (i64.const 5))) (call $free (local.get $a)) (call $free (local.get $a)) (call $free (i64.const 0)) (call $free (i64.const 3))
      (call $answer-i64 (call $length (call $alloc (i64.const 6))))`,
    gives: 6n,
  },
  {
    of: "free",
    about: "takes the input away when it is the input's",
    input: "hello",
    body: `(call $free (call $input_offset)) (call $answer-i64 (call $input_length))`,
    gives: 0n,
  },
  {
    of: "length",
    about: "is 0 for what is no block",
    locals: "(local $a i64)",
    body: `(local.set $a (call $alloc (i64.const 50)))
      (call $answer-i64 (i64.or (call $length (i64.const 0)) (i64.or (call $length (i64.add (local.get $a) (i64.const 1))) (call $length (i64.const -1)))))`,
    gives: 0n,
    notIn103: "an offset into a block has its length",
  },
  { of: "length", about: "is that of the input", input: "hello", body: `(call $answer-i64 (call $length (call $input_offset)))`, gives: 5n },
  {
    of: "length_unsafe",
    about: "is `length` for a block",
    body: `(call $answer-i64 (call $length_unsafe (call $block (i32.const 0) (i32.const 9))))`,
    gives: 9n,
  },
  {
    of: "length_unsafe",
    about: "is 0 outside the memory",
    body: `(call $answer-i64 (i64.or (call $length_unsafe (i64.const -1)) (i64.or (call $length_unsafe (i64.const 0)) (call $length_unsafe (i64.const 0x7fffffff)))))`,
    gives: 0n,
    notIn103: "a negative offset is its null block, of one byte",
  },
  {
    of: "store_u8",
    about: "writes the low byte",
    locals: "(local $a i64)",
    body: `(local.set $a (call $alloc (i64.const 2))) (call $store_u8 (local.get $a) (i32.const 0x141)) (call $store_u8 (i64.add (local.get $a) (i64.const 1)) (i32.const 66)) (call $answer (local.get $a))`,
    gives: "AB",
  },
  {
    of: "load_u8",
    about: "reads a byte, unsigned",
    data: "\\ff",
    body: `(call $answer-i64 (i64.extend_i32_s (call $load_u8 (call $block (i32.const 0) (i32.const 1)))))`,
    gives: 255n,
  },
  {
    of: "load_u8",
    about: "reads 0 outside the memory",
    body: `(call $answer-i64 (i64.extend_i32_u (i32.or (call $load_u8 (i64.const -1)) (i32.or (call $load_u8 (i64.const 0)) (call $load_u8 (i64.const 0x7fffffffffff))))))`,
    gives: 0n,
    notIn103: "it throws at some of them",
  },
  {
    of: "store_u64",
    about: "writes eight bytes, the low one first",
    locals: "(local $a i64)",
    body: `(local.set $a (call $alloc (i64.const 8))) (call $store_u64 (local.get $a) (i64.const ${word("ABCDEFGH")})) (call $answer (local.get $a))`,
    gives: "ABCDEFGH",
  },
  {
    of: "store_u64",
    about: "writes nothing outside the memory",
    body: `(call $store_u64 (i64.const -1) (i64.const 1)) (call $store_u64 (i64.const 0) (i64.const 1)) (call $store_u64 (i64.const 0x7fffffffffff) (i64.const 1)) (call $store_u8 (i64.const 1) (i32.const 1)) (call $answer-i64 (i64.const 4))`,
    gives: 4n,
    notIn103: "it throws at some of them",
  },
  {
    of: "load_u64",
    about: "reads eight bytes, the low one first",
    data: "ABCDEFGH",
    body: `(call $answer-i64 (call $load_u64 (call $block (i32.const 0) (i32.const 8))))`,
    gives: word("ABCDEFGH"),
  },
  {
    of: "load_u64",
    about: "reads 0 where not all eight are in memory, from its start to its end",
    body: `(call $store_u8 (i64.const 65535) (i32.const 1)) (call $store_u8 (i64.const 64) (i32.const 2))
      (call $answer-i64 (i64.or (i64.or (call $load_u64 (i64.const 65529)) (call $load_u64 (i64.const 0x7ffffff0))) (i64.or (call $load_u64 (i64.const 56)) (i64.extend_i32_u (i32.or (call $load_u8 (i64.const 65536)) (call $load_u8 (i64.const 63)))))))`,
    gives: 0n,
    notIn103: inScript,
  },
  {
    of: "store_u8",
    about: "writes the memory's last byte, and `load_u8` reads it",
    body: `(call $store_u8 (i64.const 65535) (i32.const 7)) (call $store_u8 (i64.const 65536) (i32.const 9)) (call $answer-i64 (i64.extend_i32_u (call $load_u8 (i64.const 65535))))`,
    gives: 7n,
    notIn103: inScript,
  },
  {
    of: "store_u64",
    about: "writes where all eight are in memory, and only there",
    body: `(call $store_u64 (i64.const 65528) (i64.const 3)) (call $store_u64 (i64.const 65529) (i64.const -1)) (call $store_u64 (i64.const 0x7ffffff0) (i64.const -1)) (call $store_u64 (i64.const 0xfffffffe) (i64.const -1))
      (call $answer-i64 (call $load_u64 (i64.const 65528)))`,
    gives: 3n,
    notIn103: inScript,
  },
  { of: "input_length", about: "is the input's in bytes", input: "héllo", body: `(call $answer-i64 (call $input_length))`, gives: 6n },
  { of: "input_length", about: "is 0 without input", body: `(call $answer-i64 (call $input_length))`, gives: 0n },
  { of: "input_offset", about: "is a block with the input", input: "hello", body: `(call $answer (call $input_offset))`, gives: "hello" },
  {
    of: "input_load_u8",
    about: "reads from the input's start",
    input: "hello",
    body: `(call $answer-i64 (i64.extend_i32_u (call $input_load_u8 (i64.const 1))))`,
    gives: 101n,
  },
  {
    of: "input_load_u8",
    about: "reads 0 behind the input",
    input: "hello",
    body: `(call $answer-i64 (i64.extend_i32_u (i32.or (call $input_load_u8 (i64.const 5)) (call $input_load_u8 (i64.const -1)))))`,
    gives: 0n,
    notIn103: "it throws",
  },
  {
    of: "input_load_u64",
    about: "reads eight bytes",
    input: "xABCDEFGH",
    body: `(call $answer-i64 (call $input_load_u64 (i64.const 1)))`,
    gives: word("ABCDEFGH"),
  },
  {
    of: "input_load_u64",
    about: "reads 0 unless all eight are there",
    input: "ABCDEFGH",
    body: `(call $answer-i64 (i64.or (call $input_load_u64 (i64.const 1)) (i64.or (call $input_load_u64 (i64.const -8)) (call $input_load_u64 (i64.const -1)))))`,
    gives: 0n,
    notIn103: "it throws",
  },
  {
    of: "input_set",
    about: "makes another range the input",
    data: "something",
    body: `(call $input_set (i64.add (call $block (i32.const 0) (i32.const 9)) (i64.const 4)) (i64.const 5)) (call $output_set (call $input_offset) (call $input_length))`,
    gives: "thing",
    notIn103: lacks,
  },
  {
    of: "input_set",
    about: "takes no range outside the memory",
    input: "hello",
    body: `(call $input_set (i64.const 0) (i64.const 1)) (call $input_set (i64.const 77) (i64.const 0x100000000)) (call $input_set (i64.const -1) (i64.const 2))
      (call $output_set (call $input_offset) (call $input_length))`,
    gives: "hello",
    notIn103: lacks,
  },
  { of: "output_set", about: "makes a block the output", data: "out", body: `(call $answer (call $block (i32.const 0) (i32.const 3)))`, gives: "out" },
  {
    of: "output_set",
    about: "makes part of a block the output",
    data: "something",
    body: `(call $output_set (i64.add (call $block (i32.const 0) (i32.const 9)) (i64.const 4)) (i64.const 5))`,
    gives: "thing",
    notIn103: "the output is always a whole block",
  },
  {
    of: "output_set",
    about: "takes no range outside the memory",
    data: "out",
    body: `(call $answer (call $block (i32.const 0) (i32.const 3))) (call $output_set (i64.const 77) (i64.const 0x100000000)) (call $output_set (i64.const 0) (i64.const 4)) (call $output_set (i64.const -4) (i64.const 8))`,
    gives: "out",
    notIn103: "it throws",
  },
  { of: "output_set", about: "is not needed: then the output is empty", body: "", gives: "" },
  {
    of: "output_offset",
    about: "is what was set",
    data: "out",
    locals: "(local $a i64)",
    body: `(local.set $a (call $block (i32.const 0) (i32.const 3))) (call $answer (local.get $a)) (call $answer-i64 (i64.sub (call $output_offset) (local.get $a)))`,
    gives: 0n,
    notIn103: lacks,
  },
  {
    of: "output_length",
    about: "is what was set",
    data: "out",
    body: `(call $answer (call $block (i32.const 0) (i32.const 3))) (call $answer-i64 (call $output_length))`,
    gives: 3n,
    notIn103: lacks,
  },
  {
    of: "error_set",
    about: "makes the call fail with its text",
    data: "no such thing",
    body: `(call $error_set (call $block (i32.const 0) (i32.const 13)))`,
    code: "(i32.const 1)",
    fails: "no such thing",
  },
  {
    of: "error_set",
    about: "makes the call fail whatever it returns",
    data: "no",
    body: `(call $error_set (call $block (i32.const 0) (i32.const 2)))`,
    fails: "no",
  },
  {
    of: "error_set",
    about: "takes the error back with 0",
    data: "no",
    body: `(call $error_set (call $block (i32.const 0) (i32.const 2))) (call $error_set (i64.const 0)) (call $answer-i64 (i64.const 1))`,
    gives: 1n,
    notIn103: "0 is its null block",
  },
  {
    of: "error_get",
    about: "is what was set",
    data: "no",
    body: `(call $error_set (call $block (i32.const 0) (i32.const 2))) (call $output_set (call $error_get) (i64.const 2)) (call $error_set (i64.const 0))`,
    gives: "no",
    notIn103: lacks,
  },
  {
    of: "run",
    about: "fails with its code when that is not 0 and there is no error",
    body: "",
    code: "(i32.const 7)",
    fails: "the function answered with code 7",
    notIn103: "it does not heed the code",
  },
  {
    of: "memory_bytes",
    about: "grows with what is taken",
    locals: "(local $a i64)",
    body: `(local.set $a (call $memory_bytes)) (drop (call $alloc (i64.const 200000))) (call $answer-i64 (i64.div_u (i64.sub (call $memory_bytes) (local.get $a)) (i64.const 65536)))`,
    gives: 3n,
    notIn103: lacks,
  },
  {
    of: "reset",
    about: "forgets blocks, input, output and error",
    input: "hello",
    data: "no",
    locals: "(local $a i64)",
    body: `(local.set $a (call $block (i32.const 0) (i32.const 2))) (call $error_set (local.get $a)) (call $answer (local.get $a)) (call $reset)
      (call $answer-i64 (i64.add (i64.add (call $input_length) (call $output_length)) (i64.add (call $error_get) (call $length (local.get $a)))))`,
    gives: 0n,
    notIn103: lacks,
  },
  {
    of: "var_set",
    about: "keeps a value that `var_get` gives",
    data: "namevalue",
    body: `(call $var_set (call $block (i32.const 0) (i32.const 4)) (call $block (i32.const 4) (i32.const 5))) (call $answer (call $var_get (call $block (i32.const 0) (i32.const 4))))`,
    gives: "value",
  },
  {
    of: "var_set",
    about: "keeps the bytes as they were",
    data: "namevalue",
    locals: "(local $a i64)",
    body: `(local.set $a (call $block (i32.const 4) (i32.const 5)))
      (call $var_set (call $block (i32.const 0) (i32.const 4)) (local.get $a)) (call $store_u8 (local.get $a) (i32.const 33)) (call $answer (call $var_get (call $block (i32.const 0) (i32.const 4))))`,
    gives: "value",
    notIn103: "it keeps the block, not its bytes",
  },
  {
    of: "var_set",
    about: "removes a value with 0",
    data: "namevalue",
    body: `(call $var_set (call $block (i32.const 0) (i32.const 4)) (call $block (i32.const 4) (i32.const 5))) (call $var_set (call $block (i32.const 0) (i32.const 4)) (i64.const 0))
      (call $answer-i64 (call $var_get (call $block (i32.const 0) (i32.const 4))))`,
    gives: 0n,
  },
  {
    of: "var_get",
    about: "is 0 for a name that has no value",
    data: "name",
    body: `(call $answer-i64 (call $var_get (call $block (i32.const 0) (i32.const 4))))`,
    gives: 0n,
  },
  {
    of: "config_get",
    about: "gives a setting",
    data: "greeting",
    body: `(call $answer (call $config_get (call $block (i32.const 0) (i32.const 8))))`,
    gives: "hello",
  },
  {
    of: "config_get",
    about: "is 0 for a setting that is not there",
    data: "nothing",
    body: `(call $answer-i64 (call $config_get (call $block (i32.const 0) (i32.const 7))))`,
    gives: 0n,
  },
  { of: "get_log_level", about: "is that of all messages", body: `(call $answer-i64 (i64.extend_i32_s (call $get_log_level)))`, gives: 0n, notIn103: lacks },
]
