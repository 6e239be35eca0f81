import { family, reason } from "./family.ts"

/** Grants: what a plugin asked for, was given, and may do now. */
export class CapabilityError extends family("CapabilityError", {
  Grammar: reason<{ readonly grant: string; readonly detail: string }>({
    code: "STELE-CAP-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot read "${d.grant}" as a grant: ${d.detail}`,
    fix: () => "write it as NAME or NAME:ACTION:SCOPE, for example kv:read:prices/*",
  }),
  UnknownImport: reason<{ readonly import: string; readonly detail: string }>({
    code: "STELE-CAP-0002",
    status: 422,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot link import "${d.import}": ${d.detail}`,
    fix: () => 'load it with missing: "trap" if it never calls this import, or rebuild it without',
  }),
  Missing: reason<{
    readonly import: string
    readonly grant: string
    readonly granted: ReadonlyArray<string>
    /** Every grant that some import needs and has not, the first one included. */
    readonly needed: ReadonlyArray<string>
  }>({
    code: "STELE-CAP-0003",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) =>
      `Plugin asked for a capability it was not granted: "${d.import}" needs the grant "${d.grant}"${d.needed.length > 1 ? `; all it needs: ${d.needed.join(", ")}` : ""}`,
    fix: (d) => `add what it needs: grants: ${JSON.stringify(d.needed)}, or ${d.needed.map((grant) => `--grant ${grant}`).join(" ")}`,
  }),
  Denied: reason<{ readonly grant: string; readonly granted: ReadonlyArray<string> }>({
    code: "STELE-CAP-0004",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Plugin was denied an operation that needs the grant "${d.grant}"`,
    fix: (d) => `add the grant: grants: ["${d.grant}"], or --grant ${d.grant}`,
  }),
  TypeMismatch: reason<{ readonly import: string; readonly detail: string }>({
    code: "STELE-CAP-0005",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot link import "${d.import}": ${d.detail}`,
    fix: () => "rebuild the plugin against the published WIT of this interface",
  }),
  Async: reason<{ readonly import: string }>({
    code: "STELE-CAP-0006",
    status: 501,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot wait for the asynchronous port behind "${d.import}"`,
    fix: () => "use a port that answers synchronously, such as the memory layer",
  }),
  Wait: reason<{ readonly import: string; readonly detail: string }>({
    code: "STELE-CAP-0007",
    status: 408,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot wait in "${d.import}": ${d.detail}`,
    fix: () => "give the call a longer deadline, or a monotonic clock port whose `wait` may block this thread",
  }),
  PortLimit: reason<{ readonly port: string; readonly limit: string; readonly unit: string; readonly max: number; readonly actual: number }>({
    code: "STELE-CAP-0008",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "${d.limit}" of the ${d.port} port: the limit is ${d.max} ${d.unit}, asked for ${d.actual}`,
    fix: (d) => `give the host a ${d.port} port with a larger ${d.limit}`,
  }),
  NotBuilt: reason<{ readonly grant: string; readonly exists: ReadonlyArray<string> }>({
    code: "STELE-CAP-0009",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot grant "${d.grant}": this version has ${d.exists.join(", ")}`,
    fix: () => "remove the grant, or use one of the capabilities that exist",
  }),
}) {}
