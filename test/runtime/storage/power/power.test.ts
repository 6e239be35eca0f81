/** Loss of power: see `harness.ts` for how it is tried, `disk.ts` for what is lost. @long */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { existsSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { randomFrom } from "../random.ts"
import { compileRecorder, examine, loseAt, record, type Recorded, type Recording, type Report } from "./harness.ts"
import { database, isIgnored, judgeOf, lastIn, oneTenant } from "./judge.ts"
import { isObjectIgnored, objectJudgeOf, objectsFolder } from "./object-judge.ts"
import type { Step } from "./trace.ts"
import { isFull, replay, seed } from "../../../seed.ts"

t.setTimeout(900_000)
t.comment(`${replay} replays`)
const folder = await mkdtemp(join(tmpdir(), "stele-power-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const compiled = await compileRecorder(folder)
const skip = "why" in compiled ? compiled.why : false
const library = "why" in compiled ? "" : compiled.library
const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
let recordings = 0
const newFolder = async (): Promise<string> => {
  const path = join(folder, String(recordings++))
  await mkdir(join(path, "store"), { recursive: true })
  return path
}
const tell = ({ states, distinct, unsynced }: Report): string => `${states} states, ${distinct} distinct, something unsynced in ${unsynced}`

/** Records the store's program over the batches `from` to `from + count - 1`, with a process for each tenant. */
async function recordStore(
  count: number,
  more: Partial<Recorded> & { readonly from?: number; readonly tenants?: ReadonlyArray<string> } = {},
): Promise<Recording> {
  const { from = 0, tenants = [oneTenant], ...rest } = more
  const args = (store: string, notes: string) => [join(store, database), notes, seed, from, count, tenants.join()].map(String)
  return record({ folder: await newFolder(), library, program: fileOf("program.ts"), args, isIgnored, ...rest })
}

const mutated = (name: string): Partial<Recorded> => ({
  env: { NODE_OPTIONS: `--import=${new URL("mutate.mjs", import.meta.url)}`, STELE_POWER_MUTATION: name },
})

t.test("the SQLite store keeps what it acknowledged, and nothing half, whatever a loss of power leaves", { skip }, async (t) => {
  // Long enough that the log is folded into the database while writers go on: 1,000 pages.
  const count = isFull ? 600 : 150
  const recording = await recordStore(count)
  const judge = judgeOf(seed, count)
  const checked = await examine({ recording, isIgnored, states: isFull ? 5_000 : 260, seed, isKept: true, judge })
  t.equal(checked.found, undefined)
  t.ok(checked.distinct >= (isFull ? 3_000 : 200), tell(checked))
  t.comment(`${recording.steps.length} steps; ${tell(checked)}`)
  const journaled = await examine({ recording, isIgnored, states: isFull ? 1_000 : 40, seed, view: "ext4", isKept: true, judge })
  t.equal(journaled.found, undefined)

  // The same trace without the syncs of some files: each of them is needed.
  const made = (name: string): ReadonlySet<bigint> =>
    new Set(recording.steps.flatMap((step) => (step.kind === "create" && step.path === name ? [step.inode] : [])))
  const root = recording.initial[0]?.inode as bigint
  const opened = recording.steps.findIndex(({ kind }) => kind === "note")
  for (const [whose, inodes, from] of [
    ["the folder's", new Set([root]), 0],
    ["the database's", made(database), 0],
    // Each time the log has been folded into it, and starts again.
    ["the database's later", made(database), opened],
    ["the log's", made(`${database}-wal`), 0],
    ["the log's later", made(`${database}-wal`), opened],
  ] as const) {
    const later = new Set(recording.steps.slice(from))
    const isLeftOut = (step: Step): boolean => step.kind === "synced" && inodes.has(step.inode) && later.has(step)
    const { found } = await examine({ recording, isIgnored, states: 600, seed, judge, isLeftOut })
    t.type(found?.why, "string", `without ${whose} syncs`)
    t.comment(`without ${whose} syncs, state ${found?.state}: ${found?.why}`)
  }
})

for (const name of ["synchronous=OFF", "synchronous=NORMAL", "mark before COMMIT", "refused batch not undone"])
  t.test(`the store is found out with ${name}`, { skip }, async (t) => {
    const count = 60
    const recording = await recordStore(count, mutated(name))
    const { found } = await examine({ recording, isIgnored, states: 500, seed, judge: judgeOf(seed, count) })
    t.type(found?.why, "string")
    t.comment(`state ${found?.state}: ${found?.why}`)
  })

t.test("two processes that write one file keep what each acknowledged", { skip }, async (t) => {
  const count = isFull ? 250 : 40
  const tenants = ["ada", "bob"]
  const recording = await recordStore(count, { tenants })
  const report = await examine({ recording, isIgnored, states: isFull ? 2_000 : 60, seed, isKept: true, judge: judgeOf(seed, count, tenants) })
  t.equal(report.found, undefined)
  t.comment(tell(report))
})

t.test("the store keeps what it acknowledged on Deno, which has a SQLite of its own", { skip }, async (t) => {
  const count = isFull ? 250 : 40
  const engine = [fileOf("../../../node_modules/.bin/deno"), "run", "--no-prompt", "--allow-all"]
  const recording = await recordStore(count, { engine })
  const report = await examine({ recording, isIgnored, states: isFull ? 2_000 : 60, seed, isKept: true, judge: judgeOf(seed, count) })
  t.equal(report.found, undefined)
  t.comment(tell(report))
})

t.test("the store survives a second loss of power while it recovers from the first", { skip }, async (t) => {
  const count = 80
  const first = await recordStore(count)
  const random = randomFrom(seed)
  const syncs = first.steps.flatMap(({ kind }, at) => (kind === "sync" || kind === "write" ? [at] : []))
  let states = 0
  for (let round = 0; round < (isFull ? 20 : 2); round++) {
    const own = await newFolder()
    const said = loseAt(first, isIgnored, syncs[random(syncs.length)] as number, seed + round, join(own, "store"))
    // What the first recovery finds is where the second program goes on; it was acknowledged to it by being read.
    const last = lastIn(join(own, "store"))
    const again = await recordStore(40, { folder: own, from: last + 1 })
    const judge = judgeOf(seed, last + 41)
    const report = await examine({
      recording: again,
      isIgnored,
      states: isFull ? 200 : 30,
      seed: seed + round,
      isKept: true,
      judge: (path, notes) => judge(path, said + notes),
    })
    t.equal(report.found, undefined)
    states += report.states
  }
  t.comment(`${states} states`)
})

t.test("a sync that fails ends acknowledgements, and recovery keeps all those before", { skip }, async (t) => {
  const count = 40
  const random = randomFrom(seed)
  const judge = judgeOf(seed, count)
  // Those of the folder first: SQLite itself passes over their errors.
  const usual = await recordStore(count)
  const root = usual.initial[0]?.inode
  const ofFolder = usual.steps.filter(({ kind }) => kind === "sync").flatMap((step, i) => ("inode" in step && step.inode === root ? [i + 1] : []))
  t.ok(ofFolder.length >= 4, `${ofFolder.length} syncs of the folder`)
  const byChance = Array.from({ length: isFull ? 40 : 1 }, () => 1 + random(40))
  for (const failingSync of [...(isFull ? ofFolder : ofFolder.slice(1, 3)), ...byChance]) {
    const own = await newFolder()
    const recording = await recordStore(count, { folder: own, failingSync, exitCodes: [0, 1, 3] })
    const notes = await readFile(join(own, "notes"), "utf8")
    const report = await examine({ recording, isIgnored, states: isFull ? 100 : 20, seed: seed + failingSync, isKept: true, judge })
    t.equal(report.found, undefined, `sync ${failingSync} fails`)
    t.equal(judge(join(own, "store"), notes), undefined, `sync ${failingSync} fails, power stays`)
  }
  // SQLite's own, with the first bytes of the log, where the store does not sync the folder itself.
  const recording = await recordStore(count, { ...mutated("folder left to SQLite"), failingSync: ofFolder[1] as number, exitCodes: [0, 1, 3] })
  t.match((await examine({ recording, isIgnored, states: 300, seed, judge })).found?.why, /acknowledged|malformed/)
})

const file = (path: string, notes: string): string | undefined => {
  const acknowledged = Number(notes.trimEnd().split("\n").at(-1) || 0)
  const whole = join(path, "below/file")
  if (!existsSync(whole)) return acknowledged === 0 ? undefined : "it is missing"
  const text = readFileSync(whole, "latin1")
  const n = Number(text[0])
  if (text !== String(n).repeat(3_000)) return "it is half"
  return n < acknowledged ? `it is ${n}, and ${acknowledged} was acknowledged` : undefined
}

t.test("objects in a folder are all there, and none half, whatever a loss of power leaves", { skip }, async (t) => {
  const count = isFull ? 60 : 14
  const args = (store: string, notes: string) => [join(store, objectsFolder), notes, seed, count].map(String)
  const recording = await record({ folder: await newFolder(), library, program: fileOf("object-program.ts"), args, isIgnored: isObjectIgnored })
  const judge = objectJudgeOf(seed, count)
  const report = await examine({ recording, isIgnored: isObjectIgnored, states: isFull ? 600 : 16, seed, isKept: true, judge })
  t.equal(report.found, undefined)
  t.comment(tell(report))
  // What is left of a first opening must not look like somebody else's folder.
  const made = recording.steps.findIndex((step) => step.kind === "create" && step.path === `${objectsFolder}/catalogue.db`)
  const opening = await examine({ recording, isIgnored: isObjectIgnored, states: isFull ? 200 : 16, seed, within: [made, made + 7], isKept: true, judge })
  t.equal(opening.found, undefined)
  const done = recording.steps.findIndex((step) => step.kind === "note" && step.text.startsWith("done"))
  const later = new Set(recording.steps.slice(recording.steps.findIndex(({ kind }) => kind === "note")))
  const isLeftOut = (step: Step): boolean => step.kind === "synced" && later.has(step)
  const without = await examine({ recording, isIgnored: isObjectIgnored, states: 20, seed, within: [done - 2, done + 10], judge, isLeftOut })
  t.type(without.found?.why, "string", "without syncs")
})

for (const [how, wanted] of [
  ["right", undefined],
  ["file not synced", /half/],
  ["folder not synced", /missing|acknowledged/],
  ["new folder not synced", /missing/],
  ["in place", /half/],
] as const)
  t.test(`\`examine()\` finds ${wanted === undefined ? "nothing" : "out"} when a file is replaced: ${how}`, { skip }, async (t) => {
    const recording = await record({
      folder: await newFolder(),
      library,
      program: fileOf("file-program.ts"),
      args: (store, notes) => [store, notes, how],
      isIgnored: () => false,
    })
    const { found } = await examine({ recording, isIgnored: () => false, states: 300, seed, judge: file })
    if (wanted === undefined) t.equal(found, undefined)
    else t.match(found?.why, wanted)
  })
