/** XAES-256-GCM against the vectors of its specification, c2sp.org/XAES-256-GCM. */
import { randomBytes } from "node:crypto"
import t from "tap"
import { newNonce, Xaes } from "../../../../runtime/storage/sealed/xaes.ts"

const nonce = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWX")
const plain = Buffer.from("XAES-256-GCM")

// The second key's CMAC subkey is reduced, the first one's is not.
for (const [byte, beside, wanted] of [
  [1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"],
  [3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"],
] as const)
  t.test(`\`seal()\` and \`open()\` agree with the vector for a key of bytes ${byte}`, async (t) => {
    const cipher = new Xaes(Buffer.alloc(32, byte))
    const [ciphertext, tag] = cipher.seal(nonce, plain, Buffer.from(beside))
    t.equal(Buffer.concat([ciphertext, tag]).toString("hex"), wanted)
    t.equal(Buffer.from(cipher.open(nonce, ciphertext, tag, Buffer.from(beside)) ?? []).toString(), "XAES-256-GCM")
    t.equal(cipher.open(nonce, ciphertext, tag, Buffer.from("other")), undefined)
  })

t.test("one cipher seals many values of any size, and each opens with its own nonce only", async (t) => {
  const cipher = new Xaes(randomBytes(32))
  const all = [0, 1, 15, 16, 17, 100_000].map((size) => {
    const [value, own] = [randomBytes(size), newNonce()]
    return { value, own, parts: cipher.seal(own, value, Buffer.alloc(0)) }
  })
  for (const { value, own, parts } of all) t.same(Buffer.from(cipher.open(own, ...parts, Buffer.alloc(0)) ?? "no"), value)
  for (const { parts } of all) t.equal(cipher.open(newNonce(), ...parts, Buffer.alloc(0)), undefined)
  t.throws(() => new Xaes(randomBytes(16)), RangeError)
})

t.test("`newNonce()` gives 10,000 that differ, half by half", async (t) => {
  const nonces = Array.from({ length: 10_000 }, () => Buffer.from(newNonce()).toString("hex"))
  for (const part of [(hex: string) => hex.slice(0, 24), (hex: string) => hex.slice(24)]) t.equal(new Set(nonces.map(part)).size, nonces.length)
})
