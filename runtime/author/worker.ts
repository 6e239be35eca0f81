/** The thread of `tools.ts`: one job at a time, with the project's own compilers. */
import { parentPort } from "node:worker_threads"
import { type AssemblyScriptJob, compileAssemblyScript } from "./language/assemblyscript-job.ts"
import { compileTypeScript, type TypeScriptJob } from "./language/typescript-job.ts"

export type Job = AssemblyScriptJob | TypeScriptJob
export type Answer = { readonly tag: "ok"; readonly bytes: Uint8Array } | { readonly tag: "failed"; readonly detail: string }

const run = (job: Job): Promise<Uint8Array> => (job.language === "typescript" ? compileTypeScript(job) : compileAssemblyScript(job))

parentPort?.on("message", (job: Job) => {
  void run(job).then(
    (bytes) => parentPort?.postMessage({ tag: "ok", bytes } satisfies Answer),
    (error: unknown) => parentPort?.postMessage({ tag: "failed", detail: error instanceof Error ? error.message : String(error) } satisfies Answer),
  )
})
