/** A plugin that is replaced over HTTP while it is called: no call is lost, and none is answered by half of one and half of the other. */
import { createHash } from "node:crypto"
import t from "tap"
import { greeterQuery, start, token, wasm } from "./start.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(isFull ? 600_000 : 120_000)

/** The greeter with another word of the same length in its data. */
function greeting(word: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(wasm("greeter"))
  for (const encoding of ["utf8", "utf16le"] as const) {
    // As bytes: a search for UTF-16 text looks at even offsets only.
    const wanted = Buffer.from("Hello", encoding)
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 2)) bytes.write(word, at, encoding)
  }
  return new Uint8Array(bytes)
}

const versions = ["Hello", "Howdy"].map((word) => {
  const bytes = greeting(word)
  return { word, bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` }
})

for (const [isolation, calls] of [
  ["process", isFull ? 10_000 : 150],
  ["inline", isFull ? 10_000 : 400],
] as const) {
  t.test(`${calls} calls while the plugin is replaced, ${isolation}: none is lost or mixed`, async (t) => {
    await using on = await start({
      isolation,
      limits: { tokenRate: 1e6, tokenBurst: 1e6, addressRate: 1e6, addressBurst: 1e6 },
    })
    // The machine is busy with other tests: a deadline is not what is looked at here.
    const put = (version: (typeof versions)[number]): ReturnType<typeof on.ask> =>
      on.ask("PUT", `/v1/plugins/greeter${greeterQuery}&limit=deadlineMs=20000`, { body: version.bytes, headers: { "content-type": "application/wasm" } })
    let current = versions[0] as (typeof versions)[number]
    t.equal((await put(current)).json["isolation"], isolation)
    let begun = 0
    let swaps = 0
    let isSwapping = false
    const wrong: Array<string> = []
    // However slow a replacement is, there are two.
    const isDone = (): boolean => (begun >= calls && swaps >= 2) || wrong.length >= 10
    const answers = new Map<string, number>()
    const lane = async (): Promise<void> => {
      while (!isDone()) {
        const name = `Ada${begun++}`
        const before = isSwapping ? undefined : { swaps, digest: current.digest }
        const response = await fetch(`${on.server.url}/v1/plugins/greeter/calls/greet`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify([{ name }]),
        })
        const text = await response.text()
        const digest = response.headers.get("stele-digest")
        const version = versions.find((each) => each.digest === digest)
        // Where no replacement was under way from the call's beginning to its end, it is known who must have answered.
        const isKnown = before !== undefined && !isSwapping && before.swaps === swaps
        if (response.status !== 200 || version === undefined || text !== `{"result":{"message":"${version.word}, ${name}!"}}`)
          wrong.push(`${response.status} ${digest} ${text.slice(0, 200)}`)
        else if (isKnown && before.digest !== digest) wrong.push(`${name} was answered by the one that had been replaced`)
        answers.set(version?.word ?? "", (answers.get(version?.word ?? "") ?? 0) + 1)
      }
    }
    const swapping = (async () => {
      while (!isDone()) {
        const next = versions[(swaps + 1) % 2] as (typeof versions)[number]
        isSwapping = true
        const { status, text } = await put(next)
        if (status !== 200) wrong.push(`PUT: ${status} ${text.slice(0, 200)}`)
        current = next
        swaps++
        isSwapping = false
        const before = begun
        const hasPause = (): boolean => begun < before + 20 && !isDone()
        while (hasPause()) await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })()
    await Promise.all([swapping, ...Array.from({ length: 16 }, lane)])
    t.strictSame(wrong, [])
    t.equal(
      [...answers.values()].reduce((sum, count) => sum + count, 0),
      begun,
    )
    t.comment(`${swaps} replacements`)
    t.ok(swaps >= 2 && answers.size === 2, `both were there: ${swaps} ${JSON.stringify([...answers])}`)
  })
}
