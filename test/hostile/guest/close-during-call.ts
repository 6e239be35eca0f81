import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a guest whose host function closes the plugin under it",
  bytes: () =>
    guest({
      imports: { close: "" },
      core: `(import "host" "close" (func $close)) (memory (export "memory") 1) (func (export "run") (result i32) (call $close) (i32.store (i32.const 0) (i32.const 7)) (i32.load (i32.const 0)))`,
      exports: { run: "(result u32)" },
    }),
  load: (scene) => ({ imports: { close: (() => void scene.plugin?.close()) as never } }),
  call: [{ export: "run" }, { export: "run" }],
  // The call that runs ends as it would have; its instance goes with it.
  expect: { calls: [{ result: 7 }, "STELE-PLG-0006"] },
} satisfies Guest
