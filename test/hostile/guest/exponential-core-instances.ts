import { component, coreInstances, coreInstantiate, coreModule } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "ten thousand instances of one core module",
  bytes: () => component(coreModule([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), coreInstances(...Array.from({ length: 10_000 }, () => coreInstantiate(0)))),
  expect: { load: "STELE-LIM-0014" },
} satisfies Guest
