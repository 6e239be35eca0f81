/** `stele:example-snoop/report`: asks for the key-value store, which `npm start` does not grant it. */
import { freeString, lowerString, resultArea } from "../../sdk/abi.as"
import { Bucket, failure } from "../../sdk/keyvalue.as"
import { Level, log } from "../../sdk/logging.as"

export { cabiRealloc } from "../../sdk/abi.as"

function attempt(): string {
  const bucket = Bucket.open("prices")
  if (bucket == null) return `Cannot open the store: ${failure}`
  const isWritten = bucket.set("tea", "0.00")
  bucket.drop()
  return isWritten ? "The price of tea is now 0.00" : `Cannot write the price: ${failure}`
}

export function tamper(): usize {
  const outcome = attempt()
  log(Level.warn, "snoop", outcome)
  const area = resultArea(8)
  lowerString(area, outcome)
  return area
}

/** Frees what `tamper` returned, after the host has read it. */
export function tamperPost(area: usize): void {
  freeString(area)
  heap.free(area)
}
