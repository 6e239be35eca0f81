import type { Guest } from "../kit.ts"

export default {
  threat: "a preamble that ends in its middle",
  bytes: () => Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
