import { component, raw } from "../../host/component-builder.ts"
import { u } from "../../host/wasm-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a vector that announces 2^32 − 1 types",
  bytes: () => component(raw(7, [...u(0xffff_ffff), 0x7f])),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
