import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "relaxed SIMD under fuel, whose results would differ from machine to machine",
  bytes: () =>
    guest({
      core: `(func (export "run") (drop (f32x4.relaxed_madd (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0))))`,
      exports: { run: "" },
    }),
  load: { metering: "fuel" },
  expect: { load: ["STELE-VFY-0010", "STELE-VFY-0003"] },
} satisfies Guest
