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
  Denied: reason<{ readonly path: string; readonly action: string; readonly why: string }>({
    code: "STELE-CFG-0004",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot ${d.action} "${d.path}": ${d.why}`,
    fix: () => "let this user use it, or work in a folder of your own",
  }),
  Full: reason<{ readonly path: string; readonly action: string }>({
    code: "STELE-CFG-0005",
    status: 507,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot ${d.action} "${d.path}": no space is left for it`,
    fix: () => "make room on that disk, then do it again",
  }),
}) {}
