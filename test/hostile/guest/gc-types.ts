import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "garbage-collected types, which nothing can cap",
  bytes: () => guest({ core: `(type $a (array (mut i64))) (func (export "run") (drop (array.new_default $a (i32.const 100000000))))`, exports: { run: "" } }),
  expect: { load: "STELE-VFY-0005" },
} satisfies Guest
