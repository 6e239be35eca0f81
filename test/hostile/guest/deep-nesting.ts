import { component, nested } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const deep = (depth: number): Uint8Array => (depth === 0 ? component() : component(nested(deep(depth - 1))))

export default {
  threat: "components nested two thousand deep",
  bytes: () => deep(2_000),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
