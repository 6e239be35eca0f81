import { component, instances, instantiate } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an instance of itself",
  bytes: () => component(instances(instantiate(0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
