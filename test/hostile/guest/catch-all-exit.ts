import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler around exit, looping afterwards",
  bytes: () =>
    guest({
      head: `(import "wasi:cli/exit@0.2.0" (instance $x (export "exit" (func (param "status" (result)))))) (core func $exit (canon lower (func $x "exit"))) (core instance $wasi (export "exit" (func $exit)))`,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "exit" (func $exit (param i32))) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (call $exit (i32.const 1)))) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0012"] },
} satisfies Guest
