import { component, nested } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const deep = (depth: number): Uint8Array => (depth === 0 ? component() : component(nested(deep(depth - 1))))

export default {
  threat: "components nested three hundred deep",
  bytes: () => deep(300),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
