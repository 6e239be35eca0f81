import type { Guest } from "../kit.ts"

export default {
  threat: "a preamble of a version and layer that do not exist",
  bytes: () => Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0xff, 0xff, 0xff, 0xff),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
