import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "ten thousand exports",
  bytes: () =>
    wat(`(component (core module $m (func (export "run") (result i32) (i32.const 7))) (core instance $i (instantiate $m))
      (func $f (result u32) (canon lift (core func $i "run")))
      ${Array.from({ length: 10_000 }, (_, i) => `(export "f${i}" (func $f))`).join("\n")})`),
  call: { export: "f9999" },
  expect: { calls: [{ result: 7 }] },
} satisfies Guest
