// SHA-256 of FIPS 180-4 and HMAC of RFC 4231, and the same as node:crypto for every length about a block.
import { createHash, createHmac, randomBytes } from "node:crypto"
import t from "tap"
import { hmacSha256, sha256, shortBytesMax } from "../../kernels/sha256/sha256.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

t.test("`sha256()` gives the examples of FIPS 180-4", async (t) => {
  t.equal(hex(sha256(utf8("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "B.1")
  t.equal(
    hex(sha256(utf8("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    "B.2",
  )
  t.equal(hex(sha256()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of nothing")
})

t.test("`hmacSha256()` gives the cases of RFC 4231 whose keys are short", async (t) => {
  t.equal(hex(hmacSha256(new Uint8Array(20).fill(0x0b), utf8("Hi There"))), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", "case 1")
  t.equal(hex(hmacSha256(utf8("Jefe"), utf8("what do ya want for nothing?"))), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "case 2")
})

t.test("both agree with node:crypto for every length around blocks, and the longest", async (t) => {
  const key = randomBytes(32)
  let differing = 0
  for (const length of [...Array.from({ length: 200 }, (_, i) => i), 4_095, 4_096, shortBytesMax - 1, shortBytesMax]) {
    const bytes = randomBytes(length)
    if (hex(sha256(bytes)) !== createHash("sha256").update(bytes).digest("hex")) differing++
    if (hex(sha256(bytes.subarray(0, 7), bytes.subarray(7))) !== createHash("sha256").update(bytes).digest("hex")) differing++
    if (hex(hmacSha256(key, bytes)) !== createHmac("sha256", key).update(bytes).digest("hex")) differing++
  }
  t.equal(differing, 0)
})
