/**
 * The kit on the engine that runs this file. Arguments: mechanisms, separated by commas; and guests, by default all. The last
 * line printed is JSON: how many guests ran, and per guest that went wrong what did.
 */
import { guests, type MechanismName, openStage, runGuest } from "./kit.ts"

const wanted = (process.argv[2] ?? "watchdog").split(",") as ReadonlyArray<MechanismName>
const names = process.argv.slice(3)
const problems: Record<string, ReadonlyArray<string>> = {}
let count = 0
for (const mechanism of wanted) {
  const stage = await openStage(mechanism)
  for (const [name, guest] of await guests()) {
    if (names.length > 0 && !names.includes(name)) continue
    const found = await runGuest(stage, guest)
    count++
    if (found.length > 0) problems[`${name} (${mechanism})`] = found
  }
  await stage.host.close()
}
console.log(JSON.stringify({ count, problems }))
