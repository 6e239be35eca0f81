import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Instance k exports instance k − 1 twice, and so do the types it is checked against. */
const depth = 24
const text = (): string => {
  const types = [`(type $t0 (instance))`]
  const made = [`(instance $i0)`]
  for (let k = 1; k <= depth; k++) {
    types.push(`(type $t${k} (instance (alias outer 1 $t${k - 1} (type $below)) (export "a" (instance (type $below))) (export "b" (instance (type $below)))))`)
    made.push(`(instance $i${k} (export "a" (instance $i${k - 1})) (export "b" (instance $i${k - 1})))`)
  }
  return `(component ${types.join(" ")} ${made.join(" ")} (export "top" (instance $i${depth}) (instance (type $t${depth}))))`
}

export default {
  threat: "a check of an instance against a type that meets 2^24 exports",
  bytes: () => wat(text()),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
