import { component, coreInstances, coreInstantiate, coreModule } from "../../host/component-builder.ts"
import { Module } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an opcode that nobody has defined",
  bytes: () => {
    const m = new Module()
    m.export("run", "func", m.rawFunc(m.type([], []), [0, 0xf7, 0x0b]))
    return component(coreModule(m.bytes()), coreInstances(coreInstantiate(0)))
  },
  expect: { load: ["STELE-VFY-0013", "STELE-VFY-0003"] },
} satisfies Guest
