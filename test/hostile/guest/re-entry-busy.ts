import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a guest that calls its own only instance through the host",
  bytes: () => guest({ imports: { again: "" }, core: `(import "host" "again" (func $again)) (func (export "run") (call $again))`, exports: { run: "" } }),
  load: (scene) => ({ instances: { reuse: "principal", max: 1 }, imports: { again: (() => void scene.plugin?.callSync("run", [] as never)) as never } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0004"] },
} satisfies Guest
