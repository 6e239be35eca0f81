import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler around a host function that would have to be waited for",
  bytes: () =>
    guest({
      imports: { slow: "(result u32)" },
      core: `(import "host" "slow" (func $slow (result i32))) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (drop (call $slow)))) (br $l)))`,
      exports: { run: "" },
    }),
  load: { imports: { slow: (() => Promise.resolve(1)) as never } },
  call: { export: "run" },
  expect: { calls: ["STELE-CAP-0006"] },
} satisfies Guest
