/** Nothing of the machine a file was written on stands in it. */
import { homedir, hostname } from "node:os"
import type { Check } from "./problem.ts"
import { files, root, text } from "./repository.ts"

const isText = (file: string) => /\.(ts|mjs|js|json|md|txt|wit|yml|yaml|sh|csv)$|^\.|\.ci\//.test(file)

const folders = /(?<![\w./*-])\/(?:work|root|home|Users)\/[\w.-]+/

/** The first place of a machine that a line names; `own` are the names of this one. */
export const placeIn = (line: string, own: ReadonlyArray<string>): string | undefined => folders.exec(line)?.[0] ?? own.find((name) => line.includes(name))

export const words: Check = {
  name: "words",
  async run() {
    const own = [root.replace(/\/$/, ""), homedir(), hostname()].filter((name) => name.length > 4 && name !== "localhost")
    const problems: Array<string> = []
    for (const file of (await files()).filter(isText)) {
      const lines = (await text(file)).split("\n")
      lines.forEach((line, index) => {
        const found = placeIn(line, own)
        if (found !== undefined) problems.push(`${file}:${index + 1}: Cannot name "${found}": it is a place on one machine`)
      })
    }
    return problems
  },
}
