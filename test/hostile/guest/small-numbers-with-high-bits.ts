import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "small numbers and flags with bits set where they have none, which are to be ignored",
  bytes: () =>
    guest({
      head: `(type $f' (flags "a" "b")) (export $f "f" (type $f'))`,
      core: `(func (export "num") (result i32) (i32.const 0x12345678)) (func (export "sign") (result i32) (i32.const 0x123456f8)) (func (export "truth") (result i32) (i32.const 256)) (func (export "bits") (result i32) (i32.const -2))`,
      exports: { num: "(result u8)", sign: "(result s8)", truth: "(result bool)", bits: "(result $f)" },
    }),
  call: [{ export: "num" }, { export: "sign" }, { export: "truth" }, { export: "bits" }],
  expect: { calls: [{ result: 0x78 }, { result: -8 }, { result: true }, { result: { a: false, b: true } }] },
} satisfies Guest
