/** The world around a plugin in one test holds out against a plugin that asks it without end. */
import t from "tap"
import type { memoryHttp } from "../../../host/port/mod.ts"
import { fakeWorld } from "../../../runtime/author/fakes.ts"
import { httpLimits } from "../../../host/port/http.ts"

t.test("unexpected requests are told, and no more of them than somebody reads", async (t) => {
  const located = { file: "greet.test.json", value: {}, problem: () => t.fail("nothing here is wrong") as never }
  const { ports, unexpected } = await fakeWorld({ http: [{ url: "https://known.example/" }] }, located, [])
  const http = ports.http as ReturnType<typeof memoryHttp>
  const ask = (url: string): void => {
    const exchange = http.open({ method: "GET", url, isAddress: false, headers: [], bodyBytes: 0, decompress: false, limits: httpLimits as never })
    exchange.end([])
  }
  ask("https://known.example/")
  t.same(unexpected, [])
  for (let i = 0; i < 1_000; i++) ask(`https://other.example/${i}`)
  t.equal(unexpected.length, 20)
  t.equal(unexpected[0], "GET https://other.example/0")
})
