import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** What the embedder lends; disposals are counted by the scene that runs. */
class Thing {
  static disposed: () => void = () => undefined;
  [Symbol.dispose](): void {
    Thing.disposed()
  }
}

/** The export takes a borrow of a resource that the embedder implements, and does not drop it. */
export default {
  threat: "a borrowed handle that is kept after the call",
  bytes: () =>
    guest({
      head: `(import "test:host/things" (instance $things (export "thing" (type (sub resource))) (export "[constructor]thing" (func (result (own 0)))) (export "lend" (func (param "t" (borrow 0))))))
        (alias export $things "thing" (type $thing)) (core func $make (canon lower (func $things "[constructor]thing"))) (core func $drop (canon resource.drop $thing)) (core func $lend (canon lower (func $things "lend")))
        (core instance $res (export "make" (func $make)) (export "drop" (func $drop)) (export "lend" (func $lend)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "make" (func $make (result i32))) (import "res" "drop" (func $drop (param i32))) (import "res" "lend" (func $lend (param i32)))
        (func (export "keep") (param i32)) (func (export "return") (param i32) (call $drop (local.get 0)))
        (func (export "twice") (local $h i32) (local.set $h (call $make)) (call $lend (local.get $h)) (call $drop (local.get $h)) (call $lend (local.get $h)))
        (func (export "leave") (drop (call $make)) (drop (call $make)))`,
      exports: { keep: `(param "t" (borrow $thing))`, return: `(param "t" (borrow $thing))`, twice: "", leave: "" },
    }),
  load: (scene) => {
    Thing.disposed = () => void scene.hostCalls++
    return { imports: { "test:host/things": { Thing, lend: () => undefined } } }
  },
  call: [
    { export: "keep", args: [new Thing()] },
    { export: "return", args: [new Thing()] },
    { export: "keep", args: [1] },
    { export: "twice" },
    { export: "leave" },
  ],
  expect: { calls: ["STELE-PLG-0011", { result: undefined }, "STELE-WIT-0001", "STELE-PLG-0011", { result: undefined }] },
  check: ({ hostCalls }) => (hostCalls === 3 ? [] : [`${hostCalls} things were disposed of, 3 were made`]),
} satisfies Guest
