/** The files that checks look at, and how programs are run on them. */
import { spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

const bins = [join(root, "node_modules/.bin"), join(root, "test/node_modules/.bin")]

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program with the tools of both installs first on the path; never rejects. */
export function run(command: string, args: ReadonlyArray<string>, cwd = root): Promise<Ended> {
  return new Promise((settle) => {
    const env = { ...process.env, PATH: [...bins, process.env.PATH].join(delimiter), NO_COLOR: "1" }
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.on("error", (error) => settle({ code: 127, stdout, stderr: stderr + error.message }))
    child.on("close", (code) => settle({ code: code ?? 1, stdout, stderr }))
  })
}

/** Every file that is or will be committed: tracked and not ignored, still there. */
export async function files(): Promise<ReadonlyArray<string>> {
  const { code, stdout, stderr } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
  if (code !== 0) throw new Error(`Cannot list the repository's files: ${stderr}`)
  const listed = stdout.split("\0").filter((file) => file !== "")
  const texts = await Promise.all(
    listed.map((file) =>
      readFile(join(root, file)).then(
        () => true,
        () => false,
      ),
    ),
  )
  return listed.filter((_, index) => texts[index])
}

export const text = (file: string): Promise<string> => readFile(join(root, file), "utf8")

/** The lines of a program's output as problems, if it failed. */
export const problemsOf = ({ code, stdout, stderr }: Ended): ReadonlyArray<string> => (code === 0 ? [] : [`${stdout}\n${stderr}`.trim() || `exit code ${code}`])
