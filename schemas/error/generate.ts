import { family, reason } from "./family.ts"

/** Source code that cannot be generated from a world. */
export class GenerateError extends family("GenerateError", {
  Unsupported: reason<{ readonly target: string; readonly type: string; readonly where: string; readonly advice: string }>({
    code: "STELE-GEN-0001",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot express ${d.type} in ${d.target}, at ${d.where}`,
    fix: (d) => d.advice,
  }),
  Collision: reason<{ readonly target: string; readonly name: string; readonly first: string; readonly second: string }>({
    code: "STELE-GEN-0002",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot give two things the name "${d.name}" in ${d.target}: ${d.first} and ${d.second}`,
    fix: () => "rename one of the two in the WIT",
  }),
}) {}
