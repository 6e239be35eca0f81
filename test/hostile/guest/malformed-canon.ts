import { canonLift, canons, component, funcOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a lift of a core function that is not there",
  bytes: () => component(types(funcOf([])), canons(canonLift(9, 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
