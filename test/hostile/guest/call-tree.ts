import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a tree of calls of depth 60, which is 2^60 calls without a loop",
  bytes: () =>
    guest({
      core: `(func $f0) ${Array.from({ length: 60 }, (_, i) => `(func $f${i + 1} (call $f${i}) (call $f${i}))`).join(" ")} (func (export "run") (call $f60))`,
      exports: { run: "" },
    }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
