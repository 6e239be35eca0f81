import { component, raw } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a name that is not UTF-8",
  bytes: () => component(raw(11, [1, 0x00, 3, 0xed, 0xa0, 0x80, 0x01, 0x00, 0x00])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
