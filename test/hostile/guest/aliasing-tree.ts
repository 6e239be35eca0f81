import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Twenty levels of lists, each of two elements that are the list below: 2^20 leaves from 320 bytes. */
const depth = 24
const type = (levels: number): string => (levels === 0 ? "u32" : `(list ${type(levels - 1)})`)
const bytesOf = (value: number): string => [0, 8, 16, 24].map((shift) => `\\${((value >>> shift) & 255).toString(16).padStart(2, "0")}`).join("")
const cells = (): string => Array.from({ length: depth }, (_, i) => (bytesOf(i === 0 ? 4096 : 64 + (i - 1) * 16) + bytesOf(2)).repeat(2)).join("")

export default {
  threat: "a tree of lists whose 2^24 leaves are four bytes of memory",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 64) "${cells()}") (func (export "run") (result i32) (i32.const ${64 + (depth - 1) * 16}))`,
      exports: { run: `(result ${type(depth)})` },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0004"] },
} satisfies Guest
