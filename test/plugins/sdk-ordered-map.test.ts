/** `plugins/sdk/ordered-map.as.ts` against a model: a sorted array. */
import t from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"
import { replay } from "../seed.ts"

t.setTimeout(300_000)

const guest = await openGuest(
  `package acme:maps; world maps {
  export texts: func(steps: list<string>) -> list<string>;
  export numbers: func(count: u32, order: u8) -> list<s64>;
  export trap: func(what: u8) -> s32;
  export churn: func(rounds: u32) -> u32;
}`,
  `import { Cursor, OrderedMap } from "../bindings/sdk/ordered-map"
function compareTexts(a: string, b: string): i32 { return a == b ? 0 : a < b ? -1 : 1 }
function compareNumbers(a: i64, b: i64): i32 { return i32(a > b) - i32(a < b) }
// AssemblyScript's own \`join\` copies what it has so far for each element.
function joined(all: string[]): string {
  const parts: string[] = []
  for (let i = 0; i < all.length; i += 64) parts.push(all.slice(i, i + 64).join(","))
  return parts.join(",")
}
function show(at: Cursor<string, string>): string { return at.isValid ? at.key + "=" + at.value : "none" }
export function texts(steps: string[]): string[] {
  const map = new OrderedMap<string, string>(compareTexts)
  const out: string[] = []
  for (let i = 0; i < steps.length; i++) {
    const words = steps[i].split(" ")
    const op = words[0]
    if (op == "set") { map.set(words[1], words[2]); out.push(map.size.toString()) }
    else if (op == "delete") out.push(map.delete(words[1]).toString())
    else if (op == "find") out.push(map.has(words[1]) ? map.get(words[1]) + map.find(words[1], "") : map.find(words[1], "none"))
    else if (op == "from") { const at = map.from(words[1]); let text = show(at); for (let n = 0; n < 40 && at.next(); n++) text += "," + at.key; out.push(text) }
    else if (op == "upTo") { const at = map.upTo(words[1]); let text = show(at); for (let n = 0; n < 40 && at.back(); n++) text += "," + at.key; out.push(text) }
    else if (op == "ends") out.push(show(map.first()) + " " + show(map.last()))
    else if (op == "clear") { map.clear(); out.push("") }
    else out.push(joined(map.keys()) + " " + joined(map.values()))
  }
  return out
}
export function numbers(count: u32, order: u8): StaticArray<i64> {
  const map = new OrderedMap<i64, i64>(compareNumbers)
  for (let i: u32 = 0; i < count; i++) {
    const key: i64 = order == 0 ? i : order == 1 ? count - i : <i64>((<u64>i * 2654435761) % count)
    map.set(key, key * 3)
  }
  for (let i: u32 = 0; i < count; i++) if (i % 3 != 0) map.delete(i)
  return StaticArray.fromArray<i64>(map.values())
}
export function trap(what: u8): i32 {
  const map = new OrderedMap<i64, i32>(compareNumbers)
  map.set(1, 10)
  const at = map.first()
  if (what == 0) return map.get(2)
  if (what == 1) { at.next(); return at.value }
  if (what == 2) { map.set(2, 0); return at.value }
  if (what == 3) { map.delete(1); return <i32>at.isValid }
  map.set(1, 11)
  return at.value
}
let held = new OrderedMap<string, string>(compareTexts)
export function churn(rounds: u32): u32 {
  for (let i: u32 = 0; i < rounds; i++) {
    for (let k = 0; k < 200; k++) held.set("key " + k.toString(), "value " + (k * i).toString())
    for (let k = 0; k < 200; k++) if (k % 10 != 0) held.delete("key " + k.toString())
  }
  return held.size
}
`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

t.test("a map is what a sorted array is, after any steps", (t) => {
  for (let stream = 0; stream < many(30); stream++) {
    const { below } = random(BigInt(50 + stream))
    const spread = [5, 60, 400, 5000][stream % 4] as number
    const model = new Map<string, string>()
    /** Those of the model, in their order. */
    const keys: Array<string> = []
    /** How many of them are below `key`. */
    const placeOf = (key: string): number => {
      let low = 0
      for (let high = keys.length; low < high;) {
        const middle = (low + high) >> 1
        if ((keys[middle] as string) < key) low = middle + 1
        else high = middle
      }
      return low
    }
    const show = (key: string | undefined): string => (key === undefined ? "none" : `${key}=${model.get(key)}`)
    const steps: Array<string> = []
    const expected: Array<string> = []
    const length = spread * 6
    for (let i = 0; i < length; i++) {
      const key = `k${below(spread)}`
      // It grows, then shrinks to nothing, then grows again.
      const isGrowing = i < length / 3 || i > (length * 2) / 3
      const kind = below(20)
      if (kind < (isGrowing ? 12 : 3)) {
        steps.push(`set ${key} ${i}`)
        if (!model.has(key)) keys.splice(placeOf(key), 0, key)
        model.set(key, `${i}`)
        expected.push(`${model.size}`)
      } else if (kind < 15) {
        steps.push(`delete ${key}`)
        if (model.has(key)) keys.splice(placeOf(key), 1)
        expected.push(`${model.delete(key)}`)
      } else if (kind < 17) {
        steps.push(`find ${key}`)
        const found = model.get(key)
        expected.push(found === undefined ? "none" : `${found}${found}`)
      } else if (kind === 17) {
        steps.push(`from ${key}`)
        const at = placeOf(key)
        expected.push([show(keys[at]), ...keys.slice(at + 1, at + 41)].join(","))
      } else if (kind === 18) {
        steps.push(`upTo ${key}`)
        const end = placeOf(key) + (model.has(key) ? 1 : 0)
        expected.push([show(keys[end - 1]), ...keys.slice(Math.max(0, end - 41), Math.max(0, end - 1)).toReversed()].join(","))
      } else if (below(10 + Math.floor(spread / 40)) === 0) {
        steps.push("all")
        expected.push(`${keys.join(",")} ${keys.map((one) => model.get(one)).join(",")}`)
      } else if (below(400) === 0) {
        steps.push("clear")
        expected.push("")
        model.clear()
        keys.length = 0
      } else {
        steps.push("ends")
        expected.push(`${show(keys[0])} ${show(keys.at(-1))}`)
      }
    }
    const got = guest.call("texts", steps) as ReadonlyArray<string>
    const wrong = got.findIndex((text, i) => text !== expected[i])
    if (wrong !== -1) t.fail(`${replay}, stream ${stream}, step ${wrong}, ${steps[wrong]}: ${expected[wrong]}, got ${got[wrong]}`)
  }
  t.pass(`${many(30)} streams`)
  t.end()
})

t.test("100,000 keys that come upward, downward and mixed are in order", (t) => {
  for (const order of [0, 1, 2]) {
    const got = guest.call("numbers", 100_000, order) as BigInt64Array
    const first = order === 1 ? 3 : 0
    const last = order === 1 ? 100_000 : 99_999
    const expected = BigInt64Array.from(
      Array.from({ length: Math.floor((last - first) / 3) + 1 }, (_, i) => BigInt(first + i * 3))
        .concat(order === 1 ? [100_000n] : [])
        .map((key) => key * 3n),
    )
    t.ok(got.length === expected.length && got.every((one, i) => one === expected[i]), `${order}: ${got.length} of ${expected.length}`)
  }
  t.end()
})

t.test("wrong use traps; a change ends cursors, a new value of a key does not", async (t) => {
  for (let what = 0; what < 4; what++) await t.rejects(guest.plugin.call("trap", [what]), { code: "STELE-PLG-0002" }, `${what}`)
  t.equal(await guest.plugin.call("trap", [4]), 11)
})

t.test("what is deleted is let go: 5,000 rounds leave the memory as it was", async (t) => {
  t.equal(guest.call("churn", 300), 20)
  const before = await guest.peak("churn", 1)
  guest.call("churn", 5_000)
  t.equal(await guest.peak("churn", 1), before)
})
