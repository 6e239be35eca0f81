/**
 * `kernel:NAME`: numeric kernels by the names of the table of operations (`kernels/accelerate/operation.ts`), for guests: ADR 0057. What serves it is
 * loaded when a plugin imports it.
 */
import type { Capability } from "./capability.ts"
import { isWithin, nameForm } from "./scope.ts"

export const kernel: Capability = {
  name: "kernel",
  risk: "The plugin has the host multiply and sort numbers of its own, which takes processor time and memory up to kernelWorkMax and kernelBytesMax; it reaches no data.",
  mode: "sync",
  forms: ["kernel:NAME"],
  isInert: false,
  parse: nameForm("kernel"),
  subset: isWithin,
  interfaces: [],
  later: { names: ["stele:kernel/compute"], load: async () => (await import("./kernel/compute.ts")).computeInterfaces() },
  needs: () => "kernel:*",
  heads: () => ["kernel"],
  ports: [],
}
