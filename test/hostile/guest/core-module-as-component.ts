import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a core module in place of a component, whose import nothing serves",
  bytes: () => wat(`(module (import "env" "run" (func)) (func (export "run") unreachable))`),
  expect: { load: "STELE-VFY-0017" },
} satisfies Guest
