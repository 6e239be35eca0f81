/** Text and hash kernels against the platform's own and plain references. */
import { isUtf8 } from "node:buffer"
import { createHash } from "node:crypto"
import t from "tap"
import { matches } from "../../kernels/search/literals.ts"
import { openTextKernels } from "../../kernels/text.ts"
import { Random } from "./random-floats.ts"
import { replay, runsOf, seed } from "../seed.ts"

t.comment(`${replay} replays`)
const rounds = runsOf(1_000, 20_000)

const kernels = await openTextKernels()
const randomBytes = (random: Random, n: number, kinds = 256): Uint8Array =>
  Uint8Array.from({ length: n }, () => (kinds === 256 ? 0 : 97) + random.whole(0, kinds - 1))

t.test("Keccak-f[1600], by SHA3-256 of every length of two blocks, and two states at once", (t) => {
  using state = kernels.bytes(200)
  const rate = 136
  const sha3 = (message: Uint8Array): string => {
    const padded = new Uint8Array(Math.ceil((message.length + 1) / rate) * rate)
    padded.set(message)
    padded[message.length] = 0x06
    padded[padded.length - 1] = (padded.at(-1) as number) | 0x80
    state.array.fill(0)
    for (let at = 0; at < padded.length; at += rate) {
      for (let i = 0; i < rate; i++) state.array[i] = (state.array[i] as number) ^ (padded[at + i] as number)
      kernels.keccakF1600(state)
    }
    return Buffer.from(state.array.subarray(0, 32)).toString("hex")
  }
  const random = new Random(seed)
  for (let n = 0; n < 2 * rate + 3; n++) {
    const message = randomBytes(random, n)
    t.equal(sha3(message), createHash("sha3-256").update(message).digest("hex"), `${n} bytes`)
  }
  using states = kernels.bytes(400)
  for (let round = 0; round < 20; round++) {
    const two = [randomBytes(random, 200), randomBytes(random, 200)] as const
    two.forEach((bytes, which) => bytes.forEach((byte, i) => (states.array[16 * (i >> 3) + 8 * which + (i & 7)] = byte)))
    kernels.keccakF1600x2(states)
    two.forEach((bytes, which) => {
      state.array.set(bytes)
      kernels.keccakF1600(state)
      t.strictSame(
        state.array.map((_, i) => states.array[16 * (i >> 3) + 8 * which + (i & 7)] as number),
        state.array,
      )
    })
  }
  t.end()
})

t.test("SHA-256 of messages of one length", (t) => {
  const random = new Random(seed + 1)
  for (let length = 1; length < 200; length++) {
    const count = random.whole(0, 9)
    using messages = kernels.bytes(randomBytes(random, length * count))
    using out = kernels.bytes(32 * count)
    kernels.sha256Batch(out, messages, length)
    const expected = Array.from({ length: count }, (_, i) =>
      createHash("sha256")
        .update(messages.array.subarray(i * length, (i + 1) * length))
        .digest("hex"),
    ).join("")
    if (Buffer.from(out.array).toString("hex") !== expected) t.fail(`${count} of ${length} bytes`)
  }
  t.pass()
  t.end()
})

t.test("CRC32C: RFC 3720, B.4, and in pieces", (t) => {
  const of = (bytes: ArrayLike<number>): string => {
    using at = kernels.bytes(bytes)
    return kernels.crc32c(at).toString(16)
  }
  t.equal(of(new Uint8Array(32)), "8a9136aa")
  t.equal(of(new Uint8Array(32).fill(0xff)), "62a8ab43")
  t.equal(of(Uint8Array.from({ length: 32 }, (_, i) => i)), "46dd794e")
  t.equal(of(new TextEncoder().encode("123456789")), "e3069283")
  t.equal(of([]), "0")
  const random = new Random(seed + 2)
  for (let round = 0; round < 100; round++) {
    const bytes = randomBytes(random, random.whole(0, 100))
    const cut = random.whole(0, bytes.length)
    using whole = kernels.bytes(bytes)
    using first = kernels.bytes(bytes.subarray(0, cut))
    using second = kernels.bytes(bytes.subarray(cut))
    if (kernels.crc32c(second, kernels.crc32c(first)) !== kernels.crc32c(whole)) t.fail(`${bytes.length} bytes, cut at ${cut}`)
  }
  t.end()
})

t.test("UTF-8, as the platform judges it", (t) => {
  const random = new Random(seed + 3)
  const good = [
    [0x41],
    [0xc3, 0xa4],
    [0xe2, 0x82, 0xac],
    [0xf0, 0x9f, 0x98, 0x80],
    [0xf4, 0x8f, 0xbf, 0xbf],
    [0xee, 0x80, 0x80],
    [0xef, 0xbf, 0xbf],
    [0xed, 0x9f, 0xbf],
  ]
  const bad = [
    ...[
      [0xed, 0xa0, 0x80],
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xe0, 0x9f, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
    ],
    ...[[0x80], [0xff], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xc3]],
  ]
  const answers = { true: 0, false: 0 }
  for (let round = 0; round < rounds * 5; round++) {
    const bytes = Array.from({ length: random.whole(0, 40) }, () => random.pick(round % 2 === 0 || random.whole(0, 19) > 0 ? good : bad)).flat()
    if (round % 5 === 1 && bytes.length > 0) bytes[random.whole(0, bytes.length - 1)] = random.whole(0, 255)
    using text = kernels.bytes(bytes)
    const expected = isUtf8(Uint8Array.from(bytes))
    answers[`${expected}`]++
    if (kernels.isUtf8(text) !== expected) t.fail(bytes.map((byte) => byte.toString(16)).join(" "))
  }
  // Every byte that can end a text, and every pair that can begin a sequence at the end of a step.
  for (let first = 0; first < 256; first++)
    for (let second = 0; second < 256; second += 5)
      for (const before of [0, 14, 15, 16]) {
        const bytes = [...Array<number>(before).fill(0x41), first, second, 0x80]
        using text = kernels.bytes(bytes)
        if (kernels.isUtf8(text) !== isUtf8(Uint8Array.from(bytes))) t.fail(`${first} ${second} after ${before}`)
      }
  t.ok(answers.true > rounds && answers.false > rounds, JSON.stringify(answers))
  t.end()
})

t.test("one literal, as Buffer.indexOf", (t) => {
  const random = new Random(seed + 4)
  let found = 0
  for (let round = 0; round < rounds * 5; round++) {
    const bytes = Buffer.from(randomBytes(random, random.whole(0, 200), 2))
    const wanted = Buffer.from(randomBytes(random, random.whole(0, 9), 2))
    const from = random.whole(0, 210)
    using text = kernels.bytes(bytes)
    using literal = kernels.bytes(wanted)
    const at = kernels.indexOf(text, literal, from)
    if (at >= 0) found++
    if (at !== bytes.indexOf(wanted, from)) t.fail(`${bytes.toString()} ${wanted.toString()} from ${from}: ${at}`)
  }
  t.ok(found > rounds, `${found} found`)
  t.end()
})

t.test("literals, few and many: every place, overlapping ones too, whichever way they are searched for", (t) => {
  const random = new Random(seed + 5)
  let found = 0
  const ways = { halves: 0, grams: 0 }
  for (let round = 0; round < rounds; round++) {
    // Of two letters nearly every place is like a literal's beginning; of 26 nearly none.
    const kinds = random.pick([2, 3, 26, 256])
    const shortest = random.whole(1, 9) + random.pick([0, 0, 9])
    const all = Array.from({ length: random.pick([1, 2, 8, 16, 24, 40, 64, 65]) }, () => randomBytes(random, random.whole(shortest, shortest + 8), kinds))
    const bytes = randomBytes(random, random.whole(0, 300), kinds)
    // Some of them are there for sure, at the very end too.
    for (let i = 0; i < 4; i++) {
      const one = random.pick(all)
      if (one.length <= bytes.length) bytes.set(one, i === 0 ? bytes.length - one.length : random.whole(0, bytes.length - one.length))
    }
    using text = kernels.bytes(bytes)
    using literals = kernels.literals(all)
    ways[literals.by]++
    const expected = matches(bytes, all)
    found += expected.length
    const got = kernels.find(text, literals)
    if (JSON.stringify(got) !== JSON.stringify(expected))
      t.fail(`${all.length} literals of ${shortest} and more by ${literals.by}: ${got.length} matches, not ${expected.length}`)
  }
  t.ok(found > rounds, `${found} matches`)
  t.ok(ways.halves > rounds / 5 && ways.grams > rounds / 5, JSON.stringify(ways))
  t.end()
})

t.test("more matches than one call gives, of literals that are the same or parts of each other", (t) => {
  const size = 10_000
  using text = kernels.bytes(new Uint8Array(size).fill(97))
  for (let shortest = 1; shortest <= 7; shortest++) {
    const lengths = [shortest, shortest, shortest + 1, shortest + 2]
    // Others make it many.
    for (const others of [0, 100]) {
      using literals = kernels.literals([
        ...lengths.map((length) => new Uint8Array(length).fill(97)),
        ...Array.from({ length: others }, (_, i) => Uint8Array.from({ length: shortest + 3 }, (_, place) => (place === i % (shortest + 3) ? 98 + i : 97))),
      ])
      t.equal(
        kernels.find(text, literals).length,
        lengths.reduce((sum, length) => sum + size - length + 1, 0),
        `${shortest} and more, ${literals.by}`,
      )
    }
  }
  t.end()
})

t.test("literals whose beginning is everywhere are compared at every place, and found where they are", (t) => {
  const size = 200_000
  const bytes = new Uint8Array(size).fill(97)
  const places = [63, 64, 100_001, size - 8]
  for (const at of places) bytes[at + 7] = 98
  const wanted = Uint8Array.from({ length: 8 }, (_, i) => (i < 7 ? 97 : 98))
  using text = kernels.bytes(bytes)
  for (const others of [0, 200]) {
    using literals = kernels.literals([wanted, ...Array.from({ length: others }, (_, i) => Uint8Array.from([97, 97, 97, 97, 99 + (i % 100), i, 1, 2]))])
    t.strictSame(
      kernels.find(text, literals).map(({ at }) => at),
      // Of two that are side by side the second has no seven letters before it.
      places.filter((at) => at !== 64),
      literals.by,
    )
  }
  t.end()
})

t.test("nothing is left of what was freed, and what is no set of literals is refused", (t) => {
  t.equal(kernels.bytesUsed, 0)
  t.throws(() => kernels.literals([]), { code: "STELE-KRN-0003", message: /"literals" is 0 literals, expected 1 to literalsMax \(65536\)/ })
  t.throws(() => kernels.literals([new Uint8Array(0)]), { code: "STELE-KRN-0003", message: /is one of 0 bytes/ })
  t.throws(() => kernels.keccakF1600(kernels.bytes(199)), { code: "STELE-KRN-0001", message: /"state" has 199 numbers, not 200/ })
  t.throws(() => kernels.sha256Batch(kernels.bytes(32), kernels.bytes(7), 0), { code: "STELE-KRN-0003" })
  t.throws(() => kernels.sha256Batch(kernels.bytes(32), kernels.bytes(7), 4), { code: "STELE-KRN-0001" })
  const literals = kernels.literals([Uint8Array.of(1)])
  literals.free()
  t.throws(() => kernels.find(kernels.bytes(1), literals), { code: "STELE-KRN-0004" })
  t.end()
})
