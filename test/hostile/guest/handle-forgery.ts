import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The resource `r` of this component: `new`, `rep` and `drop` as core functions. */
const head = `(type $r' (resource (rep i32))) (core func $new (canon resource.new $r')) (core func $rep (canon resource.rep $r')) (core func $drop (canon resource.drop $r'))
  (core instance $res (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop)))`

export default {
  threat: "handles that were never given out",
  bytes: () =>
    guest({
      head,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "new" (func $new (param i32) (result i32))) (import "res" "rep" (func $rep (param i32) (result i32))) (import "res" "drop" (func $drop (param i32)))
        (func (export "rep") (param i32) (result i32) (call $rep (local.get 0))) (func (export "drop") (param i32) (call $drop (local.get 0)))
        (func (export "good") (result i32) (call $rep (call $new (i32.const 77))))`,
      exports: { rep: `(param "h" u32) (result u32)`, drop: `(param "h" u32)`, good: "(result u32)" },
    }),
  call: [
    { export: "rep", args: [0] },
    { export: "rep", args: [1] },
    { export: "rep", args: [0xffff_ffff] },
    { export: "drop", args: [12_345] },
    { export: "drop", args: [0x8000_0000] },
    { export: "good" },
  ],
  expect: { calls: ["STELE-PLG-0011", "STELE-PLG-0011", "STELE-PLG-0011", "STELE-PLG-0011", "STELE-PLG-0011", { result: 77 }] },
} satisfies Guest
