/** Whatever else makes components: the manifest's own command, run in the project's folder. */
import { execFile, spawn } from "node:child_process"
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { AuthorError } from "../../../schemas/error/author.ts"
import type { Toolchain } from "./mod.ts"

/** What a compiler says, from its end, that an error carries. */
const detailCharsMax = 8_000
const componentBytesMax = 64 << 20
/** Longest wait for a program to say its version. */
const versionMsMax = 30_000

/** Runs a program without a shell; what it writes is the detail of a failure. */
export function runProgram(
  language: string,
  [program = "", ...words]: ReadonlyArray<string>,
  cwd: string,
  { env, install = `install ${program}, then: stele build` }: { readonly env?: Readonly<Record<string, string>>; readonly install?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ""
    const child = spawn(program, words, { cwd, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } })
    const hear = (bytes: Buffer): void => void (said = (said + bytes.toString("utf8")).slice(-detailCharsMax))
    // Where the system has no descriptor left there are no pipes, and the reason comes as an event all the same.
    const [stdout, stderr] = [child.stdout, child.stderr] as ReadonlyArray<typeof child.stdout | undefined>
    stdout?.on("data", hear)
    stderr?.on("data", hear)
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT"
          ? new AuthorError("Toolchain", { language, missing: `the program "${program}" is not on the PATH`, install })
          : new AuthorError("Build", { language, detail: error.message }),
      ),
    )
    child.on("close", (code, signal) => {
      if (code === 0) resolve(said)
      else reject(new AuthorError("Build", { language, detail: `${said.trimEnd()}\n${program} ended with ${code ?? signal}`.trim() }))
    })
  })
}

/** The first line that a program says, or undefined where there is none, or none that answers in time. */
export const versionOf = (program: string, words: ReadonlyArray<string>): Promise<string | undefined> =>
  new Promise((resolve) =>
    execFile(program, words, { timeout: versionMsMax, windowsHide: true }, (error, stdout, stderr) =>
      resolve(error === null ? (`${stdout}${stderr}`.trim().split("\n")[0] ?? "") : undefined),
    ),
  )

/** What a build left at `file`; `what` names it. */
export async function readOutput(folder: string, file: string, what = "build.output"): Promise<Uint8Array> {
  const path = join(folder, file)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) throw new AuthorError("Missing", { file, what })
  if (found.size > componentBytesMax) throw new AuthorError("Size", { file, limit: componentBytesMax, actual: found.size })
  return new Uint8Array(await readFile(path))
}

export const other: Toolchain = {
  async build({ folder, manifest }) {
    const { command = [], output = "" } = manifest.build ?? {}
    await runProgram(manifest.language, command, folder)
    return readOutput(folder, output)
  },
  needs: async () => [],
}
