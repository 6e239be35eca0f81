import { component, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a record without fields, whose lists would be free",
  bytes: () => component(types([0x72, 0x00])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
