import t from "tap"
import { answer, engines } from "./engine.ts"

// ChaCha20 with the key "stele" padded with zeros, checked against OpenSSL: `openssl enc -chacha20 -K … -iv …`; the IV's fifth byte is the stream.
const bytes =
  "df95de10c94f1fd2aa2d90fc70b18d7bc8fbd3ec810d5e41a500c525e7ca2f66fefb2eba57c1995c43166a6f631a8c1f4b7e0a95a3b2b1a82225a1327ee8cc39ebdacea0b3e08a848539f2a3ba64437d4736cc7321fded24add75b04b6b3692fb97798f1"

for (const engine of engines) {
  t.test(`capabilities give the same bytes and order on ${engine}`, async (t) => {
    t.match(await answer(engine, "capability-program.ts"), {
      bytes,
      word: "9389803773430808425",
      order: ["t/", "t/a", "t/z", "t/é", "t/\uffff", "t/𐀀"],
      value: "010203",
      grants: [["kv:read:prices/*"], ["kv:read:prices/secret/*"]],
      refusal: /half of a surrogate pair/,
      canWait: true,
    })
  })
}
