/** Extism plugins from text: one function `run` that imports what its body names, with a few words of its own. */
import { wat } from "../component-builder.ts"

/** Signatures of `extism:host/env`, in the text format. */
export const signatures: Readonly<Record<string, string>> = {
  alloc: "(param i64) (result i64)",
  free: "(param i64)",
  length: "(param i64) (result i64)",
  length_unsafe: "(param i64) (result i64)",
  load_u8: "(param i64) (result i32)",
  load_u64: "(param i64) (result i64)",
  store_u8: "(param i64 i32)",
  store_u64: "(param i64 i64)",
  input_set: "(param i64 i64)",
  input_offset: "(result i64)",
  input_length: "(result i64)",
  input_load_u8: "(param i64) (result i32)",
  input_load_u64: "(param i64) (result i64)",
  output_set: "(param i64 i64)",
  output_offset: "(result i64)",
  output_length: "(result i64)",
  error_set: "(param i64)",
  error_get: "(result i64)",
  memory_bytes: "(result i64)",
  reset: "",
  config_get: "(param i64) (result i64)",
  var_get: "(param i64) (result i64)",
  var_set: "(param i64 i64)",
  http_request: "(param i64 i64) (result i64)",
  http_status_code: "(result i32)",
  http_headers: "(result i64)",
  log_trace: "(param i64)",
  log_debug: "(param i64)",
  log_info: "(param i64)",
  log_warn: "(param i64)",
  log_error: "(param i64)",
  get_log_level: "(result i32)",
}

export interface ExtismText {
  /** Text at address 0 of the plugin's memory. */
  readonly data?: string
  /** Instructions of `run`; what they leave undone is an empty answer. */
  readonly body: string
  /** Locals of `run`. */
  readonly locals?: string
  /** What `run` returns; 0 when absent. */
  readonly code?: string
  /** Imports from other modules, written out. */
  readonly imports?: string
  /** More fields: other functions, exports. */
  readonly fields?: string
}

/**
 * Words: `$block ADDRESS LENGTH` is a new block with those bytes of the plugin's memory; `$answer HANDLE` makes a block the
 * output; `$answer-i64 VALUE` makes eight bytes the output.
 */
const words = `
  (func $block (param $at i32) (param $n i32) (result i64) (local $p i64) (local $i i32)
    (local.set $p (call $alloc (i64.extend_i32_u (local.get $n))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (call $store_u8 (i64.add (local.get $p) (i64.extend_i32_u (local.get $i))) (i32.load8_u (i32.add (local.get $at) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.get $p))
  (func $answer (param $p i64)
    (if (i64.ne (local.get $p) (i64.const 0)) (then (call $output_set (local.get $p) (call $length (local.get $p))))))
  (func $answer-i64 (param $value i64) (local $p i64)
    (local.set $p (call $alloc (i64.const 8)))
    (call $store_u64 (local.get $p) (local.get $value))
    (call $output_set (local.get $p) (i64.const 8)))`

export function extismText({ data = "", body, locals = "", code = "(i32.const 0)", imports = "", fields = "" }: ExtismText): string {
  const used = Object.keys(signatures).filter((name) => new RegExp(`\\$${name}(?![\\w-])`).test(`${words}${body}${fields}${code}`))
  return `(module
  ${used.map((name) => `(import "extism:host/env" "${name}" (func $${name} ${signatures[name]}))`).join("\n  ")}
  ${imports}
  (memory (export "memory") 1)
  (data (i32.const 0) "${data}")
  ${words}
  ${fields}
  (func (export "run") (result i32) ${locals}
    ${body}
    ${code}))`
}

export const extismGuest = (text: ExtismText): Promise<Uint8Array> => wat(extismText(text))
