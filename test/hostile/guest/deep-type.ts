import { component, listOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a list of lists five thousand levels deep",
  bytes: () => component(types(prim.u8, ...Array.from({ length: 5_000 }, (_, i) => listOf(i)))),
  expect: { load: "STELE-LIM-0016" },
} satisfies Guest
