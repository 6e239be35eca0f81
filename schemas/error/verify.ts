import { family, reason } from "./family.ts"

interface At {
  /** Byte offset in the component binary. */
  readonly offset: number
}

/** Bytes that are not a component this host accepts: malformed, invalid, or using what cannot be contained. */
export class VerifyError extends family("VerifyError", {
  NotWasm: reason<{ readonly found: string }>({
    code: "STELE-VFY-0001",
    status: 422,
    exit: 3,
    isRetryable: false,
    explain: "The bytes do not start with the WebAssembly preamble.",
    message: (d) => `Cannot load bytes as a WebAssembly component: they start with ${d.found}`,
    fix: () => "pass a .wasm component file (stele inspect FILE shows what a file is)",
  }),
  CoreModule: reason<Record<never, never>>({
    code: "STELE-VFY-0002",
    status: 422,
    exit: 3,
    isRetryable: false,
    explain: "The file is a core WebAssembly module; the host loads components, which carry their types.",
    message: () => "Cannot load a core module as a component",
    fix: () => "wrap it with its WIT: npx jco new core.wasm -o component.wasm",
  }),
  Malformed: reason<At & { readonly detail: string }>({
    code: "STELE-VFY-0003",
    status: 422,
    exit: 3,
    isRetryable: false,
    explain: "The binary breaks the grammar or the validation rules of the component model.",
    message: (d) => `Cannot decode the component at byte ${d.offset}: ${d.detail}`,
    fix: () => "rebuild the component; if another tool accepts it, report it with the file",
  }),
  Unsupported: reason<At & { readonly feature: string }>({
    code: "STELE-VFY-0004",
    status: 422,
    exit: 3,
    isRetryable: false,
    explain: "The component uses a feature that this host does not accept.",
    message: (d) => `Cannot load a component that uses ${d.feature} (byte ${d.offset})`,
    fix: () => "rebuild the component without this feature",
  }),
}) {}
