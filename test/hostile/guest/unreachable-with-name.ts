import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a trap in a function whose debug name clears the terminal and turns the text around",
  bytes: () =>
    guest({ core: `(func $f (@name "\\1b[2J\\e2\\80\\aefdp.exe${"x".repeat(3_000)}") unreachable) (func (export "run") (call $f))`, exports: { run: "" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
