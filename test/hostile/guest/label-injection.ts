import { component, prim, recordOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a record label that closes a string and runs code",
  bytes: () => component(types(recordOf(["a'];globalThis.PWN=1;//", prim.u8]))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
