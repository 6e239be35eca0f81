import { component, exported, exportsOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an export whose name closes a string and runs code",
  bytes: () => component(types(prim.u8), exportsOf(exported("a'];globalThis.PWN=1;//", "type", 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
