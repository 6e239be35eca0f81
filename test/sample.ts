/**
 * What a short run takes of many cases: every so many of them, from a place that is another in each run. `--full` takes
 * all. `STELE_TEST_SAMPLE=N` takes what a run took that said `sample N`.
 */

/** Chosen once for a run (`test/run.ts` prints it), or by a file that runs alone. */
export const sample = Number(process.env["STELE_TEST_SAMPLE"] ?? Date.now() % 1_000_000)
const isFull = process.env["STELE_TEST_FULL"] === "1"

/** One of `every` cases, in their order. `shift` has two lists of one file begin at different places. */
export const sampled = <A>(all: ReadonlyArray<A>, every: number, shift = 0): ReadonlyArray<A> =>
  isFull ? all : all.filter((_, i) => (i + shift + sample) % every === 0)
