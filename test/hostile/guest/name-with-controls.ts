import { component, exported, exportsOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an export name that clears the terminal and turns the text around",
  bytes: () => component(types(prim.u8), exportsOf(exported("\u001b[2J\u202efdp.exe\u0007", "type", 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
