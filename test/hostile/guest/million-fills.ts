import { component, coreInstances, coreInstantiate, coreModule, raw, types } from "../../host/component-builder.ts"
import { Module, append, call } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

/** Twenty functions of fifty thousand fills of half a mebibyte each: half a terabyte written, and no loop. */
const fill = Uint8Array.of(0x41, 0x00, 0x41, 0x00, 0x41, 0x80, 0x80, 0x20, 0xfc, 0x0b, 0x00)
const body = (): ReadonlyArray<number> => {
  const out = [0]
  for (let i = 0; i < 50_000; i++) append(out, fill)
  out.push(0x0b)
  return out
}

export default {
  threat: "a million memory.fill in a row",
  bytes: () => {
    const m = new Module()
    m.memory(9)
    const type = m.type([], [])
    const one = body()
    const parts = Array.from({ length: 20 }, () => m.rawFunc(type, one))
    m.func(
      [],
      [],
      { export: "run" },
      parts.map((part) => call(part)),
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
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 20_000,
} satisfies Guest
