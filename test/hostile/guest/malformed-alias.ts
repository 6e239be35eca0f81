import { aliasOuter, aliases, component } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an alias that goes 2^32 − 1 components up",
  bytes: () => component(aliases(aliasOuter("type", 0xffff_ffff, 0))),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
