/** The properties of the canonical ABI on whatever engine runs this: `abi-program.ts SEED RUNS`. Prints `{held}`. */
import { properties } from "./abi-properties.ts"

const [seed, runs] = process.argv.slice(2).map(Number) as [number, number]
for (const { check } of properties) check(seed, runs)
console.log(JSON.stringify({ held: properties.length }))
