// A guest that uses every capability a QuickJS component can import and tells what came of each step. QuickJS guests get
// numbers where WIT says u64 or s64, and componentize-qjs 0.4 cannot pre-initialise one that imports wasi:blobstore.
import { get as setting } from "wasi:config/store@0.2.0-draft"
import { log } from "wasi:logging/logging@0.1.0-draft"
import { now, subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.6"
import { Cas, increment, swap } from "wasi:keyvalue/atomics@0.2.0-draft2"
import { getMany, setMany } from "wasi:keyvalue/batch@0.2.0-draft2"
import { open } from "wasi:keyvalue/store@0.2.0-draft2"
import { getRandomU64 } from "wasi:random/random@0.2.6"
import { poll, publish } from "stele:event/bus@0.1.0"
import { get as secret } from "stele:secret/store@0.1.0"

const encode = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0))
const decode = (_key, value) => (value instanceof Uint8Array ? String.fromCharCode(...value) : typeof value === "bigint" ? Number(value) : value)

const steps = {
  setting: () => setting("greeting"),
  settingDenied: () => setting("password"),
  value: () => {
    const bucket = open("prices")
    bucket.set("eur", encode("1.1"))
    return bucket.get("eur")
  },
  valueDenied: () => open("rates"),
  batch: () => {
    const bucket = open("prices")
    setMany(bucket, [["a", encode("A")]])
    return getMany(bucket, ["a", "none"])
  },
  count: () => increment(open("prices"), "n", 3),
  swap: () => {
    const bucket = open("prices")
    const cas = Cas.new(bucket, "eur")
    const before = cas.current()
    swap(cas, encode("2.2"))
    return [before, bucket.get("eur")]
  },
  keys: () => open("prices").listKeys(undefined),
  secret: () => secret("key").reveal(),
  event: () => {
    publish("orders", encode("o"))
    return poll("orders", 0, 5)
  },
  sleep: () => {
    const before = now()
    subscribeDuration(5_000_000).block()
    return now() - before >= 4_900_000
  },
  random: () => getRandomU64(),
}

export const guest = {
  run() {
    log("info", "guest", "start")
    return Object.entries(steps).map(([name, step]) => {
      try {
        return `${name} ${JSON.stringify(step(), decode)}`
      } catch (error) {
        return `${name} error ${JSON.stringify(error.payload ?? String(error))}`
      }
    })
  },
}
