import { family, reason } from "./family.ts"

/** A value does not have the type the interface declares, or a type cannot be expressed. */
export class WitError extends family("WitError", {
  Value: reason<{ readonly path: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-WIT-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    explain: "An argument, or a host function's return value, does not have its declared type; `path` says where.",
    message: (d) => `Cannot use ${d.actual} as ${d.expected} at ${d.path}`,
    fix: () => "stele inspect FILE prints the schema of each parameter",
  }),
  ArgumentCount: reason<{ readonly export: string; readonly expected: number; readonly actual: number }>({
    code: "STELE-WIT-0002",
    status: 400,
    exit: 2,
    isRetryable: false,
    explain: "The call has too few or too many arguments.",
    message: (d) => `Cannot call "${d.export}" with ${d.actual} arguments: it takes ${d.expected}`,
    fix: () => "stele inspect FILE prints the parameters",
  }),
}) {}
