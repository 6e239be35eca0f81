/** Threads and processes that run guests, on Node, Deno and Bun. */
import { IsolateError } from "../../../schemas/error/isolate.ts"
import type { Isolates } from "../../isolate/link.ts"
import type { CacheStore } from "../platform.ts"
import { Code } from "./process/code.ts"
import { sandbox } from "./process/sandbox.ts"
import { startProcess } from "./process/start.ts"
import { startWorker } from "./thread/start.ts"

const codes = new Map<boolean, Promise<Code>>()

/** What is compiled of the program is kept in memory for all hosts, and on disk for those that keep something there. */
function codeFor(cache: (() => Promise<CacheStore | undefined>) | undefined): Promise<Code> {
  const isOnDisk = cache !== undefined
  let code = codes.get(isOnDisk)
  if (code === undefined) codes.set(isOnDisk, (code = Code.open(cache ?? (async () => undefined))))
  return code
}

/** Tries what the system offers around processes, once in a program. `cache`: where a host keeps what outlives it. */
export async function openIsolates(cache?: () => Promise<CacheStore | undefined>): Promise<Isolates> {
  const [found, code] = await Promise.all([sandbox(), codeFor(cache)])
  return {
    start(kind, options) {
      try {
        return kind === "worker" ? startWorker(options) : startProcess(found, code)
      } catch (error) {
        throw new IsolateError("Start", { isolation: kind, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
      }
    },
    confinement: (kind) => (kind === "worker" ? [] : found.confinement),
  }
}
