import { component, raw } from "../../host/component-builder.ts"
import { u } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a record that announces 2^28 fields",
  bytes: () => component(raw(7, [1, 0x72, ...u(2 ** 28), 1, 0x61, 0x7f])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
