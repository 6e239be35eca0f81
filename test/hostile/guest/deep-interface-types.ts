import { component, concat, instanceTypeOf, prim, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const deep = (depth: number): Array<number> => (depth === 0 ? prim.u8.slice() : instanceTypeOf(concat(0x01, deep(depth - 1))))

export default {
  threat: "interface types nested two thousand deep",
  bytes: () => component(types(deep(2_000))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
