import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** What goes wrong in an inner component is reported as what it is, not as the poisoned call of the outer one; the outer one has handlers. */
const inner = (title: string, code: string): string => `
  (component $${title} (core module $m ${code}) (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))
  (instance $${title}-i (instantiate $${title})) (core func $${title}-f (canon lower (func $${title}-i "run")))`

export default {
  threat: "an inner component that traps, loops and recurses, inside handlers of the outer one",
  bytes: () =>
    wat(`(component
      ${inner("trap", `(func (export "run") unreachable)`)}
      ${inner("spin", `(func (export "run") (loop $l (br $l)))`)}
      ${inner("deep", `(func $f (export "run") (call $f) (call $f))`)}
      (core instance $env (export "trap" (func $trap-f)) (export "spin" (func $spin-f)) (export "deep" (func $deep-f)))
      (core module $m (import "env" "trap" (func $trap)) (import "env" "spin" (func $spin)) (import "env" "deep" (func $deep))
        ${["trap", "spin", "deep"].map((title) => `(func (export "${title}") (loop $l (block $h (try_table (catch_all $h) (call $${title}))) (br $l)))`).join("\n")})
      (core instance $i (instantiate $m (with "env" (instance $env))))
      ${["trap", "spin", "deep"].map((title) => `(func (export "${title}") (canon lift (core func $i "${title}")))`).join("\n")})`),
  call: [{ export: "trap" }, { export: "spin", options: { deadlineMs: 50 } }, { export: "deep" }],
  expect: { calls: ["STELE-PLG-0002", "STELE-LIM-0010", "STELE-LIM-0003"] },
} satisfies Guest
