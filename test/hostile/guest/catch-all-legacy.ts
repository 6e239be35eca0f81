import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler of the older proposal around a host function that fails, looping afterwards",
  bytes: () =>
    guest({
      imports: { fail: "" },
      core: `(import "host" "fail" (func $fail)) (func (export "run") loop $l try call $fail catch_all end br $l end)`,
      exports: { run: "" },
    }),
  load: (scene) => ({
    imports: {
      fail: (() => {
        scene.hostCalls++
        throw new Error("the disk is full")
      }) as never,
    },
  }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0009"] },
  check: ({ hostCalls }) => (hostCalls === 1 ? [] : [`the host was called ${hostCalls} times`]),
} satisfies Guest
