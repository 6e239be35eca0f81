import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that calls the host, which must not be left from there",
  bytes: () =>
    guest({
      imports: { tick: "" },
      core: `(import "host" "tick" (func $tick)) (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $tick) (i32.const 4096)) (func (export "run") (param i32 i32) (result i32) (local.get 1))`,
      exports: { run: `(param "text" string) (result u32)` },
    }),
  load: (scene) => ({ imports: { tick: (() => void scene.hostCalls++) as never } }),
  call: { export: "run", args: ["abc"] },
  expect: { calls: ["STELE-PLG-0011"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["realloc reached the host"]),
} satisfies Guest
