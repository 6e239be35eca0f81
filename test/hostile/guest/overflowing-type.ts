import { component, prim, tupleOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a type whose count of leaves overflows 64 bits",
  bytes: () => component(types(prim.u8, ...Array.from({ length: 40 }, (_, i) => tupleOf(...Array.from({ length: 100 }, () => i))))),
  expect: { load: "STELE-LIM-0015" },
} satisfies Guest
