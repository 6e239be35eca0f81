/**
 * Documentation that works: links lead somewhere, and every fenced block whose info string ends in `run` runs.
 *
 * ```` ```ts run ```` blocks run on Node, Deno and Bun as modules of this package, so `import … from "stele"` is the
 * published build; ```` ```sh run ```` blocks run in the repository's root. When a `text` block follows directly, it is
 * what the block prints.
 */
import { mkdir, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Check } from "./problem.ts"
import { type Ended, files, root, run, text } from "./repository.ts"

/** One fenced block of a Markdown file. */
export interface Block {
  readonly line: number
  readonly info: string
  readonly body: string
  /** The text block right after it: the output. */
  readonly output: string | undefined
}

export function blocks(markdown: string): ReadonlyArray<Block> {
  const found: Array<{ readonly line: number; readonly end: number; readonly info: string; readonly body: string }> = []
  const lines = markdown.split("\n")
  for (let index = 0; index < lines.length; index += 1) {
    const [, fence, info] = /^(`{3,})\s*([^`]*)$/.exec(lines[index] as string) ?? []
    if (fence === undefined) continue
    const start = index
    while (++index < lines.length && !(lines[index] as string).startsWith(fence));
    found.push({ line: start + 1, end: index, info: (info ?? "").trim(), body: `${lines.slice(start + 1, index).join("\n")}\n` })
  }
  return found.map(({ line, end, info, body }, index) => {
    const next = found[index + 1]
    const isNext = next?.info === "text" && lines.slice(end + 1, next.line - 1).every((between) => between.trim() === "")
    return { line, info, body, output: isNext ? next.body : undefined }
  })
}

const engines: ReadonlyArray<readonly [command: string, ...args: ReadonlyArray<string>]> = [
  ["node"],
  ["deno", "run", "--allow-all", "--no-check", "--node-modules-dir=manual"],
  ["bun"],
]

async function runBlock(place: string, { info, body, output }: Block): Promise<ReadonlyArray<string>> {
  const language = info.split(" ", 1)[0]
  const differs = (who: string, { code, stdout, stderr }: Ended) =>
    code !== 0
      ? [`${place}: Cannot run with ${who}: exit code ${code}\n${stderr.trim()}`]
      : output !== undefined && stdout.trimEnd() !== output.trimEnd()
        ? [`${place}: Cannot print as shown with ${who}: it printed\n${stdout}`]
        : []
  if (language === "sh") return differs("bash", await run("bash", ["-euc", body]))
  if (language !== "ts") return [`${place}: Cannot run "${info}": only ts and sh blocks run`]
  const folder = join(root, ".cache/docs")
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${place.replaceAll(/[^\w]/g, "-")}.ts`)
  await writeFile(path, body)
  const problems: Array<string> = []
  for (const [command, ...args] of engines) problems.push(...differs(command, await run(command, [...args, path])))
  await rm(path)
  return problems
}

/** Anchors that GitHub makes of headings. */
export const anchors = (markdown: string) =>
  new Set(
    [...markdown.matchAll(/^#+ +(.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  )

async function brokenLinks(file: string, markdown: string): Promise<ReadonlyArray<string>> {
  const problems: Array<string> = []
  const prose = markdown.replaceAll(/^(`{3,})[\s\S]*?^\1/gm, (block) => block.replaceAll(/[^\n]/g, " ")).replaceAll(/`[^`\n]*`/g, "")
  for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    const [, link = ""] = match
    if (/^[a-z]+:/.test(link)) continue
    const [path = "", anchor] = link.split("#")
    const target = path === "" ? file : join(dirname(file), path)
    const place = `${file}:${prose.slice(0, match.index).split("\n").length}`
    const exists = await stat(join(root, target)).then(
      () => true,
      () => false,
    )
    if (!exists) problems.push(`${place}: Cannot follow "${link}": there is no ${target}`)
    else if (anchor !== undefined && target.endsWith(".md") && !anchors(await text(target)).has(anchor))
      problems.push(`${place}: Cannot follow "${link}": there is no such heading`)
  }
  return problems
}

export const docs: Check = {
  name: "docs",
  async run() {
    const problems: Array<string> = []
    for (const file of (await files()).filter((name) => name.endsWith(".md"))) {
      const markdown = await text(file)
      problems.push(...(await brokenLinks(file, markdown)))
      for (const block of blocks(markdown)) if (/\brun$/.test(block.info)) problems.push(...(await runBlock(`${file}:${block.line}`, block)))
    }
    return problems
  },
}
