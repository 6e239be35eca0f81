/** Runs the embedding cases against one `stele` and prints their outcomes as one JSON line. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Case, cases, type Scene, type Stele } from "./embedding.ts"

export interface Outcome {
  readonly title: string
  /** What went wrong; absent when nothing did. */
  readonly problem?: string
}

export const sceneOf = (stele: Stele, folder: string): Scene => ({
  stele,
  path: (guest) => join(folder, `${guest}.wasm`),
  bytes: async (guest) => new Uint8Array(await readFile(join(folder, `${guest}.wasm`))),
})

export async function outcomes(stele: Stele, folder: string, only: ReadonlyArray<Case> = cases): Promise<ReadonlyArray<Outcome>> {
  const scene = sceneOf(stele, folder)
  const done: Array<Outcome> = []
  for (const { title, run } of only) {
    try {
      await run(scene)
      done.push({ title })
    } catch (error) {
      done.push({ title, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }
  return done
}
