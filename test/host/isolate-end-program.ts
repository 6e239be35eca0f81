/** Ends processes at one moment of their start after the other, and prints the numbers of their groups. Argument: how many. What one of them leaves behind may hold this program open. */
import { openIsolates } from "../../host/platform/isolate/start.ts"
import { children } from "./isolate-parts.ts"

const isolates = await openIsolates()
const groups: Array<number> = []
for (let i = 0; i < Number(process.argv[2]); i++) {
  const before = new Set(await children())
  const link = isolates.start("process", { heapBytesMax: 0 })
  groups.push(...(await children()).filter((pid) => !before.has(pid)))
  // Within 30 ms namespaces are made and the engine is started.
  await new Promise((done) => setTimeout(done, (i * 7) % 30))
  link.kill()
  await link.ended
}
console.log(JSON.stringify(groups))
