import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a core module with ten thousand exports",
  bytes: () =>
    guest({
      core: `(func $f ${Array.from({ length: 10_000 }, (_, i) => `(export "g${i}")`).join(" ")} (export "run") (result i32) (i32.const 7))`,
      exports: { run: "(result u32)" },
    }),
  call: { export: "run" },
  expect: { calls: [{ result: 7 }] },
} satisfies Guest
