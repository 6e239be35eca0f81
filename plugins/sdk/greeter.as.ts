/** `acme:greeter/api` of `plugins/examples/greeter` without bindings: every value laid out, lifted and lowered by hand. */
import { freeString, liftString, lowerString, resultArea } from "./abi.as"
import { Bucket, failure } from "./keyvalue.as"
import { Level, log } from "./logging.as"

export { cabiRealloc } from "./abi.as"

/** `result<greeting, string>`: tag, then at 4 `message` (8 bytes) and `tea-price` (tag, and at 4 a string). */
const RESULT_BYTES: usize = 24

function fail(area: usize, message: string): usize {
  store<u8>(area, 1)
  lowerString(area + 4, message)
  return area
}

export function greet(namePtr: usize, nameUnits: u32): usize {
  const name = liftString(namePtr, nameUnits)
  const area = resultArea(RESULT_BYTES)
  if (name.length == 0) return fail(area, "Cannot greet a visitor without a name")
  const bucket = Bucket.open("prices")
  if (bucket == null) return fail(area, `Cannot open the price list: ${failure}`)
  const price = bucket.get("tea")
  bucket.drop()
  if (failure.length > 0) return fail(area, `Cannot read the price of tea: ${failure}`)
  log(Level.info, "greeter", `Greeted ${name}`)
  lowerString(area + 4, `Hello, ${name}!`)
  if (price != null) {
    store<u8>(area, 1, 12)
    lowerString(area + 16, price)
  }
  return area
}

/** Frees what `greet` returned, after the host has read it. */
export function greetPost(area: usize): void {
  freeString(area + 4)
  if (load<u8>(area) == 0 && load<u8>(area, 12) != 0) freeString(area + 16)
  heap.free(area)
}
