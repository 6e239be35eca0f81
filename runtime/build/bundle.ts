/** What the published package and the single-file programs are bundled with. */
import { relative } from "node:path"
import { fileURLToPath } from "node:url"
import { build, type InputOptions, type OutputOptions, type Plugin } from "rolldown"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** Threads and processes, by the file that starts each: it starts from a file of its own, which lies beside it in a checkout. */
export const workers = {
  "runtime/storage/sqlite/store.ts": "sqlite-worker",
  "runtime/storage/folder/thread.ts": "folder-worker",
  "runtime/storage/tenants/store.ts": "tenants-worker",
  "runtime/storage/postgres/store.ts": "postgres-worker",
  "runtime/storage/pglite/store.ts": "pglite-worker",
  "runtime/network/network.ts": "network-worker",
  "runtime/author/tools.ts": "author-worker",
  "host/platform/isolate/thread/start.ts": "isolate-worker",
  "host/platform/isolate/process/command.ts": "isolate-process",
} as const

/** Writes the address of each thread's file anew: a bundle has it elsewhere than a checkout. `address` gives the expression. */
export const placeWorkers = (address: (name: string) => string): Plugin => ({
  name: "place-workers",
  transform(code, id) {
    const name = workers[relative(root, id) as keyof typeof workers]
    if (name === undefined) return null
    const moved = code.replace('new URL("./worker.ts", import.meta.url)', address(name))
    if (moved === code) throw new Error(`Cannot place ${name}: its address is not where it was`)
    return moved
  },
})

/**
 * Names of functions and classes stay, for stack traces, and lines, since Node prints the whole line that threw
 * before an error that nobody caught: 260 KB on one line, of which a pipe took 64 KiB and the error itself was lost.
 */
export const minify = { mangle: { keepNames: true }, compress: true, codegen: { removeWhitespace: false } } as const

export async function bundleInto(folder: string, input: InputOptions, output: OutputOptions): Promise<void> {
  // Modules that one entry needs at once and another later are meant; scripts have no name for others to see.
  const checks = { ineffectiveDynamicImport: false, missingNameOptionForIifeExport: false }
  await build({ cwd: root, platform: "neutral", treeshake: true, checks, ...input, output: { dir: folder, format: "esm", ...output } })
}
