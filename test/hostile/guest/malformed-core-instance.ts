import { component, coreInstances, coreInstantiate } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an instance of a core module that is not there",
  bytes: () => component(coreInstances(coreInstantiate(0xffff_ffff))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
