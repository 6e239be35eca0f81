;; The kernel that Extism plugins import from "extism:host/env": a memory of blocks that the plugin and its host reach by
;; 64-bit offsets, the input and output of a call, and its error. Behaviour: that of the kernel Extism publishes
;; (extism/extism, `kernel`), offsets included; where that one goes wrong on hostile arguments, see docs/adr/0029-extism.md.
;;
;; Memory: 65 bytes that nothing uses, then blocks without gaps. A block is a header of 12 bytes (status, size, used) and
;; `size` bytes of data; its handle is the offset of its data. Offset 0 is no handle.
;; The plugin may write anything into this memory, headers included: then it finds nonsense, an endless walk (which is
;; metered) or a trap. Nothing outside this memory depends on it.
(module $extism
  (memory (export "memory") 1)

  ;; Bytes of memory less 64. For p from 64 on, `p - 64 < span` says that the byte at p exists; for p from 57 on,
  ;; `p - 57 < span` says that the eight bytes at p do: 64 is the first offset a plugin may touch.
  (global $span (mut i64) (i64.const 65472))
  ;; Bytes of all blocks, and how many of them are free.
  (global $position (mut i64) (i64.const 0))
  (global $free (mut i32) (i32.const 0))
  (global $error (mut i64) (i64.const 0))
  (global $input (mut i64) (i64.const 0))
  (global $input-length (mut i64) (i64.const 0))
  (global $output (mut i64) (i64.const 0))
  (global $output-length (mut i64) (i64.const 0))

  ;; Blocks. Status: 1 in use, 2 free.

  (func $alloc (export "alloc") (param $bytes i64) (result i64)
    (local $n i32) (local $block i32) (local $end i32) (local $size i32) (local $need i64) (local $left i64) (local $pages i64)
    (if (i64.eqz (local.get $bytes)) (then (return (i64.const 0))))
    (if (i64.gt_u (local.get $bytes) (i64.const 0xffffffff)) (then (return (i64.const 0))))
    (local.set $n (i32.wrap_i64 (local.get $bytes)))
    (local.set $need (i64.add (local.get $bytes) (i64.const 12)))
    ;; Never below 0: what is taken below is at most this, after growing.
    (local.set $left (i64.sub (i64.sub (global.get $span) (global.get $position)) (i64.const 64)))
    (if (i64.ge_u (local.get $need) (local.get $left))
      (then
        ;; Before memory grows: the first free block that is large enough; of one that is 128 bytes too large, its end.
        (if (i32.and (i32.ne (global.get $free) (i32.const 0)) (i64.le_u (local.get $need) (global.get $position)))
          (then
            (local.set $block (i32.const 65))
            (local.set $end (i32.add (i32.const 65) (i32.wrap_i64 (global.get $position))))
            (block $none
              (loop $next
                (br_if $none (i32.ge_u (local.get $block) (local.get $end)))
                (local.set $size (i32.load offset=4 (local.get $block)))
                (if (i32.and (i32.eq (i32.load8_u (local.get $block)) (i32.const 2)) (i32.ge_u (local.get $size) (local.get $n)))
                  (then
                    (if (i32.ge_u (i32.sub (local.get $size) (local.get $n)) (i32.const 128))
                      (then
                        (i32.store offset=4 (local.get $block) (i32.sub (local.get $size) (i32.add (local.get $n) (i32.const 12))))
                        (i32.store offset=8 (local.get $block) (i32.const 0))
                        (local.set $block (i32.add (local.get $block) (i32.sub (local.get $size) (local.get $n))))
                        (i32.store offset=4 (local.get $block) (local.get $n)))
                      (else (global.set $free (i32.sub (global.get $free) (i32.const 1)))))
                    (i32.store8 (local.get $block) (i32.const 1))
                    (i32.store offset=8 (local.get $block) (local.get $n))
                    (return (i64.extend_i32_u (i32.add (local.get $block) (i32.const 12))))))
                (local.set $block (i32.add (i32.add (local.get $block) (i32.const 12)) (local.get $size)))
                (br $next)))))
        (local.set $pages (i64.shr_u (i64.add (i64.sub (local.get $need) (local.get $left)) (i64.const 65535)) (i64.const 16)))
        (if (i32.eq (memory.grow (i32.wrap_i64 (local.get $pages))) (i32.const -1)) (then (return (i64.const 0))))
        (global.set $span (i64.add (global.get $span) (i64.shl (local.get $pages) (i64.const 16))))))
    ;; A new block behind the last one.
    (local.set $block (i32.add (i32.const 65) (i32.wrap_i64 (global.get $position))))
    (global.set $position (i64.add (global.get $position) (local.get $need)))
    (i32.store8 (local.get $block) (i32.const 1))
    (i32.store offset=4 (local.get $block) (local.get $n))
    (i32.store offset=8 (local.get $block) (local.get $n))
    (i64.extend_i32_u (i32.add (local.get $block) (i32.const 12))))

  ;; The header of the block in use whose handle is p, or 0.
  (func $find (param $p i64) (result i32)
    (local $block i32) (local $header i32)
    (if (i64.ge_u (i64.sub (local.get $p) (i64.const 77)) (global.get $position)) (then (return (i32.const 0))))
    (local.set $header (i32.sub (i32.wrap_i64 (local.get $p)) (i32.const 12)))
    (local.set $block (i32.const 65))
    (block $none
      (loop $next
        (if (i32.eq (local.get $block) (local.get $header))
          (then
            (br_if $none (i32.ne (i32.load8_u (local.get $block)) (i32.const 1)))
            (return (local.get $block))))
        (br_if $none (i32.gt_u (local.get $block) (local.get $header)))
        (local.set $block (i32.add (i32.add (local.get $block) (i32.const 12)) (i32.load offset=4 (local.get $block))))
        (br $next)))
    (i32.const 0))

  (func (export "free") (param $p i64)
    (local $block i32)
    (local.set $block (call $find (local.get $p)))
    (if (i32.eqz (local.get $block)) (then (return)))
    (i32.store8 (local.get $block) (i32.const 2))
    (global.set $free (i32.add (global.get $free) (i32.const 1)))
    (if (i64.eq (local.get $p) (global.get $input)) (then (global.set $input-length (i64.const 0)))))

  (func $length (export "length") (param $p i64) (result i64)
    (local $block i32)
    (local.set $block (call $find (local.get $p)))
    (if (result i64) (local.get $block) (then (i64.load32_u offset=8 (local.get $block))) (else (i64.const 0))))

  ;; As `length`, by the header before p alone: for a p that is no handle, whatever stands there.
  (func (export "length_unsafe") (param $p i64) (result i64)
    (local $block i32)
    (if (i64.ge_u (i64.sub (local.get $p) (i64.const 64)) (global.get $span)) (then (return (i64.const 0))))
    (local.set $block (i32.sub (i32.wrap_i64 (local.get $p)) (i32.const 12)))
    (if (i32.ne (i32.load8_u (local.get $block)) (i32.const 1)) (then (return (i64.const 0))))
    (i64.load32_u offset=8 (local.get $block)))

  (func $reset (export "reset")
    (memory.fill (i32.const 65) (i32.const 0) (i32.wrap_i64 (global.get $position)))
    (global.set $position (i64.const 0))
    (global.set $free (i32.const 0))
    (global.set $error (i64.const 0))
    (global.set $input (i64.const 0))
    (global.set $input-length (i64.const 0))
    (global.set $output (i64.const 0))
    (global.set $output-length (i64.const 0)))

  (func (export "memory_bytes") (result i64) (global.get $span))

  ;; Bytes. What lies outside reads as 0, and is not written.

  (func (export "load_u8") (param $p i64) (result i32)
    (if (result i32) (i64.lt_u (i64.sub (local.get $p) (i64.const 64)) (global.get $span))
      (then (i32.load8_u (i32.wrap_i64 (local.get $p))))
      (else (i32.const 0))))
  (func (export "load_u64") (param $p i64) (result i64)
    (if (result i64) (i64.lt_u (i64.sub (local.get $p) (i64.const 57)) (global.get $span))
      (then (i64.load (i32.wrap_i64 (local.get $p))))
      (else (i64.const 0))))
  (func (export "store_u8") (param $p i64) (param $byte i32)
    (if (i64.lt_u (i64.sub (local.get $p) (i64.const 64)) (global.get $span))
      (then (i32.store8 (i32.wrap_i64 (local.get $p)) (local.get $byte)))))
  (func (export "store_u64") (param $p i64) (param $word i64)
    (if (i64.lt_u (i64.sub (local.get $p) (i64.const 57)) (global.get $span))
      (then (i64.store (i32.wrap_i64 (local.get $p)) (local.get $word)))))

  ;; Input, output, error. Ranges that do not lie in memory are not taken.

  (func $within (param $p i64) (param $length i64) (result i32)
    (i32.and
      (i64.lt_u (i64.sub (local.get $p) (i64.const 65)) (i64.sub (global.get $span) (i64.const 1)))
      (i64.le_u (local.get $length) (i64.sub (i64.add (global.get $span) (i64.const 64)) (local.get $p)))))
  (func (export "input_set") (param $p i64) (param $length i64)
    (if (i32.eqz (call $within (local.get $p) (local.get $length))) (then (return)))
    (global.set $input (local.get $p))
    (global.set $input-length (local.get $length)))
  (func (export "input_offset") (result i64) (global.get $input))
  (func (export "input_length") (result i64) (global.get $input-length))
  (func (export "input_load_u8") (param $offset i64) (result i32)
    (if (result i32) (i64.lt_u (local.get $offset) (global.get $input-length))
      (then (i32.load8_u (i32.wrap_i64 (i64.add (global.get $input) (local.get $offset)))))
      (else (i32.const 0))))
  ;; offset + 8 <= length, without a sum that could wrap.
  (func (export "input_load_u64") (param $offset i64) (result i64)
    (if (result i64)
      (i32.and
        (i64.lt_u (local.get $offset) (global.get $input-length))
        (i64.ge_u (i64.sub (global.get $input-length) (local.get $offset)) (i64.const 8)))
      (then (i64.load (i32.wrap_i64 (i64.add (global.get $input) (local.get $offset)))))
      (else (i64.const 0))))
  (func (export "output_set") (param $p i64) (param $length i64)
    (if (i32.eqz (call $within (local.get $p) (local.get $length))) (then (return)))
    (global.set $output (local.get $p))
    (global.set $output-length (local.get $length)))
  (func (export "output_offset") (result i64) (global.get $output))
  (func (export "output_length") (result i64) (global.get $output-length))
  (func (export "error_set") (param $p i64)
    (if (i64.ne (local.get $p) (i64.const 0))
      (then (if (i32.eqz (call $within (local.get $p) (i64.const 0))) (then (return)))))
    (global.set $error (local.get $p)))
  (func (export "error_get") (result i64) (global.get $error))

  ;; For the host alone, which reads and writes the memory itself. A plugin cannot import these: names it may import are
  ;; those of the published kernel.

  ;; Begins a call whose input has so many bytes: where they go, 0 for none, -1 without room. The signature is that of the
  ;; canonical ABI's realloc, which lowers the input.
  (func (export "begin") (param i32 i32 i32) (param $bytes i32) (result i32)
    (call $reset)
    (if (i32.eqz (local.get $bytes)) (then (return (i32.const 0))))
    (global.set $input (call $alloc (i64.extend_i32_u (local.get $bytes))))
    (if (i64.eqz (global.get $input)) (then (return (i32.const -1))))
    (global.set $input-length (i64.extend_i32_u (local.get $bytes)))
    (i32.wrap_i64 (global.get $input)))
  (func (export "output_at") (result i32) (i32.wrap_i64 (global.get $output)))
  (func (export "output_size") (result i32) (i32.wrap_i64 (global.get $output-length)))
  (func (export "error_at") (result i32) (i32.wrap_i64 (global.get $error)))
  (func (export "error_size") (result i32)
    (if (result i32) (i64.eqz (global.get $error)) (then (i32.const 0)) (else (i32.wrap_i64 (call $length (global.get $error)))))))
