/**
 * What tools make of a design, kept in a folder of the user's under a digest of what it was made of: the program of a simulator, and the clock that place and
 * route came to. Several processes share the folder without locks: whatever is written appears by `rename`, whole or not at all.
 */
import { createHash } from "node:crypto"
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { ConfigError } from "../../../schemas/error/config.ts"
import { FpgaError } from "../../../schemas/error/fpga.ts"
import { refusalOf } from "../../refusal.ts"
import { type Design, type Parameters, type SourceName, type Sources } from "./design.ts"
import { build, type Tool } from "./tools.ts"
import type { Watch } from "./watch.ts"

/** Drafts that a killed process left behind are removed after this long. */
const staleMs = 3_600_000
/** Things kept of all designs and versions of tools; those that were used last. */
const keptMax = 16
const draftPrefix = "draft-"

export interface Folder {
  readonly path: string
  /** Where tools are looked for. */
  readonly toolPath: string
}

/** With the folders above it. Not `recursive`, which says of a file system that is read-only that something is not there. */
async function makeAll(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "EEXIST") return
    if (code !== "ENOENT" || dirname(path) === path) throw error
    await makeAll(dirname(path))
    await mkdir(path, { mode: 0o700 }).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== "EEXIST") throw again
    })
  }
}

/** Makes the folder: programs in it are run, so nobody else may write there. @throws (rejects) ConfigError `Denied`, `Full` */
async function makeFolder(path: string): Promise<void> {
  await makeAll(path)
  const uid = process.getuid?.()
  const found = await stat(path)
  if (uid !== undefined && (found.uid !== uid || (found.mode & 0o022) !== 0))
    throw new ConfigError("Denied", { path, action: "run programs of", why: "others than this user may write there" })
}

/** Removes drafts that nobody works on any more, and what was unused longest. */
async function prune(path: string): Promise<void> {
  const entries = await Promise.all(
    (await readdir(path)).map(async (name) => ({ name, ms: (await stat(join(path, name)).catch(() => undefined))?.mtimeMs ?? 0 })),
  )
  const drafts = entries.filter(({ name, ms }) => name.startsWith(draftPrefix) && ms < Date.now() - staleMs)
  const kept = entries.filter(({ name }) => !name.startsWith(draftPrefix)).sort((a, b) => b.ms - a.ms)
  for (const { name } of [...drafts, ...kept.slice(keptMax)]) await rm(join(path, name), { recursive: true, force: true })
}

/**
 * The file of this name, made by `make` in a folder of its own where it is not there yet: `make` gives the path of what it made. Of two that make it at once the
 * last one stays, and is the same.
 */
async function kept(folder: Folder, name: string, make: (draft: string) => Promise<string>): Promise<string> {
  const path = join(folder.path, name)
  try {
    await makeFolder(folder.path)
    const now = new Date()
    // The time of its last use; where it cannot be written it is there all the same.
    if ((await stat(path).catch(() => undefined))?.isFile() === true)
      return await utimes(path, now, now).then(
        () => path,
        () => path,
      )
    const draft = await mkdtemp(join(folder.path, draftPrefix))
    try {
      await rename(await make(draft), path)
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
    await prune(folder.path)
    return path
  } catch (error) {
    throw refusalOf(error, folder.path) ?? error
  }
}

/** By what the result depends on. */
function keyOf(design: Design, made: Parameters, files: ReadonlyArray<SourceName>, sources: Sources, tools: ReadonlyArray<Tool>): string {
  const hash = createHash("sha256").update(
    JSON.stringify([design.name, made, process.platform, process.arch, tools.map(({ name, version }) => [name, version])]),
  )
  for (const name of files) hash.update(name).update("\0").update(sources[name]).update("\0")
  return hash.digest("hex").slice(0, 32)
}

async function writeSources(draft: string, files: ReadonlyArray<SourceName>, sources: Sources): Promise<void> {
  await Promise.all(files.map((name) => writeFile(join(draft, name), sources[name])))
}

const each = (parameters: Parameters, write: (name: string, value: number) => string): ReadonlyArray<string> =>
  Object.entries(parameters).map(([name, value]) => write(name, value as number))

/** How a simulator is had: the tools that make it, the first of which names it, and the words by which it runs. */
export interface Simulator {
  readonly tools: ReadonlyArray<Tool>
  readonly files: ReadonlyArray<SourceName>
  readonly extension: string
  make(draft: string, parameters: Parameters): readonly [tool: Tool, args: ReadonlyArray<string>, made: string]
  command(file: string): { readonly file: string; readonly args: ReadonlyArray<string> }
}

export const verilator = (tools: readonly [verilator: Tool, ...others: ReadonlyArray<Tool>]): Simulator => ({
  tools,
  files: ["matcher.v", "results.v", "simulate.cpp"],
  extension: process.platform === "win32" ? ".exe" : ".run",
  make: (draft, parameters) => [
    tools[0],
    [
      ...["--cc", "--exe", "--build", "-j", "2", "-O3", "-Wall", "--x-assign", "fast", "--x-initial", "fast"],
      ...["--top-module", "matcher", "--prefix", "Vmatcher", "--Mdir", "made", "-o", "simulator"],
      ...each(parameters, (name, value) => `-G${name}=${value}`),
      ...["-CFLAGS", each(parameters, (name, value) => `-D${name}=${value}`).join(" "), "-MAKEFLAGS", "OPT_FAST=-O2"],
      ...["matcher.v", "results.v", "simulate.cpp"],
    ],
    join(draft, "made", "simulator"),
  ],
  command: (file) => ({ file, args: [] }),
})

export const iverilog = (tools: readonly [iverilog: Tool, vvp: Tool]): Simulator => ({
  tools,
  files: ["matcher.v", "results.v", "simulate.v"],
  extension: ".vvp",
  make: (draft, parameters) => [
    tools[0],
    [
      "-g2005-sv",
      "-s",
      "simulate",
      ...each(parameters, (name, value) => `-Psimulate.${name}=${value}`),
      "-o",
      "simulator",
      "simulate.v",
      "matcher.v",
      "results.v",
    ],
    join(draft, "simulator"),
  ],
  // Without its prompt, which reads standard input.
  command: (file) => ({ file: tools[1].file, args: ["-n", file] }),
})

/** The command of a simulator, which is built where it is not kept. @throws (rejects) FpgaError `Build`, ConfigError `Denied`, `Full`, AccelerateError */
export async function simulatorOf(
  design: Design,
  simulator: Simulator,
  sources: Sources,
  folder: Folder,
  watch: Watch,
): Promise<ReturnType<Simulator["command"]>> {
  const { files, tools, extension } = simulator
  const name = `${design.name}-${keyOf(design, design.parameters, files, sources, tools)}${extension}`
  const file = await kept(folder, name, async (draft) => {
    await writeSources(draft, files, sources)
    const [tool, args, made] = simulator.make(draft, design.parameters)
    await build(design.name, tool, args, folder.toolPath, draft, watch)
    return made
  })
  return simulator.command(file)
}

/** What place and route came to. */
export interface Placed {
  readonly mhz: number
  readonly part: string
  /** Of the part. */
  readonly cells: { readonly used: number; readonly all: number }
  /** What was placed; fewer slots than the design has where they do not all fit. */
  readonly parameters: Parameters
  readonly tools: ReadonlyArray<string>
}

const placeFiles = ["matcher.v", "results.v", "pins.v"] as const
const clockName = (design: Design, sources: Sources, tools: ReadonlyArray<Tool>): string =>
  `${design.name}-${keyOf(design, design.placed, placeFiles, sources, tools)}.clock.json`

/** What is kept of an earlier measurement. */
export async function placedBefore(design: Design, sources: Sources, tools: ReadonlyArray<Tool>, folder: Folder): Promise<Placed | undefined> {
  const text = await readFile(join(folder.path, clockName(design, sources, tools)), "utf8").catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as Placed)
}

/** The last of what is said by this pattern: before routing there is an estimate. */
const lastOf = (said: string, pattern: RegExp): RegExpMatchArray | undefined => [...said.matchAll(pattern)].at(-1)

/** Places and routes it, which takes up to a minute. @throws (rejects) FpgaError `Build`, ConfigError `Denied`, `Full`, AccelerateError */
export async function place(design: Design, tools: readonly [yosys: Tool, nextpnr: Tool], sources: Sources, folder: Folder, watch: Watch): Promise<Placed> {
  const [yosys, nextpnr] = tools
  const path = await kept(folder, clockName(design, sources, tools), async (draft) => {
    await writeSources(draft, placeFiles, sources)
    const sets = each(design.placed, (name, value) => `-set ${name} ${value}`).join(" ")
    const script = `read_verilog ${placeFiles.join(" ")}; chparam ${sets} pins; synth_ice40 -top pins -device hx -json pins.json`
    await build(design.name, yosys, ["-q", "-p", script], folder.toolPath, draft, watch)
    // The same seed places it the same way.
    const args = ["--hx8k", "--package", "ct256", "--json", "pins.json", "--seed", "1"]
    const said = await build(design.name, nextpnr, args, folder.toolPath, draft, watch)
    const clock = lastOf(said, /Max frequency for clock[^:]*: ([\d.]+) MHz/g)
    const cells = lastOf(said, /ICESTORM_LC:\s*(\d+)\/\s*(\d+)/g)
    if (clock === undefined || cells === undefined)
      throw new FpgaError("Build", { design: design.name, tool: nextpnr.name, detail: "it says no clock and no cells" })
    const placed: Placed = {
      mhz: Number(clock[1]),
      part: "iCE40 HX8K",
      cells: { used: Number(cells[1]), all: Number(cells[2]) },
      parameters: design.placed,
      tools: tools.map(({ version }) => version),
    }
    const made = join(draft, "clock.json")
    await writeFile(made, JSON.stringify(placed))
    return made
  })
  return JSON.parse(await readFile(path, "utf8")) as Placed
}
