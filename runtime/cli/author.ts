/** What the commands of a plugin's author do. */
import { basename, relative } from "node:path"
import { AuthorError, type Problem } from "../../schemas/error/author.ts"
import { escapeText } from "../../host/port/log.ts"
import { build } from "../author/build.ts"
import { check } from "../author/check.ts"
import { fuzz } from "../author/fuzz.ts"
import { newProject } from "../author/new.ts"
import { openProject, type Project, projectFolders } from "../author/project.ts"
import { type Outcome, readTests, runTest } from "../author/test.ts"
import { openTools, type Tools } from "../author/tools.ts"
import { unitFiles } from "../author/language/unit.ts"
import { openUnits, runUnits } from "../author/unit.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { quote } from "../../schemas/value/form.ts"
import { bytesText, parseCount, parseDuration, timeText } from "./quantity.ts"
import { errorJson, errorLines } from "./report.ts"
import { columns, err, noteLine, out, type Palette, printLine, withProgress } from "./terminal.ts"

export interface ProjectFlags {
  readonly project?: string | undefined
  readonly json: boolean
}

/** The project that a command works on: the named one, or the one that the current folder is in. */
export const projectOf = ({ project }: ProjectFlags): Promise<Project> => openProject(project ?? process.cwd(), project !== undefined)

/** A problem as people see it: place, sentence, the line and a caret under it. */
export function problemLines({ file, line, column, message, excerpt, fix }: Problem, colours: Palette): ReadonlyArray<string> {
  return [
    `${colours.bold(`${escapeText(file)}:${line}:${column}`)} ${escapeText(message)}`,
    ...excerpt.split("\n").map((shown) => colours.dim(shown)),
    ...(fix === undefined ? [] : [`  ${colours.blue("=")} ${escapeText(fix)}`]),
  ]
}

/** Errors whose places were shown. */
const shown = new WeakSet<Error>()

/** Shows the places of a file's problems, once. */
export function showPlaces(error: unknown): void {
  if (!(error instanceof AuthorError) || error.reason._tag !== "File" || shown.has(error)) return
  shown.add(error)
  for (const problem of error.reason.problems) for (const line of problemLines(problem, err)) noteLine(line)
}

/** Shows the places of a file's problems before the error itself is shown. */
export async function withPlaces<A>(json: boolean, work: () => Promise<A>): Promise<A> {
  try {
    return await work()
  } catch (error) {
    if (!json) showPlaces(error)
    throw error
  }
}

export const buildCommand = (flags: ProjectFlags): Promise<void> =>
  withPlaces(flags.json, async () => {
    const project = await projectOf(flags)
    await using tools = openTools()
    const startedMs = performance.now()
    const bytes = await withProgress(`Building ${project.manifest.name}`, flags.json, () => build(project, tools))
    const tookMs = performance.now() - startedMs
    if (flags.json) printLine(JSON.stringify({ component: project.component, bytes: bytes.length, ms: Math.round(tookMs) }))
    else printLine(`${out.green("built")} ${project.component} ${out.dim(`${bytesText(bytes.length)}, ${timeText(tookMs * 1e6)}`)}`)
  })

export interface CheckFlags extends ProjectFlags {
  readonly seed?: string | undefined
}

const marks = { pass: out.green("pass"), warn: out.yellow("warn"), fail: out.red("FAIL") } as const

export const checkCommand = (flags: CheckFlags): Promise<void> =>
  withPlaces(flags.json, async () => {
    const project = await projectOf(flags)
    const tests = await readTests(project)
    await using tools = openTools()
    const component = await withProgress(`Building ${project.manifest.name}`, flags.json, () => build(project, tools))
    const units = await withProgress("Building tests", flags.json, () => openUnits(project, tools))
    const seed = seedOf(flags.seed)
    const { verdicts, asked, used } = await withProgress(`Checking ${project.manifest.name}`, flags.json, () =>
      check({ project, component, tests, units, seed }),
    )
    const failed = verdicts.filter(({ verdict }) => verdict === "fail").length
    if (flags.json) printLine(JSON.stringify({ passed: failed === 0, verdicts, capabilities: { asked, used } }))
    else {
      const width = Math.max(...verdicts.map(({ about }) => about.length))
      for (const { about, verdict, reason, fix } of verdicts) {
        printLine(`${marks[verdict]} ${about.padEnd(width)}  ${escapeText(reason)}`)
        if (fix !== undefined) printLine(`     ${" ".repeat(width)}  ${out.dim(`→ ${escapeText(fix)}`)}`)
      }
    }
    if (failed > 0) throw new AuthorError("CheckFailed", { failed })
  })

export interface NewFlags {
  readonly folder: string
  readonly template: string
  readonly namespace: string
  readonly json: boolean
}

export async function newCommand(flags: NewFlags): Promise<void> {
  const { folder, name, files } = await newProject(flags)
  if (flags.json) return printLine(JSON.stringify({ folder, name, template: flags.template, files }))
  const shown = relative(process.cwd(), folder)
  printLine(`${out.green("made")} ${shown} ${out.dim(`${files.length} files, ${flags.template}`)}`)
  const install = files.includes("package.json") ? " && npm install" : ""
  printLine(`\nNext:\n  cd ${shown}${install} && stele test`)
}

export interface TestFlags extends ProjectFlags {
  readonly all?: boolean | undefined
  readonly only?: string | undefined
  readonly fuzz?: string | undefined
  readonly seed?: string | undefined
  readonly replay?: string | undefined
}

export function outcomeLines({ file, line, name, passed, problems, log }: Outcome): ReadonlyArray<string> {
  if (passed) return [`${out.green("pass")} ${escapeText(name)}`]
  return [
    `${out.red("FAIL")} ${escapeText(name)} ${out.dim(`${escapeText(file)}:${line}`)}`,
    ...problems.map((problem) => `     ${problem}`),
    ...log.map((record) => out.dim(`     log: ${record}`)),
  ]
}

const seedOf = (text: string | undefined): number =>
  text === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(parseCount("--seed", text) % (1n << 32n))

/** `SEED.CASE` in its parts. */
function parseReplay(text: string): { readonly seed: number; readonly only: number } {
  const parts = /^(\d{1,10})\.(\d{1,9})$/.exec(text)
  if (parts === null) throw new ConfigError("Option", { option: "--replay", expected: "SEED.CASE, as --fuzz printed it", actual: quote(text) })
  return { seed: Number(parts[1]), only: Number(parts[2]) }
}

async function fuzzCommand(project: Project, { fuzz: time, seed: given, replay, only: text, json }: TestFlags): Promise<void> {
  if (text !== undefined) throw new ConfigError("Usage", { detail: "--only picks tests", advice: "leave it out: --fuzz and --replay run none" })
  const { seed, only } = replay === undefined ? { seed: seedOf(given), only: undefined } : parseReplay(replay)
  const ms = time === undefined ? 0 : parseDuration("--fuzz", time)
  await using tools = openTools()
  const component = await withProgress(`Building ${project.manifest.name}`, json, () => build(project, tools))
  const found = await fuzz(component, project, { seed, ms, only })
  if (json) printLine(JSON.stringify(found))
  else {
    for (const { export: name, arguments: args, code, message, replay: again } of found.findings) {
      printLine(`${out.red("FOUND")} ${name} ${escapeText(`${code}: ${message}`)}`)
      printLine(`      as a test: ${escapeText(JSON.stringify({ call: name, arguments: args, error: code }))}`)
      printLine(out.dim(`      again: stele test --replay ${again}`))
    }
    for (const name of found.skipped) printLine(out.dim(`left out ${name}: it takes handles or streams`))
    printLine(`${found.cases} ${found.cases === 1 ? "call" : "calls"}, ${found.findings.length} found ${out.dim(`seed ${found.seed}`)}`)
  }
  if (found.findings.length > 0) throw new AuthorError("Found", { findings: found.findings.length })
}

/** Builds one project and runs its tests, each told as it ends. */
async function testProject(project: Project, tools: Tools, { json, only }: TestFlags): Promise<ReadonlyArray<Outcome>> {
  // Tests that cannot be read need no build to say so.
  const isMeant = ({ name, file }: { readonly name: string; readonly file: string }): boolean =>
    only === undefined || name.includes(only) || file.includes(only)
  const all = await readTests(project)
  if (all.length === 0 && (await unitFiles(project)).length === 0) throw new AuthorError("NoTests", { folder: project.folder })
  const component = await withProgress(`Building ${project.manifest.name}`, json, () => build(project, tools))
  const units = await withProgress("Building tests", json, () => openUnits(project, tools, isMeant))
  const outcomes: Array<Outcome> = []
  const note = (outcome: Outcome): void => {
    outcomes.push(outcome)
    if (!json) for (const line of outcomeLines(outcome)) printLine(line)
  }
  for (const test of all.filter(isMeant)) note(await runTest(component, project, test))
  for await (const outcome of runUnits(project, units)) note(outcome)
  return outcomes
}

/** A misspelt --only must not look like success. */
function checkMeant({ only }: TestFlags, ran: number): void {
  if (only !== undefined && ran === 0)
    throw new ConfigError("Option", { option: "--only", expected: "text in the name or the file of a test", actual: quote(only) })
}

const failedOf = (outcomes: ReadonlyArray<Outcome>): number => outcomes.filter(({ passed }) => !passed).length

const outcomesJson = (outcomes: ReadonlyArray<Outcome>) => ({
  passed: outcomes.length - failedOf(outcomes),
  failed: failedOf(outcomes),
  tests: outcomes.map(({ usage, ...outcome }) => ({ ...outcome, wallNs: usage?.wallNs, hostCalls: usage?.hostCalls })),
})

/** Every project of a folder: a failure of one keeps no other from being tested. */
async function testAll(flags: TestFlags): Promise<void> {
  const { json } = flags
  if (flags.fuzz !== undefined || flags.replay !== undefined)
    throw new ConfigError("Usage", { detail: "--all runs tests", advice: "leave out --fuzz and --replay, or name one plugin with --project" })
  const folders = await projectFolders(flags.project ?? process.cwd())
  await using tools = openTools()
  const startedMs = performance.now()
  const total = { passed: 0, failed: 0, leftOut: 0 }
  for (const folder of folders) {
    const name = basename(folder)
    if (!json) printLine(out.bold(escapeText(name)))
    try {
      const outcomes = await withPlaces(json, async () => testProject(await openProject(folder, flags.project !== undefined), tools, flags))
      const told = outcomesJson(outcomes)
      if (json) printLine(JSON.stringify({ project: name, ...told }))
      total.passed += told.passed
      total.failed += told.failed
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      const isLeftOut = error instanceof AuthorError && error.reason._tag === "Toolchain"
      total[isLeftOut ? "leftOut" : "failed"]++
      if (json) printLine(JSON.stringify({ project: name, ...(isLeftOut ? { leftOut: true } : { passed: 0, failed: 1 }), ...errorJson(error) }))
      else if (isLeftOut) printLine(`${out.yellow("left out")} ${escapeText(error.message)} ${out.dim(`→ ${escapeText(error.fix)}`)}`)
      else {
        printLine(out.red("FAIL"))
        for (const line of errorLines(error, out, columns(process.stdout))) printLine(`     ${line}`)
      }
    }
  }
  const { passed, failed, leftOut } = total
  const rest = leftOut === 0 ? "" : `, ${leftOut} left out`
  if (!json)
    printLine(`${folders.length} plugins, ${passed} passed, ${failed} failed${rest} ${out.dim(`in ${timeText((performance.now() - startedMs) * 1e6)}`)}`)
  if (failed > 0) throw new AuthorError("TestsFailed", { failed, of: passed + failed })
  // One that is left out has tests that nobody has read.
  if (leftOut === 0) checkMeant(flags, passed)
}

export const testCommand = (flags: TestFlags): Promise<void> =>
  withPlaces(flags.json, async () => {
    if (flags.all === true) return testAll(flags)
    const project = await projectOf(flags)
    if (flags.fuzz !== undefined || flags.replay !== undefined) return fuzzCommand(project, flags)
    await using tools = openTools()
    const startedMs = performance.now()
    const outcomes = await testProject(project, tools, flags)
    checkMeant(flags, outcomes.length)
    const failed = failedOf(outcomes)
    if (flags.json) printLine(JSON.stringify(outcomesJson(outcomes)))
    else printLine(`${outcomes.length - failed} passed, ${failed} failed ${out.dim(`in ${timeText((performance.now() - startedMs) * 1e6)}`)}`)
    if (failed > 0) throw new AuthorError("TestsFailed", { failed, of: outcomes.length })
  })
