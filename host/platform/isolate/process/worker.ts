/**
 * The program of a process isolate. Requests come on descriptor 0 and answers go out on 1, and it has no other. It reads and
 * writes them without an event loop, so that a guest's call outside is one write and one read.
 *
 * It imports no module of the engine's, and nothing waits at its top: so, built, it is a script as well as a module, and can be
 * run from text with what the engine has compiled of it before (`code.ts`).
 */
import { serveGuest } from "../../../isolate/guest.ts"
import { Pipe } from "../../../isolate/pipe.ts"
import { rehearse } from "../../../isolate/rehearse.ts"
import { builtin } from "../../server.ts"
import { platform } from "../platform.ts"

interface Engine {
  readonly Bun?: unknown
  readonly Deno?: { readonly permissions: { querySync(what: { readonly name: string }): { readonly state: string } } }
}

/** Has this engine been given what an isolate must not have? Whoever started it has made a mistake, which no guest may profit from. */
function mayTooMuch(): boolean {
  const { Bun, Deno } = globalThis as Engine
  if (Deno !== undefined) return ["read", "write", "net", "env", "run", "ffi", "sys"].some((name) => Deno.permissions.querySync({ name }).state === "granted")
  // There with the flag alone, whatever its type says.
  const { permission } = process as { readonly permission?: NodeJS.Process["permission"] }
  return Bun === undefined && (permission === undefined || permission.has("fs.write"))
}

const pause = new Int32Array(new SharedArrayBuffer(4))

/** A descriptor that would block is waited for: some engines open theirs that way. */
function patiently(io: () => number): number {
  for (;;) {
    try {
      return io()
    } catch (error) {
      const { code } = error as { readonly code?: unknown }
      if (code === "EOF") return 0
      if (code !== "EAGAIN" && code !== "EINTR") throw error
      Atomics.wait(pause, 0, 0, 0.05)
    }
  }
}

/** Serves one plugin until the parent closes the channel. */
async function serveProcess(): Promise<void> {
  if (mayTooMuch()) throw new Error("Cannot run guests: this process has permissions")
  const { readSync, writeSync } = builtin("node:fs")
  const parent = process.ppid
  const write = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length;) at += patiently(() => writeSync(1, bytes, at, bytes.length - at, null))
  }
  // Where it is to say what has been compiled of it, it serves nobody.
  const { compiled } = globalThis as { readonly compiled?: () => Uint8Array }
  if (compiled !== undefined) {
    await rehearse(platform)
    return write(compiled())
  }
  const pipe = new Pipe(
    (into) => patiently(() => readSync(0, into, 0, into.length, null)),
    write,
    () => process.ppid !== parent,
  )
  return serveGuest(pipe, platform)
}

/** Ends the process. */
export const served: Promise<never> = serveProcess().then(() => process.exit(0))
