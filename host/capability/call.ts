/**
 * `call:NAME`: functions of the embedder's that a plugin of a foreign ABI imports by name, and of the plugins that a
 * component is linked to: `call:acme:prices/api#find`. It serves no interface of its own: a component's imports that the
 * embedder provides are typed, and need no grant beside being provided.
 */
import type { Capability } from "./capability.ts"
import { isWithin, nameForm } from "./scope.ts"

export const call: Capability = {
  name: "call",
  risk: "The plugin can call the application's own functions of these names, or those of plugins it is linked to, with values of its choice.",
  mode: "either",
  forms: ["call:NAME", "call:INTERFACE#FUNCTION"],
  isInert: false,
  parse: nameForm("call"),
  subset: isWithin,
  interfaces: [],
  needs: () => "call:*",
  heads: () => ["call"],
  ports: [],
}
