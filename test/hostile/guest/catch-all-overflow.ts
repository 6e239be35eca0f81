import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler in every frame of an endless recursion",
  bytes: () => guest({ core: `(func $f (export "run") (loop $l (block $h (try_table (catch_all $h) (call $f))) (br $l)))`, exports: { run: "" } }),
  call: { export: "run", options: { deadlineMs: 200 } },
  expect: { calls: ["STELE-LIM-0003"] },
} satisfies Guest
