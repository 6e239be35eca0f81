import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a core module in place of a component",
  bytes: () => wat(`(module (func (export "run") unreachable))`),
  expect: { load: "STELE-VFY-0002" },
} satisfies Guest
