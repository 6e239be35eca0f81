import { family, reason } from "./family.ts"

/** What went wrong between two plugins, one of which is linked to import the other's interface. */
export class CompositionError extends family("CompositionError", {
  Cycle: reason<{ readonly way: ReadonlyArray<string> }>({
    code: "STELE-COM-0001",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot link plugins in a circle: ${d.way.join(" → ")} leads back to the plugin that is replaced`,
    fix: () => "link one of them to a plugin that does not lead back, such as a second load of the same component",
  }),
  NoInterface: reason<{ readonly import: string; readonly plugin: string; readonly exports: ReadonlyArray<string> }>({
    code: "STELE-COM-0002",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot link "${d.import}" to plugin "${d.plugin}": it exports ${d.exports.length === 0 ? "no interface" : d.exports.join(", ")}`,
    fix: () => "link a plugin that exports the interface in a compatible version",
  }),
  Mismatch: reason<{ readonly import: string; readonly plugin: string; readonly detail: string }>({
    code: "STELE-COM-0003",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot link "${d.import}" to plugin "${d.plugin}": ${d.detail}`,
    fix: () => "build both against the same WIT, or link another plugin",
  }),
  Handle: reason<{ readonly import: string; readonly handle: string }>({
    code: "STELE-COM-0004",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot link "${d.import}" to a plugin: a resource, stream, future or error context lives in one plugin, and it passes ${d.handle}`,
    fix: () => "pass values, such as a name or number of what is meant, or provide the interface by imports",
  }),
  Callee: reason<{ readonly import: string; readonly plugin: string; readonly calleeCode: string; readonly detail: string }>({
    code: "STELE-COM-0005",
    status: 502,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot go on: "${d.import}" of plugin "${d.plugin}" failed with ${d.calleeCode}: ${d.detail}`,
    fix: (d) => `see what the linked plugin failed of: stele explain ${d.calleeCode}`,
  }),
  CalleeBusy: reason<{ readonly import: string; readonly plugin: string; readonly calleeCode: string; readonly detail: string }>({
    code: "STELE-COM-0006",
    status: 503,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot call "${d.import}" of plugin "${d.plugin}" now: ${d.calleeCode}: ${d.detail}`,
    fix: () => "call again later, or give the linked plugin more instances",
  }),
}) {}
