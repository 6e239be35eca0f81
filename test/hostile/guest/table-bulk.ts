import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "fills of a table of a hundred thousand elements in an endless loop",
  bytes: () =>
    guest({
      core: `(table 100000 funcref) (func (export "run") (loop $l (table.fill (i32.const 0) (ref.null func) (i32.const 100000)) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
