import { component, coreBundle, coreInstances } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a bundle that exports a core function before any exists",
  bytes: () => component(coreInstances(coreBundle([["f", 0, 0]]))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
