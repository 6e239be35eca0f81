/** `node test/check/format.ts --write` formats everything; the check tells what it would change. */
import { fileURLToPath } from "node:url"
import type { Check } from "./problem.ts"
import { problemsOf, run } from "./repository.ts"

export const format: Check = {
  name: "format",
  run: async () => problemsOf(await run("oxfmt", ["--list-different", "."])),
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { code, stdout, stderr } = await run("oxfmt", [process.argv.includes("--write") ? "--write" : "--check", "."])
  console.log(`${stdout}${stderr}`.trim())
  process.exitCode = code
}
