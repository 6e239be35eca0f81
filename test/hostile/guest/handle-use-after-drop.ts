import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handle used after it was dropped, its place taken by another",
  bytes: () =>
    guest({
      head: `(type $r' (resource (rep i32))) (type $s' (resource (rep i32))) (core func $new (canon resource.new $r')) (core func $drop (canon resource.drop $r')) (core func $other (canon resource.new $s')) (core func $rep (canon resource.rep $r'))
        (core instance $res (export "new" (func $new)) (export "drop" (func $drop)) (export "other" (func $other)) (export "rep" (func $rep)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32))) (import "res" "other" (func $other (param i32) (result i32))) (import "res" "rep" (func $rep (param i32) (result i32)))
        (func (export "run") (result i32) (local $h i32) (local.set $h (call $new (i32.const 1))) (call $drop (local.get $h)) (drop (call $other (i32.const 666))) (call $rep (local.get $h)))`,
      exports: { run: "(result u32)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
