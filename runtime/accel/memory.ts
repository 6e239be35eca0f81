/** What was measured of devices, from one process to the next: `accelerator.json` in the user's data folder. Losing it costs a measurement, so nothing about it fails a run. */
import type { Remembered } from "../../kernels/accelerate/core.ts"
import { makeDataFolder } from "../storage/default.ts"

const { readFileSync, renameSync, rmSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

/** Devices that are remembered, those written last. */
const devicesMax = 32

interface File {
  readonly version: 1
  readonly devices: Readonly<Record<string, Remembered>>
}

const isFinite = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value) && value >= 0

/** Whoever edits the file, or a version that wrote it otherwise, must not decide where work goes by nonsense. */
function isRemembered(value: unknown): value is Remembered {
  const { calibration, corrections } = (value ?? {}) as Partial<Remembered>
  if (calibration === undefined || !Array.isArray(corrections)) return false
  const { downBytesPerMs, launchMs, measuredAt, rates, readMs, rounds, searchBytesPerMs, tookMs, upBytesPerMs } = calibration
  const figures = [
    launchMs,
    rounds,
    readMs,
    upBytesPerMs,
    downBytesPerMs,
    tookMs,
    searchBytesPerMs,
    ...["arithmetic", "memory", "function", "reduction"].map((rate) => (rates as Readonly<Record<string, unknown>> | undefined)?.[rate]),
  ]
  return (
    typeof measuredAt === "string" &&
    figures.every(isFinite) &&
    upBytesPerMs > 0 &&
    downBytesPerMs > 0 &&
    (corrections as ReadonlyArray<unknown>).every((entry) => {
      if (!Array.isArray(entry)) return false
      const [bucket, correction] = entry as [unknown, { readonly factor?: unknown; readonly runs?: unknown } | undefined]
      return typeof bucket === "string" && isFinite(correction?.factor) && correction?.factor !== 0 && isFinite(correction?.runs)
    })
  )
}

/** The file, or nothing where it is missing or broken. */
function read(path: string): Record<string, Remembered> {
  try {
    const { devices, version } = JSON.parse(readFileSync(path, "utf8")) as Partial<File>
    if (version !== 1) return {}
    return Object.fromEntries(Object.entries(devices ?? {}).filter(([, value]) => isRemembered(value)))
  } catch {
    return {}
  }
}

/** Where it is kept; undefined for a user without a home. */
export function memoryPath(environment: Readonly<Record<string, string | undefined>> = process.env): string | undefined {
  const folder = makeDataFolder(environment)
  return folder === undefined ? undefined : join(folder, "accelerator.json")
}

/** Reads when it is asked and writes at once; two processes may lose each other's last figures, never the file. */
export function fileMemory(path: string): {
  readonly get: (fingerprint: string) => Remembered | undefined
  readonly set: (fingerprint: string, remembered: Remembered) => void
} {
  return {
    get: (fingerprint) => read(path)[fingerprint],
    set: (fingerprint, remembered) => {
      const { [fingerprint]: _before, ...others } = read(path)
      const devices = Object.fromEntries([...Object.entries(others), [fingerprint, remembered] as const].slice(-devicesMax))
      const draft = `${path}.${process.pid}`
      try {
        writeFileSync(draft, JSON.stringify({ version: 1, devices } satisfies File), { mode: 0o600 })
        renameSync(draft, path)
      } catch {
        rmSync(draft, { force: true })
      }
    },
  }
}
