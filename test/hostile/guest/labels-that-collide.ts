import { component, prim, recordOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "two labels that become one property",
  bytes: () => component(types(recordOf(["max-bytes", prim.u8], ["MAX-bytes", prim.u8]))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
