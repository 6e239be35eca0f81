import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "copies of 60 MiB in an endless loop",
  bytes: () =>
    guest({
      core: `(memory 961) (func (export "run") (loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 62914560)) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 2_000,
} satisfies Guest
