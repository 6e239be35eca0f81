import { aliasOuter, aliases, component, instances, instantiate, nested } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a component that instantiates itself through an outer alias",
  bytes: () => component(nested(component(aliases(aliasOuter("component", 1, 0)), instances(instantiate(0)))), instances(instantiate(0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
