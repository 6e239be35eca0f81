import { component, raw } from "../../host/component-builder.ts"
import { u } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a section with bytes behind its contents",
  bytes: () => component(raw(7, [...u(1), 0x7f, 0x00, 0x00])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
