import { component } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an integer written with six bytes",
  bytes: () => component([7, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00]),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
