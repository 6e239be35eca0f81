import { component, raw } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a section id that does not exist",
  bytes: () => component(raw(77, [0])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
