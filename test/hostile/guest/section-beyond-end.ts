import { component } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a section that says it is 4 GiB long",
  bytes: () => component([7, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
