/** What a program is started with (`LoadOptions.wasi`), in the form that preview 1 hands it out. */
import type { CallContext } from "../../capability/capability.ts"
import type { Wasi } from "../../wasi/given.ts"

export interface Program {
  /** Zero-terminated. */
  readonly args: ReadonlyArray<Uint8Array>
  readonly environ: ReadonlyArray<Uint8Array>
}

const encoder = new TextEncoder()
const zeroEnded = (text: string): Uint8Array => encoder.encode(`${text}\0`)

const programs = new WeakMap<Wasi, Program>()

/** Made once for what a plugin was loaded with, and for each call that brings its own. */
export function programOf({ wasi }: CallContext): Program {
  let program = programs.get(wasi)
  if (program === undefined) {
    program = { args: wasi.args.map(zeroEnded), environ: wasi.env.map(([name, value]) => zeroEnded(`${name}=${value}`)) }
    programs.set(wasi, program)
  }
  return program
}
