import { component, exported, exportsOf } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an export of a function that is not there",
  bytes: () => component(exportsOf(exported("f", "func", 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
