/** The cases of `async-cases.ts` on the engine that runs this file: `async-program.ts FOLDER [plain]`, FOLDER holding the guests; `plain` as on an engine that cannot suspend. */
import { argv } from "node:process"

const isPlain = argv[3] === "plain"
// Before anything of the host is loaded, which looks once.
if (isPlain) delete (WebAssembly as { Suspending?: unknown }).Suspending
const { cases, refusals } = await import("./async-cases.ts")

const outcomes: Array<{ readonly title: string; readonly problem?: string }> = []
for (const { title, run } of isPlain ? [...cases.filter(({ suspends }) => suspends !== true), ...refusals] : cases) {
  try {
    await run(argv[2] as string)
    outcomes.push({ title })
  } catch (error) {
    outcomes.push({ title, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}
console.log(JSON.stringify(outcomes))
