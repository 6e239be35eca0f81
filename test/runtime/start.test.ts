/**
 * How long the bundled command line takes to start. @alone
 *
 * Budgets on a quiet machine: `--help` 100 ms, `call` on a warm cache 150 ms. What is printed is compared by people; the
 * assertion is ten times that, so that it fails for a bundle that loads what it should not, and not for a busy machine.
 */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import t from "tap"
import { example, stele } from "./command-line.ts"

t.setTimeout(120_000)
const bundle = fileURLToPath(new URL("../../dist/cli.js", import.meta.url))
if (!existsSync(bundle)) t.bailout("dist/cli.js is not built: npm run build")
const call = ["call", example("greeter"), "greet", '{name: "Ada"}', "--grant", "log", "--grant", "kv:read:prices/*"]

/** Median wall-clock time of a process, its own boot included. */
function medianMs(args: ReadonlyArray<string>, program: ReadonlyArray<string>): number {
  const times = Array.from({ length: 7 }, () => {
    const startedMs = performance.now()
    stele(args, { program })
    return performance.now() - startedMs
  })
  return times.toSorted((a, b) => a - b)[3] as number
}

t.test("dist/cli.js starts fast when the cache is warm", async (t) => {
  const program = [process.execPath, bundle]
  const bare = medianMs(["-e", "0"], [process.execPath])
  for (const [what, args, budgetMs] of [
    ["--help", ["--help"], 100],
    ["call", call, 150],
  ] as const) {
    const ms = medianMs(args, program)
    t.comment(`${what}: ${ms.toFixed(0)} ms, of which Node itself ${bare.toFixed(0)} ms; budget ${budgetMs} ms`)
    t.ok(ms < 10 * budgetMs, what)
  }
})
