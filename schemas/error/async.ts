import { family, reason } from "./family.ts"

/** Waiting: what would have to be waited for where nothing can wait. */
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
  NoSuspension: reason<{ readonly asked: string; readonly exists: ReadonlyArray<string> }>({
    code: "STELE-ASY-0002",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use ${d.asked}: this engine cannot suspend WebAssembly; it has ${d.exists.join(", ")}`,
    fix: (d) => `use ${d.exists[0] ?? "another option"}, or an engine with WebAssembly.Suspending`,
  }),
}) {}
