import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const count = 900
export default {
  threat: "a function of nine hundred parameters, which travel through memory",
  bytes: () =>
    guest({
      core: `${bumpAllocator(2)} (func (export "run") (param i32) (result i32) (i32.load (i32.add (local.get 0) (i32.const ${4 * (count - 1)}))))`,
      exports: { run: `${Array.from({ length: count }, (_, i) => `(param "p${i}" u32)`).join(" ")} (result u32)` },
    }),
  call: { export: "run", args: Array.from({ length: count }, (_, i) => i) },
  expect: { calls: [{ result: count - 1 }] },
} satisfies Guest
