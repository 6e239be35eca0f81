import { family, reason } from "./family.ts"

const list = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")
const meant = (closest: ReadonlyArray<string>, otherwise: string): string => (closest.length === 0 ? otherwise : `did you mean ${list(closest)}?`)

/** A core module and a world that do not make a component together. */
export class EncodeError extends family("EncodeError", {
  MissingExport: reason<{
    readonly export: string
    readonly expected: string
    /** What needs it: an exported function, or the functions that move values through memory. */
    readonly for: string
    readonly closest: ReadonlyArray<string>
  }>({
    code: "STELE-ENC-0001",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot make a component of a core module that does not export "${d.export}", ${d.expected}: ${d.for}`,
    fix: (d) => meant(d.closest, `export ${d.expected} as "${d.export}"`),
  }),
  ExportType: reason<{ readonly export: string; readonly as: string; readonly expected: string; readonly found: string }>({
    code: "STELE-ENC-0002",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot use the core export "${d.export}" as ${d.as}: expected ${d.expected}, found ${d.found}`,
    fix: () => "generate the bindings again from the world and build with them",
  }),
  StrayExport: reason<{ readonly export: string; readonly closest: ReadonlyArray<string> }>({
    code: "STELE-ENC-0003",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot make a component of a core module that exports "${d.export}": the world exports no such function`,
    fix: (d) => meant(d.closest, "add it to the world, or rename the export"),
  }),
  UnknownImport: reason<{ readonly module: string; readonly name: string; readonly found: string; readonly closest: ReadonlyArray<string> }>({
    code: "STELE-ENC-0004",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot satisfy the core import "${d.module}" "${d.name}", ${d.found}: the world imports no such function`,
    fix: (d) =>
      d.closest.length > 0
        ? meant(d.closest, "")
        : d.module === "env" && d.name === "abort"
          ? "compile with --use abort=FUNCTION, so that AssemblyScript's abort is a function of the module"
          : "add it to the world, or build without it",
  }),
  ImportType: reason<{ readonly module: string; readonly name: string; readonly expected: string; readonly found: string; readonly for: string }>({
    code: "STELE-ENC-0005",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot satisfy the core import "${d.module}" "${d.name}": expected ${d.expected}, found ${d.found} (${d.for})`,
    fix: () => "generate the bindings again from the world and build with them",
  }),
  Preview1: reason<{ readonly module: string; readonly name: string }>({
    code: "STELE-ENC-0006",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot make a component of a core module that imports "${d.module}" "${d.name}": WASI preview 1 is no part of a world`,
    fix: () => "load the core module as it is (the host serves preview 1), or build for a target without it, such as wasm32-unknown-unknown",
  }),
  Unsupported: reason<{ readonly at: string; readonly feature: string }>({
    code: "STELE-ENC-0007",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot encode ${d.feature} at ${d.at}`,
    fix: () => "write the world without it",
  }),
  Unnamed: reason<{ readonly at: string; readonly type: string }>({
    code: "STELE-ENC-0008",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot encode the unnamed type ${d.type} at ${d.at}`,
    fix: () => "give it a name in its interface: records, variants, enums, flags and resources are used by name",
  }),
  Name: reason<{ readonly name: string; readonly what: string; readonly expected: string }>({
    code: "STELE-ENC-0009",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot use "${d.name}" as ${d.what}: expected ${d.expected}`,
    fix: (d) => `name it by ${d.expected}`,
  }),
  World: reason<{ readonly at: string; readonly detail: string }>({
    code: "STELE-ENC-0010",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot encode the world at ${d.at}: ${d.detail}`,
    fix: () => "write the world so that WIT can say it",
  }),
  Core: reason<{ readonly offset: number; readonly detail: string }>({
    code: "STELE-ENC-0011",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read the core module at byte ${d.offset}: ${d.detail}`,
    fix: () => "pass a core WebAssembly module as its compiler wrote it",
  }),
}) {}
