/**
 * Loss of power, tried on whatever keeps something in a folder. It takes two things:
 *
 *  * a program to record: it gets a folder to work in and a file to append its acknowledgements to (what it says there
 *    counts from the moment its `write` returns). `record()` runs it with `recorder.c` before its libc.
 *  * a judge: it gets a folder as a loss of power could leave it and the acknowledgements said before, opens it as the
 *    product would, and answers what is wrong, or undefined.
 *
 * `examine()` goes through the trace, stops at many of its steps, and at each writes states that `disk.ts` says are possible
 * there. Everything is chosen by a seed (`STELE_TEST_SEED`). Two runs of a program with threads do not leave the same trace, so what
 * is found is kept: the folder as the judge got it, and the steps that led there.
 *
 * `examine()` judges any program: write a program and a judge, and call `record()` and `examine()` as `power.test.ts` does.
 */
import { execFile } from "node:child_process"
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { lstat, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { type Random, randomFrom } from "../random.ts"
import { Disk, type Fate, type Initial, plainFates, randomFate, type View } from "./disk.ts"
import { type Step, stepsOf, textOfStep } from "./trace.ts"

const run = promisify(execFile)

/** Where states are written: in memory where that is possible, since thousands of them are. */
export const stateFolder = (): string => {
  for (const folder of ["/dev/shm", tmpdir()])
    try {
      accessSync(folder, constants.W_OK)
      return mkdtempSync(join(folder, "stele-power-"))
    } catch {
      // The next one.
    }
  throw new Error("Cannot write states of a disk: no folder for them can be written")
}

/** Compiles the recorder into `folder`; undefined with why, where that is not possible. */
export async function compileRecorder(folder: string): Promise<{ readonly library: string } | { readonly why: string }> {
  if (process.platform !== "linux") return { why: "the recorder is for Linux" }
  const library = join(folder, "recorder.so")
  const source = fileURLToPath(new URL("recorder.c", import.meta.url))
  for (const compiler of ["cc", "clang", "gcc"])
    try {
      await run(compiler, ["-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"])
      return { library }
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error
    }
  return { why: "there is no C compiler" }
}

export interface Recording {
  readonly initial: ReadonlyArray<Initial>
  readonly steps: ReadonlyArray<Step>
  /** How the program ended. */
  readonly exitCode: number
  readonly stderr: string
}

export interface Recorded {
  /** A folder that only this recording uses; `store` in it is the one that the program works in, and may be filled before. */
  readonly folder: string
  readonly library: string
  readonly program: string
  args(store: string, notes: string): ReadonlyArray<string>
  readonly isIgnored: (path: string) => boolean
  /** What runs the program, flags included. Default: this Node. */
  readonly engine?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Fails the nth sync with EIO. */
  readonly failingSync?: number
  /** Exit codes that the program may have. Default: 0. */
  readonly exitCodes?: ReadonlyArray<number>
}

/** Runs the program and returns what it did; throws when the records, all applied, do not give the folder it left. */
export async function record(recorded: Recorded): Promise<Recording> {
  const { folder, library, program, args, isIgnored } = recorded
  const [store, notes, trace] = ["store", "notes", "trace"].map((name) => join(folder, name)) as [string, string, string]
  await mkdir(store, { recursive: true })
  await writeFile(notes, "")
  const initial = await contentOf(store)
  const env = {
    ...process.env,
    NODE_OPTIONS: "",
    ...recorded.env,
    LD_PRELOAD: library,
    // Its calls would pass by the recorder.
    UV_USE_IO_URING: "0",
    STELE_POWER_ROOT: store,
    STELE_POWER_NOTES: notes,
    STELE_POWER_TRACE: trace,
    ...(recorded.failingSync !== undefined && { STELE_POWER_FAILING_SYNC: String(recorded.failingSync) }),
  }
  const [engine = process.execPath, ...flags] = recorded.engine ?? []
  const ended = await run(engine, [...flags, program, ...args(store, notes)], { env, timeout: 120_000, killSignal: "SIGKILL" }).then(
    ({ stderr }) => ({ exitCode: 0, stderr }),
    (error: { readonly code?: number; readonly stderr?: string }) => ({ exitCode: error.code ?? -1, stderr: error.stderr ?? "" }),
  )
  if (!(recorded.exitCodes ?? [0]).includes(ended.exitCode)) throw new Error(`Cannot record "${program}": it ended with ${ended.exitCode}: ${ended.stderr}`)
  const steps = stepsOf(await readFile(trace))
  const disk = new Disk("posix", initial, isIgnored)
  for (const step of steps) disk.take(step)
  const rebuilt = stateFolder()
  try {
    disk.write(rebuilt, plainFates[1] as Fate, randomFrom(0))
    const [is, was] = await Promise.all([contentOf(rebuilt), contentOf(store)])
    const kept = was.filter(({ path }) => !isIgnored(path))
    const differs = [...kept.filter((each) => !is.some((other) => isSame(each, other))), ...is.filter((each) => !kept.some((other) => isSame(each, other)))]
    if (differs.length > 0) throw new Error(`Cannot trust the recorder: it missed what made ${differs.map(({ path }) => `"${path}"`).join(", ")}`)
  } finally {
    await rm(rebuilt, { recursive: true, force: true })
  }
  return { initial, steps, ...ended }
}

const isSame = (a: Initial, b: Initial): boolean =>
  a.path === b.path && (a.data === undefined ? b.data === undefined : b.data !== undefined && Buffer.compare(a.data, b.data) === 0)

/** A folder and everything below it, as the disk's first content. */
async function contentOf(root: string, path = ""): Promise<ReadonlyArray<Initial>> {
  const { ino: inode } = await lstat(join(root, path), { bigint: true })
  const found: Array<Initial> = [{ path, inode }]
  for (const entry of await readdir(join(root, path), { withFileTypes: true })) {
    const below = path === "" ? entry.name : `${path}/${entry.name}`
    if (entry.isDirectory()) found.push(...(await contentOf(root, below)))
    else found.push({ path: below, inode: (await lstat(join(root, below), { bigint: true })).ino, data: await readFile(join(root, below)) })
  }
  return found
}

export interface Found {
  /** Number of the state: with the seed and the trace it is made again. */
  readonly state: number
  /** Steps that the program had done. */
  readonly steps: number
  readonly fate: string
  readonly why: string
  /** Where the state is kept, if it was asked for. */
  readonly kept: string | undefined
}

export interface Report {
  readonly states: number
  /** States that differ from each other. */
  readonly distinct: number
  /** Those in which something could be lost. */
  readonly unsynced: number
  readonly found: Found | undefined
}

export interface Examined {
  readonly recording: Pick<Recording, "initial" | "steps">
  readonly isIgnored: (path: string) => boolean
  readonly states: number
  readonly seed: number
  /** Default "posix", which promises least. */
  readonly view?: View
  /** Steps that are left out, as if the program had not done them: to take a sync away. */
  readonly isLeftOut?: (step: Step) => boolean
  /** Only after these numbers of steps, first and last. Default: all. */
  readonly within?: readonly [first: number, last: number]
  /** Keep what is found, and the steps before it. Default false. */
  readonly isKept?: boolean
  /** What is wrong with a folder, for one who was told `notes`; undefined when nothing is. */
  judge(folder: string, notes: string): Promise<string | undefined> | string | undefined
}

/** Writes states of the disk at many steps of a recording and has each judged; ends with the first that is wrong. */
export async function examine({ recording, isIgnored, states, seed, view = "posix", isLeftOut, within, isKept = false, judge }: Examined): Promise<Report> {
  const { initial } = recording
  const steps = recording.steps.filter((step) => isLeftOut?.(step) !== true)
  const stops = stopsOf(steps, states, randomFrom(seed), within)
  const disk = new Disk(view, initial, isIgnored)
  const folder = stateFolder()
  const known = new Set<string>()
  const counts = { states: 0, distinct: 0, unsynced: 0 }
  let notes = ""
  try {
    for (let at = 0; at <= steps.length; at++) {
      const step = steps[at - 1]
      if (step !== undefined) disk.take(step)
      if (step?.kind === "note") notes += step.text
      for (let left = stops.get(at) ?? 0; left > 0; left--) {
        const state = counts.states++
        // The plain cases take their turns, so that over a trace each comes up at each kind of step.
        const plain = state % 2 === 0 ? plainFates[(state / 2) % plainFates.length] : undefined
        const make = (path: string): { readonly sum: number; readonly fate: Fate } => {
          const random = randomFrom(Math.imul(seed, 31) + state)
          const fate = plain ?? randomFate(random)
          mkdirSync(path)
          return { sum: disk.write(path, fate, random), fate }
        }
        const path = join(folder, String(state))
        const { sum, fate } = make(path)
        if (disk.pending > 0) counts.unsynced++
        // The same bytes after one more acknowledgement are another question.
        known.add(`${sum} ${notes.length}`)
        counts.distinct = known.size
        const why = await judge(path, notes)
        rmSync(path, { recursive: true, force: true })
        if (why === undefined) continue
        let kept: string | undefined
        if (isKept) {
          kept = mkdtempSync(join(tmpdir(), "stele-power-found-"))
          make(join(kept, "state"))
          writeFileSync(join(kept, "steps"), `${storyOf(steps, at).join("\n")}\n`)
        }
        return { ...counts, found: { state, steps: at, fate: fate.name, why, kept } }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return { ...counts, found: undefined }
}

/** Puts what a loss of power after `at` steps could leave into an empty folder; answers what had been said by then. */
export function loseAt(
  { initial, steps }: Pick<Recording, "initial" | "steps">,
  isIgnored: (path: string) => boolean,
  at: number,
  seed: number,
  to: string,
): string {
  const disk = new Disk("posix", initial, isIgnored)
  for (const step of steps.slice(0, at)) disk.take(step)
  const random = randomFrom(seed)
  disk.write(to, randomFate(random), random)
  return steps
    .slice(0, at)
    .map((step) => (step.kind === "note" ? step.text : ""))
    .join("")
}

/** How many states at which number of steps: a third evenly, a third where names change and syncs begin and end, a third after acknowledgements. */
function stopsOf(
  steps: ReadonlyArray<Step>,
  states: number,
  random: Random,
  [first, last]: readonly [first: number, last: number] = [0, steps.length],
): ReadonlyMap<number, number> {
  const everywhere = Array.from({ length: last - first + 1 }, (_, i) => first + i)
  const names = new Set(["create", "folder", "link", "rename", "unlink", "size"])
  // Of many folders made in a row, the ends are enough.
  const isAmid = (at: number): boolean => [at - 1, at, at + 1].every((each) => steps[each]?.kind === "folder")
  const near = everywhere.filter((at) => [at - 2, at - 1, at].some((each) => names.has(steps[each]?.kind ?? "") && !isAmid(each)))
  const said = everywhere.filter((at) => steps[at - 1]?.kind === "note")
  const stops = new Map<number, number>()
  const pools = [everywhere, near, said].filter((pool) => pool.length > 0)
  for (let n = 0; n < states; n++) {
    const pool = pools[n % pools.length] as ReadonlyArray<number>
    const at = pool[random(pool.length)] as number
    stops.set(at, (stops.get(at) ?? 0) + 1)
  }
  return stops
}

/** The steps before `at`, for people. */
function storyOf(steps: ReadonlyArray<Step>, at: number): ReadonlyArray<string> {
  const names = new Map<bigint, string>()
  const lines: Array<string> = []
  for (const step of steps.slice(0, at)) {
    if (step.kind === "create" || step.kind === "folder" || step.kind === "link") names.set(step.inode, step.path)
    lines.push(textOfStep(step, (inode) => names.get(inode) ?? `(${inode})`))
  }
  return lines
}
