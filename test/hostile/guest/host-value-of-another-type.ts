import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler around a host function that answers with a value of another type",
  bytes: () =>
    guest({
      imports: { odd: "(result u32)" },
      core: `(import "host" "odd" (func $odd (result i32))) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (drop (call $odd)))) (br $l)))`,
      exports: { run: "" },
    }),
  load: { imports: { odd: (() => "one") as never } },
  call: { export: "run" },
  expect: { calls: [["STELE-WIT-0001", "STELE-PLG-0009"]] },
} satisfies Guest
