import { component, raw } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a custom section whose name does not end",
  bytes: () => component(raw(0, [0x7f, 0x61])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
