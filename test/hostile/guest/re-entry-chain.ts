import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Each call calls the same plugin again through the host, which makes a fresh instance each time. */
export default {
  threat: "a guest that calls itself through the host for ever",
  bytes: () => guest({ imports: { again: "" }, core: `(import "host" "again" (func $again)) (func (export "run") (call $again))`, exports: { run: "" } }),
  load: (scene) => ({
    imports: {
      again: (() => {
        scene.hostCalls++
        scene.plugin?.callSync("run", [] as never)
      }) as never,
    },
  }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0018"] },
  check: ({ hostCalls }) => (hostCalls === 16 ? [] : [`the host was called ${hostCalls} times`]),
} satisfies Guest
