import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a host call whose string lies outside memory, swallowed by a handler",
  bytes: () =>
    guest({
      libc: bumpAllocator(),
      imports: { take: `(param "text" string)` },
      core: `(import "host" "take" (func $take (param i32 i32))) (import "libc" "memory" (memory 1))
        (func (export "run") (loop $l (block $h (try_table (catch_all $h) (call $take (i32.const -1) (i32.const 7)))) (br $l)))`,
      exports: { run: "" },
    }),
  load: (scene) => ({ imports: { take: (() => void scene.hostCalls++) as never } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["the argument reached the host"]),
} satisfies Guest
