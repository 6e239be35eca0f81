import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handle of one resource given where another is wanted",
  bytes: () =>
    guest({
      head: `(import "test:host/things" (instance $things (export "a" (type (sub resource))) (export "b" (type (sub resource))) (export "[constructor]a" (func (result (own 0)))) (export "use" (func (param "b" (borrow 1))))))
        (core func $make (canon lower (func $things "[constructor]a"))) (core func $use (canon lower (func $things "use"))) (core instance $res (export "make" (func $make)) (export "use" (func $use)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "make" (func $make (result i32))) (import "res" "use" (func $use (param i32))) (func (export "run") (call $use (call $make)))`,
      exports: { run: "" },
    }),
  load: (scene) => ({ imports: { "test:host/things": { A: class {}, B: class {}, use: () => void scene.hostCalls++ } } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
  check: ({ hostCalls }) => (hostCalls === 0 ? [] : ["the handle reached the host"]),
} satisfies Guest
