/** What the doctor finds: one line for each thing looked at, with what to do where something should be done. */

export interface Diagnosis {
  /** What was looked at: "disk space". */
  readonly about: string
  /** `warn`: works, and should be known; `fail`: will not work, or cannot be relied on. */
  readonly status: "ok" | "warn" | "fail"
  readonly found: string
  /** A command or a step: for everything that is not ok, and for what could be had besides. */
  readonly treatment?: string
}

export const ok = (about: string, found: string): Diagnosis => ({ about, status: "ok", found })
export const warn = (about: string, found: string, treatment: string): Diagnosis => ({ about, status: "warn", found, treatment })
export const fail = (about: string, found: string, treatment: string): Diagnosis => ({ about, status: "fail", found, treatment })
/** Nothing is wrong, and there could be more. */
export const option = (about: string, found: string, treatment: string): Diagnosis => ({ about, status: "ok", found, treatment })
