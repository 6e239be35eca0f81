/**
 * Runs every `*.test.ts` below `test` in parallel processes and ends with one line: `N passed, N failed, N skipped`.
 *
 *     node test/run.ts [--full] [--verbose] [WORD…]
 *
 * Tests are plain programs that print TAP, so a file runs alone with `node FILE`; the runner adds counting, a time
 * limit and an order. Files that have `@long` in their first comment come first where no run has measured them yet.
 * Those with `@alone` measure time, and run one after the other at the end. `--full` sets STELE_TEST_FULL=1, for which
 * tests raise their counts and take a new seed; without it some take a sample of their cases. Both numbers are printed
 * (`test/seed.ts`). Words select files by path. The seconds of a file are followed by those of processors, where the
 * system tells them: its own, and those of the processes that it waited for.
 *
 * In a short run of all files, up to three that failed run once more at the end, each alone: what fails beside other
 * programs on a busy machine and passes by itself is told by name in the last lines, and counted as it was then. A longer
 * list fails, and so does anything that fails twice; `--full` and runs of chosen files give no second try.
 *
 * Tests' temporary folders lie in memory where there is enough of it, which spares them a third of their time: no test
 * can tell whether a disk has synced but that of power losses, which keeps its own record. With `--full` they lie on
 * the disk. What Node compiles is kept for the next process of the run.
 */
import { spawn, spawnSync } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { chmod, glob, mkdir, mkdtemp, readFile, rm, stat, statfs, writeFile } from "node:fs/promises"
import { availableParallelism, freemem, tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

interface Outcome {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly skips: ReadonlyArray<string>
  readonly ms: number
  /** Of processors. */
  readonly busyMs: number | undefined
  /** What to show of a file that failed. */
  readonly report: string
}

const root = fileURLToPath(new URL("..", import.meta.url))
const { values: flags, positionals: words } = parseArgs({ allowPositionals: true, options: { full: { type: "boolean" }, verbose: { type: "boolean" } } })
if (flags.full === true) process.env["STELE_TEST_FULL"] = "1"
// It reads the line above, and tests get from the environment what it found.
const { isFull, replay, sample, seed } = await import("./seed.ts")
const limitMs = isFull ? 3_600_000 : 300_000
/** The tools of both installs come first: tests start Deno, Bun and compilers. The root's before the tests', which have an older Node, too. */
const path = [join(root, "node_modules/.bin"), join(root, "test/node_modules/.bin"), process.env.PATH].join(delimiter)
const durationsPath = join(root, ".cache/test-durations.json")
const compiledPath = join(root, ".cache/compiled")
/** Guests that tests compile by `test/schemas/assemblyscript/build.ts`, kept from one run to the next. */
const guestsPath = join(root, ".cache/guests")
const guestUnusedMsMax = 7 * 86_400_000

/**
 * A test's guests are called a few times, and its compilers once: V8's second compiler takes more processor time than it
 * saves until a function has run for long. Bytes executed; the default is 13,000,000. `stele test` of a project takes 2.0 s
 * of processors with it instead of 2.7 s.
 */
const tieringFlag = "--wasm-tiering-budget=1000000000"

/** Four times what all tests together have been seen to need at once. */
const memoryBytesMin = 6 * 2 ** 30

/** Whether `/dev/shm` has room, and programs that are written there may run: in many containers neither is so. */
async function memoryFolder(): Promise<string | undefined> {
  const path = "/dev/shm"
  const { bavail, bsize } = await statfs(path).catch(() => ({ bavail: 0, bsize: 0 }))
  if (bavail * bsize < memoryBytesMin || freemem() < memoryBytesMin) return undefined
  const folder = await mkdtemp(join(path, "stele-test-"))
  const program = join(folder, "program")
  await writeFile(program, "#!/bin/sh\n", { mode: 0o700 })
  const isRun = spawnSync(program).status === 0
  await rm(isRun ? program : folder, { recursive: true })
  return isRun ? folder : undefined
}

const temporary = (isFull ? undefined : await memoryFolder()) ?? (await mkdtemp(join(tmpdir(), "stele-test-")))
// Others than root's own tests go through it: a server has a user of its own.
await chmod(temporary, 0o755)

/**
 * Counts the tests of one file: the top-level results of its TAP (TAP 14: `ok 3 - title # SKIP why`; subtests are
 * indented). A skip anywhere below counts as one. A file that says nothing, or dies without saying `not ok`, failed.
 */
function count(file: string, tap: string, problem: string | undefined, ms: number, busyMs: number | undefined): Outcome {
  const results = [...tap.matchAll(/^( *)(not )?ok\b(.*)$/gm)].map(([, indent = "", not, text = ""]) => ({
    isTop: indent === "",
    isOk: not === undefined || /# TODO\b/i.test(text),
    skip: /# SKIP\b(.*)/i.exec(text)?.[1]?.trim(),
    title: text.replace(/^ \d+( - )?/, "").replace(/ # .*/, ""),
  }))
  const skipped = results.filter(({ skip }) => skip !== undefined)
  const tops = results.filter(({ isTop, skip }) => isTop && skip === undefined)
  const failed = tops.filter(({ isOk }) => !isOk).length
  const passed = tops.length - failed
  const isSilent = results.length === 0
  const died = problem ?? (isSilent ? "it printed no test result" : undefined)
  return {
    file,
    passed,
    failed: failed === 0 && died !== undefined ? 1 : failed,
    skips: skipped.map(({ title, skip }) => `${file}: ${title}${skip ? ` (${skip})` : ""}`),
    ms,
    busyMs,
    report: died === undefined ? "" : `${died}\n`,
  }
}

/** The part of a TAP stream that explains failures: each `not ok` with its diagnostics. */
function failures(tap: string): string {
  const lines = tap.split("\n")
  const kept: Array<string> = []
  for (let index = 0; index < lines.length; index += 1) {
    const indent = /^( *)not ok\b/.exec(lines[index] as string)?.[1]
    if (indent === undefined) continue
    do kept.push(lines[index] as string)
    while (++index < lines.length && new RegExp(`^${indent}  `).test(lines[index] as string) && kept.length < 400)
    index -= 1
  }
  return kept.join("\n")
}

let countedMs = 0
/** Of processors, by processes that this one has waited for since it was last asked: hundredths of a second in `/proc/self/stat`. */
function takeBusyMs(): number | undefined {
  try {
    const fields = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /, "")
      .split(" ")
    const allMs = (Number(fields[13]) + Number(fields[14])) * 10
    const busyMs = allMs - countedMs
    countedMs = allMs
    return busyMs
  } catch {
    return undefined
  }
}

/** Ends what runs, by test file. */
const running = new Set<() => void>()
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    for (const end of running) end()
    rmSync(temporary, { recursive: true, force: true })
    process.exit(130)
  })

function run(file: string, engineFlags: ReadonlyArray<string> = []): Promise<Outcome> {
  return new Promise((settle) => {
    const started = performance.now()
    // The limit of a file is the limit of its tests too: tap gives each 30 s, and a loaded machine is no failure.
    const env = {
      ...process.env,
      PATH: path,
      STELE_TEST_SEED: String(seed),
      STELE_TEST_SAMPLE: String(sample),
      TMPDIR: temporary,
      NODE_COMPILE_CACHE: compiledPath,
      NO_COLOR: "1",
      FORCE_COLOR: undefined,
      TAP_TIMEOUT: String(limitMs / 1000),
    }
    // A group of its own: what a test that was ended leaves behind ends with it, instead of holding its output open for ever.
    const child = spawn(process.execPath, [...engineFlags, file], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached: true })
    const end = (): void => {
      running.delete(end)
      try {
        process.kill(-(child.pid as number), "SIGKILL")
      } catch {
        // Nothing of it is left.
      }
    }
    running.add(end)
    let busyMs: number | undefined
    child.once("exit", () => {
      busyMs = takeBusyMs()
      end()
    })
    const output: Array<string> = []
    const errors: Array<string> = []
    child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text))
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      end()
    }, limitMs)
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const tap = output.join("")
      const how = isLate
        ? `it did not end within ${limitMs / 1000} s`
        : code === 0
          ? undefined
          : `it ended with ${code === null ? `signal ${signal}` : `exit code ${code}`}`
      const outcome = count(file, tap, how, Math.round(performance.now() - started), busyMs)
      const report = outcome.failed > 0 ? `${outcome.report}${failures(tap)}\n${errors.join("").slice(-8000)}`.trimEnd() : ""
      // What a test tells besides its results: seeds, coverage, counts.
      const told = isFull || flags.verbose === true || outcome.failed > 0 ? (tap.match(/^ *# (?!Subtest|\{|time=).*$/gm) ?? []).map((line) => line.trim()) : []
      settle({ ...outcome, report: [report, ...told].filter((part) => part !== "").join("\n") })
    })
  })
}

const secondsText = (ms: number, busyMs: number | undefined): string =>
  `${(ms / 1000).toFixed(1)} s${busyMs === undefined ? "" : `, ${(busyMs / 1000).toFixed(1)} s of processors`}`

function show({ file, passed, failed, skips, ms, busyMs, report }: Outcome): void {
  console.log(`${failed > 0 ? "not ok" : "ok"} ${file}: ${passed} passed, ${failed} failed, ${skips.length} skipped, ${secondsText(ms, busyMs)}`)
  if (report !== "") console.log(report.replace(/^/gm, "    "))
  for (const skip of skips) console.log(`skipped ${skip}`)
}

const durations = JSON.parse(await readFile(durationsPath, "utf8").catch(() => "{}")) as Record<string, number>
const found = (await Array.fromAsync(glob("test/**/*.test.ts", { cwd: root, exclude: (path) => path.includes("node_modules") }))).map((file) =>
  file.replaceAll("\\", "/"),
)
const files = found.filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
const heads = new Map(await Promise.all(files.map(async (file) => [file, (await readFile(join(root, file), "utf8")).slice(0, 2000)] as const)))
const has = (file: string, tag: string): boolean => heads.get(file)?.includes(tag) === true
// Longest first, so that the last process does not start with the longest file.
const msOf = (file: string): number => durations[file] ?? (has(file, "@long") ? 1e9 : 0)
const byTime = files.sort((a, b) => msOf(b) - msOf(a) || (a < b ? -1 : 1))
const queue = byTime.filter((file) => !has(file, "@alone"))
// Tests compile copies of sources that they have changed, too, and nobody needs those again.
if (words.length === 0) {
  await rm(compiledPath, { recursive: true, force: true })
  for await (const path of glob("*", { cwd: guestsPath }))
    if ((await stat(join(guestsPath, path))).mtimeMs < Date.now() - guestUnusedMsMax) await rm(join(guestsPath, path))
}
const outcomes: Array<Outcome> = []

async function work(pending: Array<string>, engineFlags?: ReadonlyArray<string>): Promise<void> {
  for (let file = pending.shift(); file !== undefined; file = pending.shift()) {
    const outcome = await run(file, engineFlags)
    durations[file] = outcome.ms
    outcomes.push(outcome)
    show(outcome)
  }
}

console.log(isFull ? replay : `${replay} STELE_TEST_SAMPLE=${sample}`)
const startedMs = performance.now()
// One more than there are processors: many wait, for a disk, a server or a lease.
await Promise.all(Array.from({ length: 1 + Math.max(2, availableParallelism()) }, () => work(queue, isFull ? [] : [tieringFlag])))
await work(byTime.filter((file) => has(file, "@alone")))
/** More files than these fail for a reason of their own. */
const againMax = 3
const failedFirst = outcomes.filter(({ failed }) => failed > 0)
const passedAlone: Array<string> = []
if (!isFull && words.length === 0 && failedFirst.length <= againMax)
  for (const first of failedFirst) {
    console.log(`once more, alone: ${first.file}`)
    const second = await run(first.file)
    show(second)
    outcomes[outcomes.indexOf(first)] = second
    if (second.failed === 0) passedAlone.push(first.file)
  }
await rm(temporary, { recursive: true, force: true })

await mkdir(join(root, ".cache"), { recursive: true })
await writeFile(durationsPath, JSON.stringify(durations))
const sum = (part: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + part(outcome), 0)
const failed = sum((outcome) => outcome.failed)
if (files.length === 0) console.log(`No test file matches ${words.join(" ") || "test/**/*.test.ts"}`)
const busyMs = outcomes.some((outcome) => outcome.busyMs !== undefined) ? sum((outcome) => outcome.busyMs ?? 0) : undefined
console.log(`${files.length} files in ${secondsText(performance.now() - startedMs, busyMs)}`)
if (passedAlone.length > 0) console.log(`Failed beside others, passed alone: ${passedAlone.join(", ")}`)
if (failed > 0)
  console.log(
    `Failed with ${replay}: ${outcomes
      .filter((outcome) => outcome.failed > 0)
      .map(({ file }) => file)
      .join(", ")}`,
  )
console.log(`${sum((outcome) => outcome.passed)} passed, ${failed} failed, ${sum((outcome) => outcome.skips.length)} skipped`)
process.exitCode = failed > 0 || files.length === 0 ? 1 : 0
