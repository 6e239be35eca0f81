import { component, exported, exportsOf, prim, tupleOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a type of forty definitions that is 2^40 leaves written out",
  bytes: () => component(types(prim.u8, ...Array.from({ length: 40 }, (_, i) => tupleOf(i, i))), exportsOf(exported("t", "type", 40))),
  expect: { load: "STELE-LIM-0015" },
} satisfies Guest
