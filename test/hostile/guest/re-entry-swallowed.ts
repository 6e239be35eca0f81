import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a guest that calls itself through the host and swallows what comes of it, for ever",
  bytes: () =>
    guest({
      imports: { again: "" },
      core: `(import "host" "again" (func $again)) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (call $again))) (br $l)))`,
      exports: { run: "" },
    }),
  load: (scene) => ({
    imports: {
      again: (() => {
        try {
          scene.plugin?.callSync("run", [] as never)
        } catch {
          scene.hostCalls++
        }
      }) as never,
    },
  }),
  call: { export: "run", options: { deadlineMs: 100 } },
  expect: { calls: [["STELE-LIM-0010", "STELE-LIM-0007"]] },
  msMax: 20_000,
} satisfies Guest
