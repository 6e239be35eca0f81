import { family, reason } from "./family.ts"

/** Options and command lines that cannot be used as written. */
export class ConfigError extends family("ConfigError", {
  UnknownOption: reason<{ readonly option: string; readonly known: ReadonlyArray<string> }>({
    code: "STELE-CFG-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Unknown option "${d.option}"`,
    fix: (d) => `known options: ${d.known.join(", ")}`,
  }),
  Option: reason<{ readonly option: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-CFG-0002",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use ${d.actual} as "${d.option}": expected ${d.expected}`,
    fix: (d) => `pass ${d.expected}`,
  }),
  Usage: reason<{ readonly detail: string; readonly advice: string }>({
    code: "STELE-CFG-0003",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => d.detail,
    fix: (d) => d.advice,
  }),
}) {}
