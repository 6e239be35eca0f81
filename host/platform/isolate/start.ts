/** Threads and processes that run guests, on Node, Deno and Bun. */
import { IsolateError } from "../../../schemas/error/isolate.ts"
import type { Isolates } from "../../isolate/link.ts"
import { startProcess } from "./process/start.ts"
import { startWorker } from "./thread/start.ts"

export const isolates: Isolates = {
  start(kind, options) {
    try {
      return kind === "worker" ? startWorker(options) : startProcess(options)
    } catch (error) {
      throw new IsolateError("Start", { isolation: kind, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
    }
  },
}
