import { family, reason } from "./family.ts"

/** Waiting: what would have to be waited for where nothing can wait, and what nobody will ever bring. */
export class AsyncError extends family("AsyncError", {
  WouldWait: reason<{ readonly export: string; readonly import: string; readonly where: string }>({
    code: "STELE-ASY-0001",
    status: 409,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot wait for "${d.import}" in "${d.export}": ${d.where}`,
    fix: () => "use `await plugin.call(…)`, and call what waits from an exported function",
  }),
  TooMany: reason<{ readonly export: string; readonly limit: number }>({
    code: "STELE-ASY-0003",
    status: 503,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot call "${d.export}": ${d.limit} calls that can wait are under way on this thread`,
    fix: () => "wait until some have answered, or bound the calls with instances: { max }",
  }),
  Share: reason<{ readonly export: string; readonly tenant: string; readonly ofTenant: number; readonly ofPlugin: number; readonly limit: number }>({
    code: "STELE-ASY-0007",
    status: 503,
    exit: 7,
    isRetryable: true,
    message: (d) =>
      `Cannot call "${d.export}": tenant "${d.tenant}" has ${d.ofTenant} of the ${d.limit} stacks for calls that can wait on this thread, ${d.ofPlugin} of them for this plugin, and the rest is for others`,
    fix: () => "wait until some have answered, or bound the calls with instances: { max }",
  }),
  NoSuspension: reason<{ readonly asked: string; readonly exists: ReadonlyArray<string> }>({
    code: "STELE-ASY-0002",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use ${d.asked}: this engine cannot suspend WebAssembly; it has ${d.exists.join(", ")}`,
    fix: (d) => `use ${d.exists[0] ?? "another option"}, or an engine with WebAssembly.Suspending`,
  }),
  Deadlock: reason<{ readonly export: string }>({
    code: "STELE-ASY-0004",
    status: 502,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot go on with "${d.export}": all its tasks wait, and nothing is under way that could wake one`,
    fix: () => "report it to the plugin's author: a task waits for an event that nobody can send",
  }),
  LeftOpen: reason<{ readonly kind: "stream" | "future"; readonly export: string }>({
    code: "STELE-ASY-0005",
    status: 502,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot read a ${d.kind} of "${d.export}": the guest ended and left it open`,
    fix: (d) => `report it to the plugin's author: a ${d.kind} must be written and dropped before its task ends`,
  }),
  Crossing: reason<{ readonly kind: string }>({
    code: "STELE-ASY-0006",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot pass a value of type "${d.kind}" here: it cannot leave the thread of its plugin`,
    fix: () => 'load the plugin with isolation: "inline"',
  }),
}) {}
