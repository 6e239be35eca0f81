/**
 * `npm run check`: everything that can be said about the repository without running its tests. Prints one line a
 * check, problems below it; exit code 3 when there is one.
 *
 *     node test/check/main.ts [NAME…]
 */
import { docs } from "./docs.ts"
import { format } from "./format.ts"
import { generated } from "./generated.ts"
import { imports } from "./imports.ts"
import type { Check } from "./problem.ts"
import { problemsOf, run } from "./repository.ts"
import { words } from "./words.ts"

const checks: ReadonlyArray<Check> = [
  { name: "types", run: async () => problemsOf(await run("tsc", ["-p", "."])) },
  {
    name: "guest types",
    // AssemblyScript has decorators of functions and constants, which TypeScript (TS1206) has not.
    run: async () => problemsOf(await run("tsc", ["-p", "tsconfig.as.json"])).filter((problem) => !problem.includes("error TS1206:")),
  },
  { name: "lint", run: async () => problemsOf(await run("oxlint", ["--type-aware", "--format=unix"])) },
  format,
  imports,
  generated,
  words,
  docs,
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !checks.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(`Cannot check "${unknown.join(", ")}": the checks are ${checks.map(({ name }) => name).join(", ")}`)
  process.exit(2)
}
let failed = 0
for (const { name, run: check } of checks) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const started = performance.now()
  const problems = await check()
  if (problems.length > 0) failed += 1
  console.log(`${problems.length > 0 ? "not ok" : "ok"} ${name}, ${((performance.now() - started) / 1000).toFixed(1)} s`)
  for (const problem of problems) console.log(problem.replace(/^/gm, "    "))
}
console.log(failed === 0 ? "All checks passed" : `${failed} checks found problems`)
process.exitCode = failed === 0 ? 0 : 3
