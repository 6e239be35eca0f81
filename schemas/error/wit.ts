import { family, reason } from "./family.ts"

/** A value does not have the type the interface declares, or a type cannot be expressed. */
export class WitError extends family("WitError", {
  Value: reason<{ readonly path: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-WIT-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use ${d.actual} as ${d.expected} at ${d.path}`,
    fix: () => "stele inspect FILE prints the schema of each parameter",
  }),
  ArgumentCount: reason<{ readonly export: string; readonly expected: number; readonly actual: number }>({
    code: "STELE-WIT-0002",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot call "${d.export}" with ${d.actual} argument${d.actual === 1 ? "" : "s"}: it takes ${d.expected}`,
    fix: () => "stele inspect FILE prints the parameters",
  }),
  Inexpressible: reason<{ readonly path: string; readonly type: string; readonly form: string }>({
    code: "STELE-WIT-0003",
    status: 422,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot write ${d.type} as ${d.form} at ${d.path}`,
    fix: () => "call this export from a program, with the handle it was given; or declare a type that values are written of",
  }),
  Text: reason<{
    readonly path: string
    /** Counted from 1. */
    readonly line: number
    /** In characters of the line, counted from 1. */
    readonly column: number
    readonly detail: string
    /** The line, cut around the mistake, and a second line with a caret under it. */
    readonly excerpt: string
  }>({
    code: "STELE-WIT-0004",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot read WAVE text for ${d.path} at line ${d.line}, column ${d.column}: ${d.detail}\n${d.excerpt}`,
    fix: () => "stele inspect FILE prints the type; WAVE writes records as {field: 1}, lists as [1, 2], variants as case(1)",
  }),
}) {}
