/**
 * A generated file (`*.gen.*`) says in its first line how it came about, and is what that command writes today. One that is as
 * it was is not written again: its time says whether what was built from it is stale.
 */
import { stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Check } from "./problem.ts"
import { files, root, run, text } from "./repository.ts"

export const generated: Check = {
  name: "generated",
  async run() {
    const problems: Array<string> = []
    const byCommand = new Map<string, Array<{ readonly file: string; readonly before: string; readonly changedMs: number }>>()
    const changedMsOf = async (file: string): Promise<number> => (await stat(join(root, file))).mtimeMs
    for (const file of (await files()).filter((name) => /\.gen\.\w+$/.test(name))) {
      const before = await text(file)
      const command = /do not edit, run (?:`([^`]+)`|(node [^*]+?))\s*(?:\*\/|-->)?$/i.exec(before.split("\n", 1)[0] as string)
      const said = command?.[1] ?? command?.[2]
      if (said === undefined) problems.push(`${file}:1: Cannot regenerate: the first line does not say "do not edit, run COMMAND"`)
      else byCommand.set(said, [...(byCommand.get(said) ?? []), { file, before, changedMs: await changedMsOf(file) }])
    }
    for (const [command, targets] of byCommand) {
      const { code, stderr } = await run("bash", ["-c", command])
      if (code !== 0) problems.push(`${command}: ${stderr.trim()}`)
      for (const { file, before, changedMs } of targets) {
        const isSame = (await text(file)) === before
        if (isSame && (await changedMsOf(file)) === changedMs) continue
        problems.push(`${file}: Cannot leave it as it is: ${command} writes ${isSame ? "it again, though nothing changed" : "something else"}`)
        if (!isSame) await writeFile(join(root, file), before)
      }
    }
    return problems
  },
}
