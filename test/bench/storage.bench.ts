/** Everything that stores, one after the other: `npm run bench -- storage`. Each part can be run by its own name. */
import type { Row } from "./measure.ts"

/** SQLite first: it says what the disk can do, which everything durable is measured against. */
const parts = ["sqlite", "object", "queue", "usage", "postgres", "sealed"]

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  for (const part of parts) {
    say(`${part}…`)
    const { bench: run } = (await import(`./${part}.bench.ts`)) as { readonly bench: (say: (line: string) => void) => Promise<ReadonlyArray<Row>> }
    rows.push(...(await run(say)))
  }
  return rows
}
