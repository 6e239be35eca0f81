/**
 * The program of a process isolate. Requests come on descriptor 0 and answers go out on 1, and it has no other. It reads and
 * writes them without an event loop, so that a guest's call outside is one write and one read.
 */
import { readSync, writeSync } from "node:fs"
import { serveGuest } from "../../../isolate/guest.ts"
import { Pipe } from "../../../isolate/pipe.ts"
import { platform } from "../platform.ts"

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
export async function serveProcess(): Promise<void> {
  const pipe = new Pipe(
    (into) => patiently(() => readSync(0, into, 0, into.length, null)),
    (bytes) => {
      for (let at = 0; at < bytes.length;) at += patiently(() => writeSync(1, bytes, at, bytes.length - at, null))
    },
  )
  await serveGuest(pipe, platform)
}

await serveProcess()
process.exit(0)
