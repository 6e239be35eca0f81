import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "record labels that are the names of every object's own methods",
  bytes: () =>
    guest({
      head: `(type $r' (record (field "constructor" u8) (field "to-string" u8) (field "has-own-property" u8) (field "value-of" u8) (field "then" u8) (field "proto" u8) (field "to-json" u8)))
        (export $r "r" (type $r'))`,
      core: `(memory (export "memory") 1) (data (i32.const 64) "\\01\\02\\03\\04\\05\\06\\07")
        (func (export "run") (result i32) (i32.const 64))
        (func (export "back") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.add (local.get 0) (i32.add (local.get 1) (i32.add (local.get 2) (i32.add (local.get 3) (i32.add (local.get 4) (i32.add (local.get 5) (local.get 6))))))))`,
      exports: { run: "(result $r)", back: `(param "r" $r) (result u32)` },
    }),
  call: [
    { export: "run" },
    { export: "back", args: [{ constructor: 1, toString: 2, hasOwnProperty: 3, valueOf: 4, then: 5, proto: 6, toJson: 7 }] },
    { export: "back", args: [{}] },
  ],
  expect: {
    calls: [{ result: { constructor: 1, toString: 2, hasOwnProperty: 3, valueOf: 4, then: 5, proto: 6, toJson: 7 } }, { result: 28 }, "STELE-WIT-0001"],
  },
} satisfies Guest
