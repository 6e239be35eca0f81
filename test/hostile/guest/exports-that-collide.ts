import { component, exported, exportsOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "two exports that differ in case alone",
  bytes: () => component(types(prim.u8), exportsOf(exported("a-b", "type", 0), exported("A-b", "type", 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
