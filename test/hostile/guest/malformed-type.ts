import { component, recordOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a record type that contains itself",
  bytes: () => component(types(recordOf(["self", 0]))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
