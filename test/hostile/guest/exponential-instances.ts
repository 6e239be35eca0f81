import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Each level instantiates the level below twice. */
const levels = (depth: number): string =>
  depth === 0
    ? `(component $c0)`
    : `${levels(depth - 1)} (component $c${depth} (alias outer 1 $c${depth - 1} (component $x)) (instance (instantiate $x)) (instance (instantiate $x)))`

export default {
  threat: "thirty components that instantiate each other 2^30 times",
  bytes: () => wat(`(component ${levels(30)} (instance (instantiate $c30)))`),
  expect: { load: "STELE-LIM-0014" },
} satisfies Guest
