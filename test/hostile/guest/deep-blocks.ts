import { component, coreInstances, coreInstantiate, coreModule, raw, types } from "../../host/component-builder.ts"
import { Module } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a hundred thousand nested blocks in one function",
  bytes: () => {
    const m = new Module()
    const depth = 100_000
    m.export(
      "run",
      "func",
      m.rawFunc(m.type([], []), [0, ...Array.from({ length: depth }, () => [0x02, 0x40]).flat(), ...Array.from({ length: depth }, () => 0x0b), 0x0b]),
    )
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
  expect: { calls: [{ result: undefined }] },
} satisfies Guest
