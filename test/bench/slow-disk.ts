/**
 * The same writers where the disk, and not the processor, is the bound: a process whose every sync takes longer. Its own syncs a second are
 * measured in that process, in the same way. `node test/bench/slow-disk.ts FOLDER` is that process.
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { openWide, syncsASecond, type Written, write } from "./sqlite-write.ts"

const run = promisify(execFile)
const program = fileURLToPath(import.meta.url)
/** Added to each sync: with what this disk takes, a disk of 600 to 800 syncs a second. */
export const slowSyncUs = 1_100

async function compile(folder: string): Promise<{ readonly library: string } | { readonly why: string }> {
  if (process.platform !== "linux") return { why: "syncs are slowed on Linux" }
  const library = join(folder, "slow-disk.so")
  const source = fileURLToPath(new URL("slow-disk.c", import.meta.url))
  for (const compiler of ["cc", "clang", "gcc"])
    try {
      await run(compiler, ["-O1", "-shared", "-fPIC", "-o", library, source])
      return { library }
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error
    }
  return { why: "there is no C compiler" }
}

/** 64 writers there, or why not. */
export async function slowDisk(folder: string): Promise<(Written & { readonly syncsASecond: number }) | { readonly why: string }> {
  const compiled = await compile(folder)
  if ("why" in compiled) return compiled
  const env = { ...process.env, LD_PRELOAD: compiled.library, STELE_BENCH_SYNC_US: String(slowSyncUs) }
  const { stdout } = await run(process.execPath, [program, folder], { env })
  return JSON.parse(stdout) as Written & { readonly syncsASecond: number }
}

if (process.argv[1] === program) {
  const folder = process.argv[2] as string
  const before = syncsASecond(folder)
  await using store = await openWide(join(folder, "slow.db"))
  await write(store, 64)
  const written = await write(store, 64)
  console.log(JSON.stringify({ ...written, syncsASecond: (before + syncsASecond(folder)) / 2 }))
}
