import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The host function recurses into the plugin's own thread stack until the engine overflows, inside a handler. */
export default {
  threat: "a handler around a host function that overflows the engine's stack",
  bytes: () =>
    guest({
      imports: { deep: "" },
      core: `(import "host" "deep" (func $deep)) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (call $deep))) (br $l)))`,
      exports: { run: "" },
    }),
  load: (scene) => {
    const deep = (): number => 1 + deep()
    return {
      imports: {
        deep: (() => {
          scene.hostCalls++
          return void deep()
        }) as never,
      },
    }
  },
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0009"] },
  check: ({ hostCalls }) => (hostCalls === 1 ? [] : [`the host was called ${hostCalls} times`]),
} satisfies Guest
