/** What a program of WASI is given from outside: `LoadOptions.wasi`, as host functions see it. */
import type { Preopen } from "./descriptor.ts"

/** Bytes of standard input: at most `bytesMax` of them, none where there are none yet, undefined at the end. */
export type PullBytes = (bytesMax: number) => Uint8Array | undefined

export type Terminal = "stdin" | "stdout" | "stderr"

export interface Wasi {
  readonly args: ReadonlyArray<string>
  readonly env: ReadonlyArray<readonly [name: string, value: string]>
  readonly cwd: string | undefined
  readonly stdin: Uint8Array | PullBytes | undefined
  /** Absent: to the plugin's log where `log` is granted, else nowhere. */
  readonly stdout: ((bytes: Uint8Array) => void) | undefined
  readonly stderr: ((bytes: Uint8Array) => void) | undefined
  readonly terminals: ReadonlyArray<Terminal>
  readonly preopens: ReadonlyArray<Preopen>
}

/** Nothing at all: the inert set. */
export const nothing: Wasi = { args: [], env: [], cwd: undefined, stdin: undefined, stdout: undefined, stderr: undefined, terminals: [], preopens: [] }
