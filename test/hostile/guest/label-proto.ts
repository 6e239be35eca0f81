import { component, prim, recordOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a record label __proto__",
  bytes: () => component(types(recordOf(["__proto__", prim.u8]))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
