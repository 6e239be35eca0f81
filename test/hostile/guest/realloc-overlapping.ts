import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that hands out the same bytes each time, so that pointers are overwritten by text",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (func (export "run") (param i32 i32) (result i32) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))`,
      exports: { run: `(param "texts" (list string)) (result (list string))` },
    }),
  call: { export: "run", args: [["\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f", "\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f"]] },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
