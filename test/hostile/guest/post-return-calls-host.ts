import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a post-return that calls the host",
  bytes: () =>
    guest({
      imports: { tick: "" },
      core: `(import "host" "tick" (func $tick)) (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)) (func (export "post-run") (param i32) (call $tick))`,
      exports: { run: "(result string)" },
    }),
  load: (scene) => ({ imports: { tick: (() => void scene.hostCalls++) as never } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["post-return reached the host"]),
} satisfies Guest
