/** The second compiler of zones: the system's `zic`, and offsets read from what it wrote (RFC 9636). */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import type { ZoneOffsets } from "../../schemas/billing/zone-table.ts"

/** Superusers' folders, where Debian has it. */
const env = { ...process.env, PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter) }

export const hasZic = !("error" in spawnSync("zic", ["--version"], { env }))

/** What was compiled, until it is disposed of. */
export class Compiled {
  readonly #folder = mkdtempSync(join(tmpdir(), "stele-zic-"))

  constructor(source: string) {
    const path = join(this.#folder, "tzdata.zi")
    writeFileSync(path, source)
    execFileSync("zic", ["-b", "fat", "-d", join(this.#folder, "zoneinfo"), path], { env, stdio: ["ignore", "ignore", "pipe"] })
  }
  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }

  #path(name: string): string {
    return join(this.#folder, "zoneinfo", name)
  }

  /** Changes from 1970 to 2037, which fat files list one by one. */
  offsets(name: string): ZoneOffsets {
    const bytes = readFileSync(this.#path(name))
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const counts = (header: number) => [20, 24, 28, 32, 36, 40].map((at) => view.getUint32(header + at)) as [number, number, number, number, number, number]
    const [ut, standard, leap, times, types, chars] = counts(0)
    // The first block is the same for readers of 32 bits.
    const header = 44 + times * 5 + types * 6 + chars + leap * 8 + standard + ut
    const [, , , count] = counts(header)
    const atTimes = header + 44
    const atTypes = atTimes + count * 8
    const atInfos = atTypes + count
    const offsetOf = (type: number): number => view.getInt32(atInfos + type * 6)
    let first = offsetOf(0)
    let offset = first
    const changes: number[] = []
    const offsets: number[] = []
    for (let i = 0; i < count; i += 1) {
      const at = Number(view.getBigInt64(atTimes + i * 8))
      const next = offsetOf(view.getUint8(atTypes + i))
      if (at <= 0) first = next
      else if (at < Date.UTC(2038, 0, 1) / 1000 && next !== offset) {
        changes.push(at)
        offsets.push(next)
      }
      offset = next
    }
    return { first, changes, offsets }
  }

  /** Changes of a zone after 2037, which follow the file's rule, as `zdump` finds them. */
  later(name: string, untilYear: number): ReadonlyArray<readonly [at: number, offset: number]> {
    const lines = execFileSync("zdump", ["-v", "-c", `2038,${untilYear}`, this.#path(name)], { env, encoding: "utf8" }).split("\n")
    const found = lines.flatMap((line) => {
      const [, month, day, time, year, offset] = /  \w+ (\w+) +(\d+) ([\d:]+) (\d{4}) UT = .* gmtoff=(-?\d+)$/.exec(line) ?? []
      return year === undefined ? [] : [[Date.parse(`${day} ${month} ${year} ${time} UTC`) / 1000, Number(offset)] as const]
    })
    return found.filter(([, offset], i) => i > 0 && offset !== found[i - 1]?.[1])
  }
}
