import { component, externFunc, imported, importsOf } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an import of a type that is not there",
  bytes: () => component(importsOf(imported("f", externFunc(3)))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
