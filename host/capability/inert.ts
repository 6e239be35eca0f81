/**
 * The inert set: what ordinary toolchains' components import whether they use it or not. Linked without a grant, because
 * it tells nothing and reaches nothing but what the application put into `wasi` of its options: an empty environment, no
 * arguments, an input stream at its end, output to the plugin's log where `log` is granted and nowhere else, in-memory
 * streams. Directories link without a grant too (`file-system.ts`). Clocks and random are not in it.
 */
import type { Capability } from "./capability.ts"
import { ioInterfaces } from "./io.ts"
import { isWithin, refuse } from "./scope.ts"

const cli = ["environment", "exit", "stdin", "stdout", "stderr", "terminal-input", "terminal-output", "terminal-stdin", "terminal-stdout", "terminal-stderr"]

export const inert: Capability = {
  name: "inert",
  risk: "None: it tells the plugin nothing and reaches nothing outside.",
  mode: "sync",
  forms: [],
  isInert: true,
  parse: (text) => refuse(text, "the inert set needs no grant"),
  subset: isWithin,
  interfaces: ioInterfaces,
  later: { names: cli.map((name) => `wasi:cli/${name}`), load: () => import("./wasi-cli.ts").then(({ interfaces }) => interfaces) },
  needs: () => "",
  heads: () => [],
  ports: ["monotonicClock", "log"],
}
