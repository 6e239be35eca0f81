import { component, coreModule } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "sixty-five core modules",
  bytes: () => component(...Array.from({ length: 65 }, () => coreModule([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))),
  expect: { load: "STELE-LIM-0013" },
} satisfies Guest
