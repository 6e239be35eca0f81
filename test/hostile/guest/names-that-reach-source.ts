import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const names = [
  "'+(globalThis.PWN=1)+'",
  "a'];globalThis.PWN=1;//",
  "`${globalThis.PWN=1}`",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "\\u0022);globalThis.PWN=1;//",
  "*/globalThis.PWN=1/*",
  "\n;globalThis.PWN=1\n",
  "\u2028globalThis.PWN=1",
  "",
  " ",
]
const q = (text: string): string => `"${[...new TextEncoder().encode(text)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("")}"`

/** Every core name position holds each name: exports, bundles, import modules, import fields, debug names. */
export default {
  threat: "names in every core position that are code, or prototypes, elsewhere",
  bytes: () =>
    wat(`(component
      (core module $a ${names.map((text, i) => `(func (export ${q(text)}) (result i32) (i32.const ${i + 1}))`).join("\n")})
      (core instance $a (instantiate $a))
      (core module $b ${names.map((text, i) => `(import ${q(text)} ${q(text)} (func $f${i} (result i32)))`).join("\n")}
        (func $run (@name ${q(names[0] as string)}) (export "run") (result i32) ${names.map((_, i) => `(call $f${i})`).join(" ")} ${"(i32.add) ".repeat(names.length - 1)}))
      (core instance $b (instantiate $b ${names.map((text) => `(with ${q(text)} (instance $a))`).join("\n")}))
      (func (export "run") (result u32) (canon lift (core func $b "run"))))`),
  call: { export: "run" },
  expect: { calls: [{ result: (names.length * (names.length + 1)) / 2 }] },
} satisfies Guest
