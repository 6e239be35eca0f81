/**
 * What a single-file binary carries besides its code: example plugins, the programs of threads, what it was built from.
 * The binary's first lines put it there before anything else runs; in a checkout and in the package there is none of it.
 */

/** What a program was built from, for `stele build-info`. */
export interface BuildInfo {
  readonly version: string
  /** What runs it: `node` or `bun`, and which. */
  readonly engine: { readonly name: string; readonly version: string }
  /** `linux-x64`. */
  readonly target: string
  /** SHA-256 over every source file and setting the build depends on. */
  readonly sources: string
  /** What lies in it besides code. */
  readonly files: ReadonlyArray<{ readonly name: string; readonly bytes: number; readonly sha256: string }>
}

export interface Carried {
  readonly info: BuildInfo
  /** The bytes of one of `info.files`. */
  read(name: string): Uint8Array
  /** What a thread is started from. */
  program(name: string): URL
}

/** The key under which a binary leaves it; `runtime/build/binary.ts` writes the same. */
export const carriedKey = "stele:carried"

export const carried = (): Carried | undefined => (globalThis as { readonly [key: symbol]: unknown })[Symbol.for(carriedKey)] as Carried | undefined
