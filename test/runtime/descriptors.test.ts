/** No descriptor left: what starts programs, threads and processes, or reads a file, fails with an error of its own, and works again when there are some. */
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { programs } from "./wasi-programs.ts"

t.setTimeout(240_000)
const folder = await mkdtemp(join(tmpdir(), "stele-descriptors-"))
t.teardown(() => rm(folder, { recursive: true }))
const file = join(folder, "hello.wasm")
await writeFile(file, await programs.hello())
const program = fileURLToPath(new URL("descriptors-program.ts", import.meta.url))

interface Said {
  readonly warm: Readonly<Record<string, string>>
  readonly starved: Readonly<Record<string, string>>
  readonly again: Readonly<Record<string, string>>
  readonly leaked: number
}

const starve = (left: number): Promise<Said> =>
  new Promise((resolve, reject) =>
    execFile("sh", ["-c", 'ulimit -n 100; exec "$0" "$@"', process.execPath, program, String(left), file], (error, stdout, stderr) => {
      const line = stdout.trim().split("\n").at(-1) ?? ""
      if (error === null) resolve(JSON.parse(line) as Said)
      else reject(new Error(`${error.message}: ${stdout}${stderr}`))
    }),
  )

for (const left of [0, 3]) {
  t.test(`with ${left} descriptors left`, { skip: process.platform === "win32" && "there is no limit to set" }, async (t) => {
    const { warm, starved, again, leaked } = await starve(left)
    const names = Object.keys(warm)
    t.equal(names.length, 6)
    for (const outcomes of [warm, again]) t.same(outcomes, Object.fromEntries(names.map((name) => [name, "ok"])))
    for (const [name, outcome] of Object.entries(starved)) t.match(outcome, /^(ok|STELE-(AUT-0004|PLG-0013|ISO-000[135]|ENG-000[23]))$/, name)
    if (left === 0) t.ok(names.filter((name) => starved[name] !== "ok").length >= 5, JSON.stringify(starved))
    t.equal(leaked, 0)
  })
}
