import { family, reason } from "./family.ts"

/** Grants: what a plugin asked for, was given, and may do now. */
export class CapabilityError extends family("CapabilityError", {
  Grammar: reason<{ readonly grant: string; readonly detail: string }>({
    code: "STELE-CAP-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    explain: "The text is not a grant: `stele explain grants` lists the grammar.",
    message: (d) => `Cannot read "${d.grant}" as a grant: ${d.detail}`,
    fix: () => "write it as NAME or NAME:ACTION:SCOPE, for example kv:read:prices/*",
  }),
  UnknownImport: reason<{ readonly import: string; readonly detail: string }>({
    code: "STELE-CAP-0002",
    status: 422,
    exit: 5,
    isRetryable: false,
    explain: "The plugin imports an interface that no capability of this host serves.",
    message: (d) => `Cannot link import "${d.import}": ${d.detail}`,
    fix: () => 'load it with missing: "trap" if it never calls this import, or rebuild it without',
  }),
  Missing: reason<{ readonly import: string; readonly grant: string; readonly granted: ReadonlyArray<string> }>({
    code: "STELE-CAP-0003",
    status: 403,
    exit: 5,
    isRetryable: false,
    explain: "The plugin asked for a capability it was not granted; everything is denied by default.",
    message: (d) => `Plugin asked for a capability it was not granted: "${d.import}" needs the grant "${d.grant}"`,
    fix: (d) => `add the grant: grants: ["${d.grant}"], or --grant ${d.grant}`,
  }),
  Denied: reason<{ readonly grant: string; readonly granted: ReadonlyArray<string> }>({
    code: "STELE-CAP-0004",
    status: 403,
    exit: 5,
    isRetryable: false,
    explain: "The plugin tried an operation outside its grants, or its grant was revoked while it ran.",
    message: (d) => `Plugin was denied an operation that needs the grant "${d.grant}"`,
    fix: (d) => `add the grant: grants: ["${d.grant}"], or --grant ${d.grant}`,
  }),
  TypeMismatch: reason<{ readonly import: string; readonly detail: string }>({
    code: "STELE-CAP-0005",
    status: 422,
    exit: 3,
    isRetryable: false,
    explain: "The plugin declares an import with types other than those the host serves under that name.",
    message: (d) => `Cannot link import "${d.import}": ${d.detail}`,
    fix: () => "rebuild the plugin against the published WIT of this interface",
  }),
  Async: reason<{ readonly import: string }>({
    code: "STELE-CAP-0006",
    status: 501,
    exit: 1,
    isRetryable: false,
    explain: "The port behind this import answers asynchronously, and a synchronous guest cannot wait for it here.",
    message: (d) => `Cannot wait for the asynchronous port behind "${d.import}"`,
    fix: () => "use a port that answers synchronously, such as the memory layer",
  }),
}) {}
