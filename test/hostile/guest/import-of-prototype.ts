import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "imports whose names are what every object inherits, so that the embedder's object would answer them",
  bytes: () =>
    guest({
      head: `(import "evil:host/api" (instance $api (export "constructor" (func (param "code" string) (result string)))))`,
      core: `(memory (export "memory") 1)`,
    }),
  load: { imports: { "evil:host/api": {} } },
  expect: { load: "STELE-CFG-0002" },
} satisfies Guest
