import { component, coreInstances, coreInstantiate, coreModule } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a core module section that holds noise",
  bytes: () => component(coreModule([0xde, 0xad, 0xbe, 0xef, 1, 0, 0, 0]), coreInstances(coreInstantiate(0))),
  expect: { load: ["STELE-VFY-0001", "STELE-VFY-0003"] },
} satisfies Guest
