import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** While the host works on a borrow of handle h, it calls the guest again, which must not own or drop it; here the guest passes h as own and as borrow of one call. */
export default {
  threat: "one handle given as borrow and as own in the same call",
  bytes: () =>
    guest({
      head: `(import "test:host/things" (instance $things (export "thing" (type (sub resource))) (export "[constructor]thing" (func (result (own 0)))) (export "both" (func (param "b" (borrow 0)) (param "o" (own 0))))))
        (core func $make (canon lower (func $things "[constructor]thing"))) (core func $both (canon lower (func $things "both"))) (core instance $res (export "make" (func $make)) (export "both" (func $both)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "make" (func $make (result i32))) (import "res" "both" (func $both (param i32 i32))) (func (export "run") (local $h i32) (local.set $h (call $make)) (call $both (local.get $h) (local.get $h)))`,
      exports: { run: "" },
    }),
  load: (scene) => ({ imports: { "test:host/things": { Thing: class {}, both: () => void scene.hostCalls++ } } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["the handles reached the host"]),
} satisfies Guest
