import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Dropping the embedder's resource runs its disposer, which calls the plugin again, which drops another. */
export default {
  threat: "a resource whose disposal calls the guest that drops the next one",
  bytes: () =>
    guest({
      head: `(import "test:host/things" (instance $things (export "thing" (type (sub resource))) (export "[constructor]thing" (func (result (own 0))))))
        (alias export $things "thing" (type $thing)) (core func $make (canon lower (func $things "[constructor]thing"))) (core func $drop (canon resource.drop $thing)) (core instance $res (export "make" (func $make)) (export "drop" (func $drop)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "make" (func $make (result i32))) (import "res" "drop" (func $drop (param i32))) (func (export "run") (call $drop (call $make)))`,
      exports: { run: "" },
    }),
  load: (scene) => {
    class Thing {
      [Symbol.dispose](): void {
        scene.hostCalls++
        scene.plugin?.callSync("run", [] as never)
      }
    }
    return { imports: { "test:host/things": { Thing } } }
  },
  call: { export: "run" },
  expect: { calls: [["STELE-LIM-0018", "STELE-PLG-0009"]] },
  check: ({ hostCalls }) => (hostCalls <= 17 ? [] : [`${hostCalls} disposals ran`]),
} satisfies Guest
