/**
 * `npm run bench -- NAME [--json]`: prints our figures beside the peers' of the same run, each beside its target.
 * Without a name it lists the benchmarks. `--runs N` repeats the whole and counts how often each target was met.
 */
import { readdirSync } from "node:fs"
import { arch, cpus, platform, release, totalmem } from "node:os"
import type { Row } from "./measure.ts"

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".bench.ts"))
  .map((file) => file.slice(0, -".bench.ts".length))
const args = process.argv.slice(2)
const name = args.find((arg) => !arg.startsWith("-"))
const isJson = args.includes("--json")
const runs = Number(args[args.indexOf("--runs") + 1] ?? 1) || 1

if (name === undefined || !names.includes(name)) {
  process.stderr.write(`Usage: npm run bench -- NAME [--json] [--runs N]\nBenchmarks: ${names.join(", ")}\n`)
  process.exit(name === undefined ? 0 : 2)
}

const machine = `${cpus()[0]?.model ?? "unknown CPU"} × ${cpus().length}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${release()} ${arch()}, Node ${process.versions.node}, V8 ${process.versions.v8}`
const { bench } = (await import(`./${name}.bench.ts`)) as { readonly bench: (say: (line: string) => void) => Promise<ReadonlyArray<Row>> }

const number = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toPrecision(3))
const met = new Map<string, number>()
let rows: ReadonlyArray<Row> = []
for (let run = 0; run < runs; run++) {
  rows = await bench((line) => process.stderr.write(`${line}\n`))
  for (const { figure, met: isMet } of rows) if (isMet === true) met.set(figure, (met.get(figure) ?? 0) + 1)
  if (isJson) continue
  process.stdout.write(`${name} on ${machine}${runs > 1 ? `, run ${run + 1} of ${runs}` : ""}\n`)
  for (const { figure, unit, ours, peers, ratios, target, met: isMet, p99, note } of rows) {
    const mark = isMet === null ? " " : isMet ? "✓" : "✗"
    process.stdout.write(
      `${mark} ${figure}: ${ours === null ? "not measured" : `${number(ours)} ${unit}`}${p99?.["ours"] === undefined ? "" : ` (p99 ${number(p99["ours"])})`}\n`,
    )
    if (Object.keys(peers).length > 0)
      process.stdout.write(
        `    peers   ${Object.entries(peers)
          .map(([peer, value]) => `${peer} ${number(value)}`)
          .join("   ")}\n`,
      )
    if (target !== "")
      process.stdout.write(
        `    target  ${target}   got ${Object.entries(ratios)
          .map(([ratio, value]) => `${ratio} ${number(value)}`)
          .join("   ")}\n`,
      )
    if (note !== undefined) process.stdout.write(`    ${note}\n`)
  }
}
if (isJson) process.stdout.write(`${JSON.stringify({ name, machine, rows, ...(runs > 1 ? { runs, met: Object.fromEntries(met) } : {}) })}\n`)
else if (runs > 1)
  for (const { figure, met: isMet } of rows) if (isMet !== null) process.stdout.write(`${figure}: met in ${met.get(figure) ?? 0} of ${runs} runs\n`)
process.exit(0)
