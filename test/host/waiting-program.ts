/** The cases of `waiting-cases.ts` on the engine that runs this file: `waiting-program.ts FOLDER`, FOLDER holding the guests. */
import { argv } from "node:process"
import { cases } from "./waiting-cases.ts"

const outcomes: Array<{ readonly title: string; readonly problem?: string }> = []
for (const { title, run } of cases) {
  try {
    await run(argv[2] as string)
    outcomes.push({ title })
  } catch (error) {
    outcomes.push({ title, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}
console.log(JSON.stringify(outcomes))
