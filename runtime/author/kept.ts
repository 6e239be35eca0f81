/**
 * A benchmark's result that later ones are compared with, in `build/bench.json`: figures belong to a machine, so that they lie where what is
 * built lies and not where files are versioned.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { cpus } from "node:os"
import { dirname, join } from "node:path"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Bench, Measured } from "./bench.ts"
import type { Project } from "./project.ts"

const Kept = Schema.Struct({
  format: Schema.Literal(1),
  at: Schema.String,
  machine: Schema.String,
  componentBytes: Schema.Finite,
  loadMs: Schema.Finite,
  exports: Schema.Array(Schema.Struct({ export: Schema.String, medianUs: Schema.Finite, noise: Schema.Finite, fuel: Schema.optionalKey(Schema.String) })),
})
export type Kept = typeof Kept.Type

/** Part of a difference that is never told: rounds of one run tell nothing of how two runs differ. */
const noiseMin = 0.03

export const keptFile = ({ folder }: Pick<Project, "folder">): string => join(folder, "build", "bench.json")

/** Figures of other machines and engines are not compared. */
export const machine = (): string => `${cpus()[0]?.model ?? process.arch}, ${process.release.name} ${process.version}`

/** The result that was kept; undefined where there is none, or none that can be read. */
export async function readKept(project: Pick<Project, "folder">): Promise<Kept | undefined> {
  const text = await readFile(keptFile(project), "utf8").catch(() => "")
  return Option.getOrUndefined(Schema.decodeUnknownOption(Schema.fromJsonString(Kept))(text))
}

/** Keeps a result; what it did not measure stays as `old` has it. */
export async function keep(project: Pick<Project, "folder">, { componentBytes, exports, loadMs }: Bench, old: Kept | undefined): Promise<void> {
  const others = (old?.exports ?? []).filter((one) => exports.every((now) => now.export !== one.export))
  const kept: Kept = {
    format: 1,
    at: new Date().toISOString(),
    machine: machine(),
    componentBytes,
    loadMs,
    exports: [
      ...others,
      ...exports.map(({ export: name, fuel, medianUs, noise }) => ({ export: name, medianUs, noise, ...(fuel === undefined ? {} : { fuel }) })),
    ],
  }
  const file = keptFile(project)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `${JSON.stringify(kept, undefined, 2)}\n`)
}

/** A measured call beside the kept one. */
export interface Compared {
  /** The kept median over that of now: above 1 it is faster now. */
  readonly ratio: number
  readonly isNoise: boolean
  /** Fuel of now over the kept one's, where both are known. */
  readonly fuelRatio?: number
}

export function compare(kept: Kept, now: Measured): Compared | undefined {
  const before = kept.exports.find((one) => one.export === now.export)
  if (before === undefined) return undefined
  const ratio = before.medianUs / now.medianUs
  const fuelRatio = before.fuel === undefined || now.fuel === undefined ? undefined : Number(now.fuel) / Number(before.fuel)
  return {
    ratio,
    isNoise: Math.abs(ratio - 1) <= Math.max(noiseMin, 2 * (now.noise + before.noise)),
    ...(fuelRatio === undefined || !Number.isFinite(fuelRatio) ? {} : { fuelRatio }),
  }
}
