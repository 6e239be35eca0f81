import { component, concat, exported, exportsOf, instances } from "../../host/component-builder.ts"
import { name, u } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

/** Eight levels of instances, each exporting the one below two hundred times: 200^8 names if the world were written out. */
const level = (below: number): Array<number> => concat(0x01, u(200), ...Array.from({ length: 200 }, (_, i) => concat(0x00, name(`x${i}`), [0x05], u(below))))

export default {
  threat: "eight nested instances that are 200^8 exports written out",
  bytes: () => component(instances([0x01, 0x00], ...Array.from({ length: 8 }, (_, i) => level(i))), exportsOf(exported("top", "instance", 8))),
  expect: { load: ["STELE-VFY-0003", "STELE-VFY-0004"] },
} satisfies Guest
