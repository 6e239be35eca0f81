import { component, exported, exportsOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an export whose name is a megabyte long",
  bytes: () => component(types(prim.u8), exportsOf(exported("a".repeat(1 << 20), "type", 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
