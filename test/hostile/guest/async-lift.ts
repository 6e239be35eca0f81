import { canons, component, funcOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an asynchronous lift of a function that it does not have",
  bytes: () => component(types(funcOf([])), canons([0x00, 0x00, 0x00, 0x01, 0x06, 0x00])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
