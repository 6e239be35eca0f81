import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an exit in the middle of a call, with handles open",
  bytes: () =>
    guest({
      head: `(import "wasi:cli/exit@0.2.0" (instance $x (export "exit" (func (param "status" (result)))))) (core func $exit (canon lower (func $x "exit"))) (core instance $wasi (export "exit" (func $exit)))`,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "exit" (func $exit (param i32))) (func (export "run") (param i32) (call $exit (local.get 0)))`,
      exports: { run: `(param "status" u32)` },
    }),
  call: [
    { export: "run", args: [0] },
    { export: "run", args: [1] },
    { export: "run", args: [2] },
  ],
  expect: { calls: ["STELE-PLG-0012", "STELE-PLG-0012", "STELE-PLG-0011"] },
} satisfies Guest
