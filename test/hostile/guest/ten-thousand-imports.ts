import { component, externFunc, funcOf, imported, importsOf, types } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "ten thousand imports that nothing serves",
  bytes: () => component(types(funcOf([])), importsOf(...Array.from({ length: 10_000 }, (_, i) => imported(`f${i}`, externFunc(0))))),
  expect: { load: "STELE-CAP-0002" },
} satisfies Guest
