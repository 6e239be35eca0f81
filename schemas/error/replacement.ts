import { family, reason } from "./family.ts"

const some = (lead: string, parts: ReadonlyArray<string>): ReadonlyArray<string> => (parts.length === 0 ? [] : [`${lead} ${parts.join("; ")}`])

/** What went wrong with the component that is to stand in the place of a first-party plugin. */
export class ReplacementError extends family("ReplacementError", {
  Unknown: reason<{ readonly plugin: string; readonly setBy: string; readonly known: ReadonlyArray<string> }>({
    code: "STELE-RPL-0001",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot replace "${d.plugin}", as ${d.setBy} says: there is no first-party plugin of that name`,
    fix: (d) => (d.known.length === 0 ? "remove it: this version has none that can be replaced" : `the plugins are ${d.known.join(", ")}`),
  }),
  Contract: reason<{
    readonly plugin: string
    readonly setBy: string
    readonly world: string
    /** Functions of the world that it does not export. */
    readonly missing: ReadonlyArray<string>
    /** Where its types differ, and how. */
    readonly different: ReadonlyArray<string>
    /** What it imports and the world does not. */
    readonly imported: ReadonlyArray<string>
  }>({
    code: "STELE-RPL-0002",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) =>
      `Cannot replace "${d.plugin}", as ${d.setBy} says: the component does not implement ${d.world}: ${[
        ...some("it lacks", d.missing),
        ...some("it differs where", d.different),
        ...some("it imports", d.imported),
      ].join(", and ")}`,
    fix: (d) => `build it with "world": "${d.world}" in its plugin.json`,
  }),
  Load: reason<{ readonly plugin: string; readonly setBy: string; readonly loadCode: string; readonly detail: string }>({
    code: "STELE-RPL-0003",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot replace "${d.plugin}", as ${d.setBy} says: ${d.loadCode}: ${d.detail}`,
    fix: (d) => `correct the component or ${d.setBy}: stele explain ${d.loadCode}`,
  }),
}) {}
