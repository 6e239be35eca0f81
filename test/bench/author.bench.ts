/** What an author waits for: from a template to a passing test, and from a saved file to its tests' line. */
import { mkdtemp, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Dev, newProject } from "../journey/author-dev.ts"
import { stele } from "../runtime/command-line.ts"
import { figureRow, row, type Row, summarize } from "./measure.ts"

const saves = 30

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-author-"))
  try {
    const rows: Array<Row> = []
    for (const template of ["assemblyscript", "typescript"]) {
      say(`${template}: template to first passing test…`)
      const startedMs = performance.now()
      const project = await newProject(folder, template, "--template", template)
      const tested = stele(["test"], { cwd: project })
      if (tested.code !== 0) throw new Error(tested.stdout + tested.stderr)
      const seconds = (performance.now() - startedMs) / 1_000
      rows.push(figureRow(`${template}: template to first passing test, compilers installed`, "s", seconds, {}, [{ name: "s", ratio: seconds, atMost: 60 }]))
      const { size } = await stat(join(project, `build/${template}.wasm`))
      const target = template === "assemblyscript" ? [{ name: "bytes", ratio: size, atMost: 12_288 }] : []
      rows.push(figureRow(`${template}: the template's component`, "bytes", size, {}, target))
    }
    say("saves…")
    await using dev = new Dev(join(folder, "assemblyscript"))
    await dev.turn()
    const times: Array<number> = []
    for (let i = 0; i < saves + 2; i++) {
      const { ms, turn } = await dev.save("src/plugin.ts", (text) => `${text}// ${i}\n`)
      if (turn.failed !== 0) throw new Error(JSON.stringify(turn))
      if (i >= 2) times.push(ms)
    }
    const sample = summarize(times)
    const targets = [
      { name: "median", ratio: sample.median, atMost: 1_000 },
      { name: "p99", ratio: sample.p99, atMost: 2_000 },
    ]
    rows.push(row("assemblyscript: a saved file to its tests' line, from the third save on", "ms", { ours: sample }, targets, `${saves} saves`))
    return rows
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
