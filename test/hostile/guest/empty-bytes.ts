import type { Guest } from "../kit.ts"

export default {
  threat: "no bytes at all",
  bytes: () => new Uint8Array(0),
  expect: { load: "STELE-VFY-0001" },
} satisfies Guest
