/** Prints, as one JSON line, what random modules do under `fuel` on the engine that runs it. Arguments: seed, count. */
import { observeRewritten, randomModule } from "./meter-random.ts"

const [seedText = "1", countText = "1"] = process.argv.slice(2)
const report = Array.from({ length: Number(countText) }, (_, i) => {
  const { text, fuel } = observeRewritten(randomModule(Number(seedText) + i, false), "fuel")
  return `${text.join(" ")} fuel ${fuel}`
})
console.log(JSON.stringify(report))
