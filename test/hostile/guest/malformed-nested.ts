import { component, nested } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a nested component that ends in its middle",
  bytes: () => component(nested(component().subarray(0, 6))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
