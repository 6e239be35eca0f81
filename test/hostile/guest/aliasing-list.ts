import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** 100,000 strings that are the same 60,000 bytes: six gigabytes out of one page. */
export default {
  threat: "a list of a hundred thousand strings that are one string of 60,000 bytes",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 16)
        (func (export "run") (result i32) (local $i i32)
          (memory.fill (i32.const 900000) (i32.const 97) (i32.const 60000))
          (loop $l
            (i32.store (i32.add (i32.const 16) (i32.shl (local.get $i) (i32.const 3))) (i32.const 900000))
            (i32.store (i32.add (i32.const 20) (i32.shl (local.get $i) (i32.const 3))) (i32.const 60000))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
          (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 100000)) (i32.const 0))`,
      exports: { run: "(result (list string))" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0004"] },
} satisfies Guest
