import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The embedder passes on an object whose getter calls the plugin again while its arguments are lowered. */
const lazy = {
  again: (): unknown => undefined,
  get n(): number {
    lazy.again()
    return 7
  },
}

export default {
  threat: "an argument whose reading enters the plugin again",
  bytes: () =>
    guest({
      head: `(type $r' (record (field "n" u32))) (export $r "r" (type $r'))`,
      core: `(func (export "run") (param i32) (result i32) (local.get 0)) (func (export "other") (result i32) (i32.const 1))`,
      exports: { run: `(param "r" $r) (result u32)`, other: "(result u32)" },
    }),
  load: (scene) => {
    lazy.again = () => scene.plugin?.callSync("other", [] as never)
    return { instances: { reuse: "principal", max: 1 } }
  },
  call: [{ export: "run", args: [lazy] }, { export: "other" }, { export: "run", args: [{ n: 3 }] }],
  expect: { calls: ["STELE-PLG-0004", { result: 1 }, { result: 3 }] },
} satisfies Guest
