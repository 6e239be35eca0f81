/**
 * What a run of the tests leaves to chance, and how it is had again. A short run has the same seed and takes the same
 * sample every time, so that one commit has one answer. With `--full` (STELE_TEST_FULL=1) the seed is new in each run,
 * and every case is taken. Names of variables that change it:
 *
 *     STELE_TEST_SEED=N     the seed: what failed with `STELE_TEST_SEED=N` fails with it again
 *     STELE_TEST_SAMPLE=N   which of many cases a short run takes
 *     STELE_TEST_RUNS=N     how many random cases each test has that counts them
 *
 * `test/run.ts` prints seed and sample, and hands them to every file. Properties of fast-check come from `property.ts`,
 * which gives them the seed. When a process is killed, and what processes do that race, stays random (`Math.random`): no
 * seed repeats what a machine does in a millisecond.
 */

const seedMax = 2 ** 31 - 1

/** The variable's integer from 0 to `max`, if it is set. */
function numberOf(name: string, max: number): number | undefined {
  const text = process.env[name]
  if (text === undefined) return undefined
  const number = Number(text)
  if (text.trim() === "" || !Number.isInteger(number) || number < 0 || number > max)
    throw new RangeError(`Cannot read ${name} as an integer from 0 to ${max}: current value is "${text}"`)
  return number
}

/** Whether every case is taken, and counts are those of `--full`. */
export const isFull = process.env["STELE_TEST_FULL"] === "1"

/** From 0 to 2^31 - 1. Tests that draw many worlds take this one and the following. */
export const seed = numberOf("STELE_TEST_SEED", seedMax) ?? (isFull ? Date.now() % seedMax : 1)

/** What to say of a test that a seed repeats: "STELE_TEST_SEED=1". */
export const replay = `STELE_TEST_SEED=${seed}`

/** The same for one case of many, which has a seed of its own. */
export const replayOne = (seed: number): string => `STELE_TEST_SEED=${seed} STELE_TEST_RUNS=1`

const runs = numberOf("STELE_TEST_RUNS", seedMax)

/** How many random cases a test has. */
export const runsOf = (short: number, full = short): number => runs ?? (isFull ? full : short)

/** Where `sampled` begins. */
export const sample = numberOf("STELE_TEST_SAMPLE", seedMax) ?? 1

/** One of `every` cases, in their order. `shift` has two lists of one file begin at different places. */
export const sampled = <A>(all: ReadonlyArray<A>, every: number, shift = 0): ReadonlyArray<A> =>
  isFull ? all : all.filter((_, i) => (i + shift + sample) % every === 0)
