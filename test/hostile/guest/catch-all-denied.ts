import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** `random` is asked for, but only linked to be denied: `missing: "trap"`. */
export default {
  threat: "a handler around a capability that is denied, looping afterwards",
  bytes: () =>
    guest({
      head: `(import "wasi:random/random@0.2.0" (instance $r (export "get-random-u64" (func (result u64))))) (core func $u64 (canon lower (func $r "get-random-u64"))) (core instance $wasi (export "u64" (func $u64)))`,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "u64" (func $u64 (result i64))) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (drop (call $u64)))) (br $l)))`,
      exports: { run: "" },
    }),
  load: { missing: "trap" },
  call: { export: "run" },
  expect: { calls: ["STELE-CAP-0004"] },
} satisfies Guest
