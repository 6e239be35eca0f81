/** `plugins/sdk/utf8.as.ts` against TextEncoder and TextDecoder. */
import { Buffer } from "node:buffer"
import t from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"

t.setTimeout(300_000)

// Texts cross as lists of units: a component's own strings have no half of a pair.
const guest = await openGuest(
  `package acme:utf; world utf {
  record decoded { units: list<u16>, invalid: s32, refused: string }
  record encoded { bytes: list<u8>, length: s32, well-formed: bool, refused: bool }
  export decode: func(bytes: list<u8>) -> decoded;
  export encode: func(units: list<u16>) -> encoded;
  export compare: func(a: string, b: string) -> s32;
}`,
  `import { Decoded, Encoded } from "../bindings/world"
import { compareCodePoints, decodeUtf8, encodeUtf8, invalidUtf8At, isWellFormed, tryDecodeUtf8, tryEncodeUtf8, utf8Length } from "../bindings/sdk/utf8"
function unitsOf(text: string): StaticArray<u16> {
  const out = new StaticArray<u16>(text.length)
  for (let i = 0; i < text.length; i++) out[i] = <u16>text.charCodeAt(i)
  return out
}
export function decode(bytes: StaticArray<u8>): Decoded {
  const strict = tryDecodeUtf8(bytes)
  const text = decodeUtf8(bytes)
  if (strict.isOk && strict.value != text) unreachable()
  return new Decoded(unitsOf(text), invalidUtf8At(bytes), strict.isErr ? strict.error.toString() : "")
}
export function encode(units: StaticArray<u16>): Encoded {
  const text = String.UTF16.decodeUnsafe(changetype<usize>(units), units.length << 1)
  return new Encoded(encodeUtf8(text), utf8Length(text), isWellFormed(text), tryEncodeUtf8(text) === null)
}
export function compare(a: string, b: string): i32 { return compareCodePoints(a, b) }
`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

interface Decoded {
  readonly units: Uint16Array
  readonly invalid: number
  readonly refused: string
}
interface Encoded {
  readonly bytes: Uint8Array
  readonly length: number
  readonly "well-formed"?: boolean
  readonly wellFormed?: boolean
  readonly refused: boolean
}
const textOf = (units: Uint16Array): string => [...units].map((unit) => String.fromCharCode(unit)).join("")
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })
const isValid = (bytes: Uint8Array): boolean => {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}

/** Where the first byte is that no valid text goes on with: the longest valid prefix of whole characters. */
const invalidAt = (bytes: Uint8Array): number => {
  if (isValid(bytes)) return -1
  let at = bytes.length - 1
  while (!isValid(bytes.subarray(0, at))) at -= 1
  return at
}

t.test("bytes are decoded as TextDecoder decodes them, and refused where it refuses", (t) => {
  const generator = random(31n)
  const interesting = [0x00, 0x41, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]
  const cases: Array<Uint8Array> = [new Uint8Array(0), Uint8Array.of(0xef, 0xbb, 0xbf, 0x41)]
  for (const a of interesting) for (const b of interesting) for (const c of interesting) cases.push(Uint8Array.of(a, b, c))
  for (let i = 0; i < many(2_000); i++) {
    const bytes = Uint8Array.from({ length: generator.below(24) }, () =>
      generator.below(3) === 0 ? generator.below(256) : (interesting[generator.below(interesting.length)] as number),
    )
    cases.push(bytes)
    const text = Array.from({ length: generator.below(20) }, () => String.fromCodePoint([65, 0xe9, 0x20ac, 0x1f600][generator.below(4)] as number)).join("")
    const valid = new TextEncoder().encode(text)
    cases.push(valid)
    if (valid.length > 0) cases.push(valid.with(generator.below(valid.length), generator.below(256)), valid.subarray(0, generator.below(valid.length)))
  }
  for (const bytes of cases) {
    const { units, invalid, refused } = guest.call("decode", bytes) as Decoded
    if (textOf(units) !== decoder.decode(bytes)) t.fail(`${Buffer.from(bytes).toString("hex")} is ${decoder.decode(bytes)}, got ${textOf(units)}`)
    if (invalid !== invalidAt(bytes)) t.fail(`${Buffer.from(bytes).toString("hex")} is invalid at ${invalidAt(bytes)}, got ${invalid}`)
    const message = invalid < 0 ? "" : `Cannot read UTF-8: no character begins like this at byte ${invalid}`
    if (refused !== message) t.fail(`${Buffer.from(bytes).toString("hex")}: ${refused}`)
  }
  t.pass(`${cases.length} cases`)
  t.end()
})

t.test("texts are encoded as TextEncoder encodes them; half of a pair is replaced or refused", (t) => {
  const generator = random(32n)
  const interesting = [0, 0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xfffd, 0xffff]
  for (let i = 0; i < many(4_000); i++) {
    const units = Uint16Array.from({ length: generator.below(12) }, () => interesting[generator.below(interesting.length)] as number)
    const text = textOf(units)
    const encoded = guest.call("encode", units) as Encoded
    const bytes = new TextEncoder().encode(text)
    t.ok(Buffer.from(encoded.bytes).equals(bytes) && encoded.length === bytes.length, JSON.stringify(text))
    t.equal(encoded["well-formed"] ?? encoded.wellFormed, text.isWellFormed())
    t.equal(encoded.refused, !text.isWellFormed())
  }
  t.end()
})

t.test("texts are compared as their bytes are", (t) => {
  const points = ["", "a", "b", "é", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{1f600}", "\u{10ffff}"]
  const texts = points.flatMap((a) => points.map((b) => a + b))
  for (const a of texts) {
    for (const b of texts) {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b))
      if (guest.call("compare", a, b) !== expected) t.fail(`${JSON.stringify(a)} to ${JSON.stringify(b)} is ${expected}`)
    }
  }
  t.pass(`${texts.length ** 2} pairs`)
  t.end()
})

t.test("5,000 calls leave the memory as it was", async (t) => {
  const bytes = new TextEncoder().encode("grüße 😀 ".repeat(50))
  const call = () => guest.call("decode", bytes)
  for (let i = 0; i < 100; i++) call()
  const before = await guest.peak("decode", bytes)
  for (let i = 0; i < 5_000; i++) call()
  t.equal(await guest.peak("decode", bytes), before)
})
