import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an enum whose number has no label",
  bytes: () =>
    guest({
      head: `(type $e' (enum "a" "b")) (export $e "e" (type $e'))`,
      core: `(func (export "run") (result i32) (i32.const -1))`,
      exports: { run: "(result $e)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
