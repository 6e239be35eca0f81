import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a host call with an argument of 60 MiB",
  bytes: () =>
    guest({
      libc: bumpAllocator(961),
      imports: { take: `(param "text" string)` },
      core: `(import "host" "take" (func $take (param i32 i32))) (import "libc" "memory" (memory 1)) (func (export "run") (call $take (i32.const 0) (i32.const 62914560)))`,
      exports: { run: "" },
    }),
  load: (scene) => ({ imports: { take: (() => void scene.hostCalls++) as never } }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0006"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["the argument reached the host"]),
} satisfies Guest
