/** `plugins/sdk/cbor.as.ts` against RFC 8949's appendices and `cbor2`, an independent implementation. */
import { Buffer } from "node:buffer"
import { cdeDecodeOptions, cdeEncodeOptions, decode, encode, Simple, Tag } from "cbor2"
import t from "tap"
import { many, openGuest, random } from "./sdk/guest.ts"

t.setTimeout(300_000)

/** An item as JSON, the same here and in the guest. Numbers that JavaScript would round are texts; a float is the text of its bits. */
type Item =
  | readonly ["u" | "n" | "f", string]
  | readonly ["b" | "t", string]
  | readonly ["s", number]
  | readonly ["a", ReadonlyArray<Item>]
  | readonly ["m", ReadonlyArray<readonly [key: Item, value: Item]>]
  | readonly ["g", string, Item]

const guest = await openGuest(
  `package acme:items; world items {
  export read: func(bytes: list<u8>, strict: bool) -> result<string, tuple<u8, s32>>;
  export limited: func(bytes: list<u8>, depth-max: s32, bytes-max: s32, items-max: s32) -> string;
  export write: func(item: string) -> option<list<u8>>;
  export again: func(bytes: list<u8>) -> list<u8>;
  export big: func(value: string) -> tuple<list<u8>, string>;
  export big-of: func(bytes: list<u8>) -> string;
  export trap: func(what: u8) -> u32;
}`,
  `import { Cbor, CborKind, CborLimits } from "../bindings/sdk/cbor"
import { I128 } from "../bindings/sdk/int128"
import { Json, JsonLimits } from "../bindings/sdk/json"
import { err, ok, Result, Tuple2 } from "../bindings/runtime"
const digits = "0123456789abcdef"
function hex(bytes: StaticArray<u8>): string {
  let out = ""
  for (let i = 0; i < bytes.length; i++) out += digits.charAt(bytes[i] >> 4) + digits.charAt(bytes[i] & 15)
  return out
}
function unhex(text: string): StaticArray<u8> {
  const out = new StaticArray<u8>(text.length >> 1)
  for (let i = 0; i < out.length; i++) out[i] = <u8>I32.parseInt(text.substr(i * 2, 2), 16)
  return out
}
function pair(kind: string, value: Json): Json { return Json.array().push(Json.string(kind)).push(value) }
function describe(item: Cbor): Json {
  switch (item.kind) {
    case CborKind.unsigned: return pair("u", Json.string(item.asU64.toString()))
    case CborKind.negative: return pair("n", Json.string((item.asI128!.not().low).toString()))
    case CborKind.bytes: return pair("b", Json.string(hex(item.asBytes)))
    case CborKind.text: return pair("t", Json.string(item.asText))
    case CborKind.simple: return pair("s", Json.integer(item.asSimple))
    case CborKind.float: return pair("f", Json.string(reinterpret<u64>(item.asF64).toString()))
    case CborKind.tag: return pair("g", Json.string(item.asTag.toString())).push(describe(item.tagged))
    case CborKind.array: {
      const all = Json.array()
      for (let i = 0; i < item.length; i++) all.push(describe(item.at(i)))
      return pair("a", all)
    }
  }
  const all = Json.array()
  for (let i = 0; i < item.length; i++) all.push(Json.array().push(describe(item.keyAt(i))).push(describe(item.at(i))))
  return pair("m", all)
}
function make(json: Json): Cbor {
  const kind = json.at(0).asString
  const value = json.at(1)
  if (kind == "u") return Cbor.unsigned(U64.parseInt(value.asString))
  if (kind == "n") return Cbor.negative(U64.parseInt(value.asString))
  if (kind == "b") return Cbor.bytes(unhex(value.asString))
  if (kind == "t") return Cbor.text(value.asString)
  if (kind == "s") return Cbor.simple(<i32>value.asI64)
  if (kind == "f") return Cbor.float(reinterpret<f64>(U64.parseInt(value.asString)))
  if (kind == "g") return Cbor.tag(U64.parseInt(value.asString), make(json.at(2)))
  if (kind == "a") {
    const all = Cbor.array()
    for (let i = 0; i < value.length; i++) all.push(make(value.at(i)))
    return all
  }
  const all = Cbor.map()
  for (let i = 0; i < value.length; i++) all.add(make(value.at(i).at(0)), make(value.at(i).at(1)))
  return all
}
export function read(bytes: StaticArray<u8>, strict: bool): Result<string, Tuple2<u8, i32>> {
  const limits = new CborLimits()
  limits.isStrict = strict
  const item = Cbor.read(bytes, limits)
  return item.isErr
    ? err<string, Tuple2<u8, i32>>(new Tuple2<u8, i32>(<u8>item.error.reason, item.error.offset))
    : ok<string, Tuple2<u8, i32>>(describe(item.value).toString())
}
export function limited(bytes: StaticArray<u8>, depthMax: i32, bytesMax: i32, itemsMax: i32): string {
  const limits = new CborLimits()
  limits.depthMax = depthMax; limits.bytesMax = bytesMax; limits.itemsMax = itemsMax
  const item = Cbor.read(bytes, limits)
  return item.isErr ? item.error.toString() : item.value.write().length.toString()
}
export function write(item: string): StaticArray<u8> | null {
  const limits = new JsonLimits()
  limits.depthMax = 10000
  return make(Json.parse(item, limits).value).tryWrite()
}
export function again(bytes: StaticArray<u8>): StaticArray<u8> { return Cbor.read(bytes).value.write() }
export function big(value: string): Tuple2<StaticArray<u8>, string> {
  const bytes = Cbor.big(I128.parse(value)!).write()
  return new Tuple2<StaticArray<u8>, string>(bytes, Cbor.read(bytes).value.asI128!.toString())
}
export function bigOf(bytes: StaticArray<u8>): string {
  const item = Cbor.read(bytes).value
  const value = item.asI128
  return value === null ? "null" : value.toString() + (item.fitsI64 ? " " + item.asI64.toString() : "")
}
export function trap(what: u8): u32 {
  const text = Cbor.text("x")
  if (what == 0) return <u32>text.asU64
  if (what == 1) return text.length
  if (what == 2) return Cbor.array().at(0).length
  if (what == 3) return Cbor.simple(24).asSimple
  if (what == 4) return Cbor.boolean(true).asBytes.length
  if (what == 5) return Cbor.map().add(text, text).add(text, text).write().length
  if (what == 6) return <u32>Cbor.negative(1 << 63).asI64
  return u32(Cbor.boolean(true).asBoolean) + u32(Cbor.null_.isNull) + u32(Cbor.undefined_.isUndefined) + u32(Cbor.integer(-5).asI64 == -5) + u32(Cbor.map().add(text, Cbor.unsigned(9)).get("x")!.asU64 == 9)
}
`,
)
t.teardown(() => guest[Symbol.asyncDispose]())

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"))
const reasons = ["end", "malformed", "text", "duplicate", "trailing", "notDeterministic", "depthMax", "bytesMax", "itemsMax"]
function read(bytes: Uint8Array, isStrict: boolean): Item | string {
  try {
    return JSON.parse(guest.call("read", bytes, isStrict) as string) as Item
  } catch (error) {
    const [reason, offset] = (error as { readonly reason: { readonly payload: readonly [number, number] } }).reason.payload
    return `${reasons[reason]} ${offset}`
  }
}
const write = (item: Item): string => {
  const bytes = guest.call("write", JSON.stringify(item)) as Uint8Array | undefined
  return bytes === undefined ? "null" : hex(bytes)
}

const view = new DataView(new ArrayBuffer(8))
const float = (value: number): Item => {
  view.setFloat64(0, value)
  return ["f", `${view.getBigUint64(0)}`]
}
const u = (value: number | bigint): Item => ["u", `${value}`]
const n = (value: number | bigint): Item => ["n", `${-1n - BigInt(value)}`]
const text = (value: string): Item => ["t", value]
const array = (...items: ReadonlyArray<Item>): Item => ["a", items]
const map = (...entries: ReadonlyArray<readonly [Item, Item]>): Item => ["m", entries]
const nothing = Number.NaN

t.test("RFC 8949, appendix A", (t) => {
  /** Bytes, what they are, and whether they are in the deterministic form. */
  const examples: ReadonlyArray<readonly [string, Item, boolean?]> = [
    ["00", u(0)],
    ["01", u(1)],
    ["0a", u(10)],
    ["17", u(23)],
    ["1818", u(24)],
    ["1819", u(25)],
    ["1864", u(100)],
    ["1903e8", u(1000)],
    ["1a000f4240", u(1_000_000)],
    ["1b000000e8d4a51000", u(1_000_000_000_000n)],
    ["1bffffffffffffffff", u(18446744073709551615n)],
    ["c249010000000000000000", ["g", "2", ["b", "010000000000000000"]]],
    ["3bffffffffffffffff", n(-18446744073709551616n)],
    ["c349010000000000000000", ["g", "3", ["b", "010000000000000000"]]],
    ["20", n(-1)],
    ["29", n(-10)],
    ["3863", n(-100)],
    ["3903e7", n(-1000)],
    ["f90000", float(0)],
    ["f98000", float(-0)],
    ["f93c00", float(1)],
    ["fb3ff199999999999a", float(1.1)],
    ["f93e00", float(1.5)],
    ["f97bff", float(65504)],
    ["fa47c35000", float(100000)],
    ["fa7f7fffff", float(3.4028234663852886e38)],
    ["fb7e37e43c8800759c", float(1e300)],
    ["f90001", float(5.960464477539063e-8)],
    ["f90400", float(0.00006103515625)],
    ["f9c400", float(-4)],
    ["fbc010666666666666", float(-4.1)],
    ["f97c00", float(Infinity)],
    ["f97e00", float(nothing)],
    ["f9fc00", float(-Infinity)],
    ["fa7f800000", float(Infinity), false],
    ["fa7fc00000", float(nothing), false],
    ["faff800000", float(-Infinity), false],
    ["fb7ff0000000000000", float(Infinity), false],
    ["fb7ff8000000000000", float(nothing), false],
    ["fbfff0000000000000", float(-Infinity), false],
    ["f4", ["s", 20]],
    ["f5", ["s", 21]],
    ["f6", ["s", 22]],
    ["f7", ["s", 23]],
    ["f0", ["s", 16]],
    ["f8ff", ["s", 255]],
    ["c074323031332d30332d32315432303a30343a30305a", ["g", "0", text("2013-03-21T20:04:00Z")]],
    ["c11a514b67b0", ["g", "1", u(1363896240)]],
    ["c1fb41d452d9ec200000", ["g", "1", float(1363896240.5)]],
    ["d74401020304", ["g", "23", ["b", "01020304"]]],
    ["d818456449455446", ["g", "24", ["b", "6449455446"]]],
    ["d82076687474703a2f2f7777772e6578616d706c652e636f6d", ["g", "32", text("http://www.example.com")]],
    ["40", ["b", ""]],
    ["4401020304", ["b", "01020304"]],
    ["60", text("")],
    ["6161", text("a")],
    ["6449455446", text("IETF")],
    ["62225c", text('"\\')],
    ["62c3bc", text("ü")],
    ["63e6b0b4", text("水")],
    ["64f0908591", text("𐅑")],
    ["80", array()],
    ["83010203", array(u(1), u(2), u(3))],
    ["8301820203820405", array(u(1), array(u(2), u(3)), array(u(4), u(5)))],
    ["98190102030405060708090a0b0c0d0e0f101112131415161718181819", array(...Array.from({ length: 25 }, (_, i) => u(i + 1)))],
    ["a0", map()],
    ["a201020304", map([u(1), u(2)], [u(3), u(4)])],
    ["a26161016162820203", map([text("a"), u(1)], [text("b"), array(u(2), u(3))])],
    ["826161a161626163", array(text("a"), map([text("b"), text("c")]))],
    ["a56161614161626142616361436164614461656145", map(...[..."abcde"].map((key) => [text(key), text(key.toUpperCase())] as const))],
    ["5f42010243030405ff", ["b", "0102030405"], false],
    ["7f657374726561646d696e67ff", text("streaming"), false],
    ["9fff", array(), false],
    ["9f018202039f0405ffff", array(u(1), array(u(2), u(3)), array(u(4), u(5))), false],
    ["9f01820203820405ff", array(u(1), array(u(2), u(3)), array(u(4), u(5))), false],
    ["83018202039f0405ff", array(u(1), array(u(2), u(3)), array(u(4), u(5))), false],
    ["83019f0203ff820405", array(u(1), array(u(2), u(3)), array(u(4), u(5))), false],
    ["bf61610161629f0203ffff", map([text("a"), u(1)], [text("b"), array(u(2), u(3))]), false],
    ["826161bf61626163ff", array(text("a"), map([text("b"), text("c")])), false],
    ["bf6346756ef563416d7421ff", map([text("Fun"), ["s", 21]], [text("Amt"), n(-2)]), false],
  ]
  for (const [bytes, item, isDeterministic = true] of examples) {
    t.strictSame(read(bytesOf(bytes), false), item, bytes)
    if (isDeterministic) {
      t.strictSame(read(bytesOf(bytes), true), item)
      t.equal(write(item), bytes)
    } else t.match(read(bytesOf(bytes), true), /^notDeterministic/, bytes)
  }
  t.end()
})

t.test("RFC 8949, appendix F: what is not well-formed", (t) => {
  const short =
    "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000 41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203 81 818181818181818181 8200 a1 a20102 a100 a2000000 c0 5f4100 7f6100 9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff"
  for (const one of short.split(" ")) t.match(read(bytesOf(one), false), /^end/, one)
  const wrong =
    "1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe f800 f801 f818 f81f 5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff 5f5f4100ffff 7f7f6100ffff ff 81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff bf00ff bf000000ff 1f 3f df"
  for (const one of wrong.split(" ")) t.match(read(bytesOf(one), false), /^a(1ff|20000ff)$/.test(one) ? /^end/ : /^malformed/, one)
  t.end()
})

/** Appendix C: whether the bytes from `at` are a well-formed item, and where it ends; −1 for a break where one may be. */
function wellFormed(bytes: Uint8Array, at: number, isBreakable = false): number {
  const fail = (): never => {
    throw new Error("not well-formed")
  }
  const take = (length: number): number => {
    if (at + length > bytes.length) fail()
    at += length
    return at - length
  }
  const initial = bytes[take(1)] as number
  const major = initial >> 5
  const info = initial & 31
  let value = BigInt(info)
  if (info >= 24 && info <= 27) {
    const length = 1 << (info - 24)
    value = BigInt(`0x${hex(bytes.subarray(take(length), at))}`)
  } else if (info > 27 && info < 31) fail()
  else if (info === 31) {
    if (major === 2 || major === 3) {
      while (bytes[at] !== 0xff) {
        if (at >= bytes.length || (bytes[at] as number) >> 5 !== major || ((bytes[at] as number) & 31) === 31) fail()
        at = wellFormed(bytes, at)
      }
      return at + 1
    }
    if (major === 7 && isBreakable) return -1
    if (major !== 4 && major !== 5) fail()
    for (;;) {
      const end = wellFormed(bytes, at, true)
      if (end === -1) return at + 1
      at = major === 5 ? wellFormed(bytes, end) : end
    }
  }
  if (major === 2 || major === 3) return take(value > 1000n ? 1e9 : Number(value)) + Number(value)
  const items = major === 4 ? value : major === 5 ? value * 2n : major === 6 ? 1n : 0n
  if (items > 1000n) fail()
  for (let i = 0n; i < items; i++) at = wellFormed(bytes, at)
  if (major === 7 && info === 24 && value < 32n) fail()
  return at
}

t.test("any bytes are read just where appendix C finds them well-formed, and what is strict is written as it was", (t) => {
  const { below } = random(61n)
  const heads = [
    0, 1, 0x17, 0x18, 0x19, 0x1b, 0x20, 0x38, 0x40, 0x41, 0x58, 0x5f, 0x60, 0x61, 0x62, 0x7f, 0x80, 0x81, 0x82, 0x98, 0x9f, 0xa0, 0xa1, 0xa2, 0xbf, 0xc2, 0xc3,
    0xd8, 0xf4, 0xf8, 0xf9, 0xfa, 0xfb, 0xff,
  ]
  let valid = 0
  for (let i = 0; i < many(20_000); i++) {
    const bytes = Uint8Array.from({ length: 1 + below(12) }, () => (below(4) === 0 ? below(256) : (heads[below(heads.length)] as number)))
    let isWell: boolean
    try {
      isWell = wellFormed(bytes, 0) === bytes.length
    } catch {
      isWell = false
    }
    const got = read(bytes, false)
    const isRefused = typeof got === "string"
    if (isRefused && /^(text|duplicate)/.test(got)) continue
    if (isWell === isRefused) t.fail(`${hex(bytes)} is ${isWell ? "" : "not "}well-formed, got ${JSON.stringify(got)}`)
    if (isRefused) continue
    valid += 1
    const written = hex(guest.call("again", bytes) as Uint8Array)
    const isDeterministic = written === hex(bytes)
    if (isDeterministic !== (typeof read(bytes, true) !== "string")) t.fail(`${hex(bytes)} is ${isDeterministic ? "" : "not "}deterministic: ${written}`)
    if (typeof read(bytesOf(written), true) === "string") t.fail(`${written}, written for ${hex(bytes)}, is not deterministic`)
  }
  t.ok(valid > many(700), `${valid} were valid`)
  t.end()
})

t.test("items are written as cbor2 writes them, and read as it reads them", (t) => {
  const { below, bits } = random(62n)
  /** An item, and what it is to cbor2. */
  const any = (depth: number): readonly [Item, unknown] => {
    switch (below(depth > 0 ? 11 : 8)) {
      case 0: {
        const value = bits(below(65))
        return [u(value), value]
      }
      case 1: {
        const value = -1n - bits(below(65))
        return [n(value), value]
      }
      case 2: {
        const value = Uint8Array.from({ length: below(40) }, () => below(256))
        return [["b", hex(value)], value]
      }
      case 3:
      case 4: {
        const value = Array.from({ length: below(30) }, () => ["a", "é", "水", "😀"][below(4)] as string).join("")
        return [text(value), value]
      }
      case 5: {
        // cbor2 writes whole floats as integers, which is another item.
        const value =
          below(3) === 0
            ? (below(4096) + 0.5) / 2 ** below(12)
            : below(2) === 0
              ? Math.fround(Number(bits(23)) / 2 ** 20 + 2 ** -21)
              : Number(bits(53)) / 2 ** 50 + 2 ** -53
        return Number.isInteger(value) ? [u(value), value] : [float(value), value]
      }
      case 6: {
        const value = [false, true, null, undefined][below(4)]
        return [["s", 20 + [false, true, null, undefined].indexOf(value)], value]
      }
      case 7: {
        const value = below(2) === 0 ? below(20) : 32 + below(224)
        return [["s", value], new Simple(value)]
      }
      case 8: {
        const items = Array.from({ length: below(8) }, () => any(depth - 1))
        return [array(...items.map(([item]) => item)), items.map(([, value]) => value)]
      }
      case 9: {
        const [item, value] = any(depth - 1)
        const tag = 1000 + below(100_000)
        return [["g", `${tag}`, item], new Tag(tag, value)]
      }
      default: {
        const entries = new Map<string, readonly [readonly [Item, unknown], readonly [Item, unknown]]>()
        for (let i = below(12); i > 0; i--) {
          const key = any(0)
          entries.set(hex(encode(key[1], cdeEncodeOptions)), [key, any(depth - 1)])
        }
        const all = [...entries.values()]
        return [map(...all.map(([key, value]) => [key[0], value[0]] as const)), new Map(all.map(([key, value]) => [key[1], value[1]]))]
      }
    }
  }
  for (let i = 0; i < many(3_000); i++) {
    const [item, value] = any(4)
    const expected = hex(encode(value, cdeEncodeOptions))
    const got = write(item)
    if (got !== expected) t.equal(got, expected, JSON.stringify(item))
    const described = read(bytesOf(expected), true)
    if (typeof described === "string" || write(described) !== expected) t.fail(`${expected} is read as ${JSON.stringify(described)}`)
    if (hex(encode(decode(bytesOf(got), cdeDecodeOptions), cdeEncodeOptions)) !== expected) t.fail(`cbor2 reads ${got} otherwise`)
  }
  t.pass(`${many(3_000)} items`)
  t.end()
})

t.test("every half is read and written as itself, and every float by the shortest that is its value", (t) => {
  for (let half = 0; half < 0x10000; half += half % 64 === 0 ? 1 : 7) {
    const bytes = Uint8Array.of(0xf9, half >> 8, half & 255)
    const exponent = (half >> 10) & 31
    const fraction = half & 1023
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction === 0 ? Infinity : nothing) : (1024 + fraction) * 2 ** (exponent - 25)
    const value = half >= 0x8000 ? -magnitude : magnitude
    const got = read(bytes, false)
    const wanted = Number.isNaN(value) ? float(nothing) : float(value)
    if (JSON.stringify(got) !== JSON.stringify(wanted) && !Number.isNaN(value)) t.fail(`${hex(bytes)} is ${value}`)
    if (write(wanted) !== (Number.isNaN(value) ? "f97e00" : hex(bytes))) t.fail(`${value} is written as ${write(wanted)}`)
  }
  for (const [value, expected] of [
    [2 ** -25, "fa33000000"],
    [2 ** -24 * 1.5, "fa33c00000"],
    [65505, "fa477fe100"],
    [65536, "fa47800000"],
    [2 ** -149, "fa00000001"],
    [2 ** -150, "fb3690000000000000"],
    [2 ** 128, "fb47f0000000000000"],
    [1 + 2 ** -11, "fa3f801000"],
    [1 + 2 ** -24, "fb3ff0000010000000"],
  ] as const)
    t.equal(write(float(value)), expected, `${value}`)
  t.end()
})

t.test("numbers beyond 64 bits have one form", (t) => {
  for (const value of [0n, -1n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 64n), -(2n ** 64n) - 1n, 2n ** 127n - 1n, -(2n ** 127n)]) {
    const [bytes, back] = guest.call("big", `${value}`) as readonly [Uint8Array, string]
    t.equal(back, `${value}`)
    // Sixteen bytes with zeros before them are written without.
    t.equal(hex(bytes), hex(encode(value, cdeEncodeOptions)), `${value}`)
  }
  const of = (bytes: string): string => guest.call("big-of", bytesOf(bytes)) as string
  t.equal(of("c2410a"), "10")
  t.equal(of("c3410a"), "-11")
  t.equal(of("c240"), "0")
  t.equal(of(`c250${"ff".repeat(16)}`), "null")
  t.equal(of(`c25101${"00".repeat(16)}`), "null")
  t.equal(of("6161"), "null")
  t.equal(of("1b7fffffffffffffff"), "9223372036854775807 9223372036854775807")
  t.equal(of("1b8000000000000000"), "9223372036854775808")
  t.equal(of("3b7fffffffffffffff"), "-9223372036854775808 -9223372036854775808")
  for (const loose of ["c2410a", "c240", "c24900ffffffffffffffff", "c34a00ffffffffffffffffff"]) t.match(read(bytesOf(loose), true), /^notDeterministic/, loose)
  t.equal(hex(guest.call("again", bytesOf("c2410a")) as Uint8Array), "0a")
  t.equal(hex(guest.call("again", bytesOf("c34900000000000000ffff")) as Uint8Array), "39ffff")
  t.equal(hex(guest.call("again", bytesOf(`c24a00${"ff".repeat(9)}`)) as Uint8Array), `c249${"ff".repeat(9)}`)
  t.end()
})

t.test("equal keys, texts that are none, order and limits", (t) => {
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ["a201000100", "duplicate 0", "duplicate 3"],
    ["a20100180100", "duplicate 0", "notDeterministic 3"],
    ["a26161007f6161ff00", "duplicate 0", "notDeterministic 4"],
    ["62c328", "text 1", "text 1"],
    ["7f61c361bcff", "text 2", "notDeterministic 0"],
    ["a202000100", "", "notDeterministic 3"],
    ["a2616100187b00", "", "notDeterministic 4"],
    ["0000", "trailing 1", "trailing 1"],
    ["1817", "", "notDeterministic 0"],
    ["fb3ff0000000000000", "", "notDeterministic 0"],
    ["f97e01", "", "notDeterministic 0"],
  ]
  for (const [bytes, loose, strict] of cases) {
    const got = read(bytesOf(bytes), false)
    t.equal(typeof got === "string" ? got : "", loose, bytes)
    t.equal(read(bytesOf(bytes), true), strict, bytes)
  }
  const limited = (bytes: string, depthMax: number, bytesMax = 1 << 24, itemsMax = 1_000_000): string =>
    guest.call("limited", bytesOf(bytes), depthMax, bytesMax, itemsMax) as string
  t.equal(limited("81".repeat(65) + "00", 64), "Cannot read CBOR at byte 65: depthMax is 64")
  for (const part of ["81", "a100", "d8c8", "9f"]) {
    const end = part === "9f" ? "ff".repeat(256) : ""
    t.match(limited(part.repeat(256) + "00" + end, 1000), /^\d+$/, `256 levels of ${part}`)
    t.match(limited(part.repeat(257) + "00" + end, 1000), /depthMax is 256$/)
    t.match(limited(part.repeat(200_000), 1000), /depthMax is 256$/)
  }
  t.equal(limited("8300", 9, 1), "Cannot read CBOR at byte 0: bytesMax is 1")
  t.equal(limited("83010203", 9, 9, 3), "Cannot read CBOR at byte 3: itemsMax is 3")
  t.equal(limited("83010203", 9, 9, 4), "4")
  t.equal(limited("5f410041004100ff", 9, 99, 3), "Cannot read CBOR at byte 5: itemsMax is 3")
  t.equal(limited("bbffffffffffffffff", 9), "Cannot read CBOR at byte 9: it ends too soon")
  let deep: Item = u(1)
  for (let i = 0; i < 257; i++) deep = array(deep)
  t.equal(write(deep), "null")
  t.equal(write((deep as readonly ["a", ReadonlyArray<Item>])[1][0] as Item), `${"81".repeat(256)}01`)
  t.equal(write(map([u(1), u(1)], [u(1), u(2)])), "null")
  t.end()
})

t.test("wrong use traps, and 5,000 calls leave the memory as it was", async (t) => {
  for (let what = 0; what < 7; what++) await t.rejects(guest.plugin.call("trap", [what]), { code: "STELE-PLG-0002" }, `${what}`)
  t.equal(await guest.plugin.call("trap", [7]), 5)
  const bytes = encode(
    Array.from(
      { length: 20 },
      (_, i) =>
        new Map<unknown, unknown>([
          ["name", `n${i}`],
          ["price", i / 7],
          [5, [true, null, new Uint8Array(9)]],
        ]),
    ),
  )
  const calls = (): void => void [guest.call("again", bytes), read(bytes.subarray(1), true)]
  for (let i = 0; i < 100; i++) calls()
  const before = await guest.peak("again", bytes)
  for (let i = 0; i < 5_000; i++) calls()
  t.equal(await guest.peak("again", bytes), before)
})
