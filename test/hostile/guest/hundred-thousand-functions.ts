import { component, coreInstances, coreInstantiate, coreModule, raw, types } from "../../host/component-builder.ts"
import { Module, call } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a hundred thousand functions that call each other in a row",
  bytes: () => {
    const m = new Module()
    let last = m.func([], [], {}, [])
    for (let i = 0; i < 100_000; i++) last = m.func([], [], {}, [call(last)])
    m.export("run", "func", last)
    return component(
      coreModule(m.bytes()),
      coreInstances(coreInstantiate(0)),
      types([0x40, 0, 1, 0]),
      raw(6, [1, 0x00, 0x00, 0x01, 0, 3, 0x72, 0x75, 0x6e]),
      raw(8, [1, 0, 0, 0, 0, 0]),
      raw(11, [1, 0, 3, 0x72, 0x75, 0x6e, 1, 0, 0]),
    )
  },
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0003"] },
  msMax: 10_000,
} satisfies Guest
