/** The bundled command line on each engine. How long it takes to start: `start.test.ts`. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import t from "tap"
import { example, stele } from "./command-line.ts"

t.setTimeout(120_000)
const bundle = fileURLToPath(new URL("../../dist/cli.js", import.meta.url))
if (!existsSync(bundle)) t.bailout("dist/cli.js is not built: npm run build")
const call = ["call", example("greeter"), "greet", '{name: "Ada"}', "--grant", "log", "--grant", "kv:read:prices/*"]
const engines: Readonly<Record<string, ReadonlyArray<string>>> = {
  node: [process.execPath, bundle],
  deno: ["deno", "run", "--allow-all", bundle],
  bun: ["bun", bundle],
}

for (const [engine, program] of Object.entries(engines)) {
  t.test(`dist/cli.js calls, refuses and shows the examples when ${engine} runs it`, async (t) => {
    const called = stele(call, { program })
    t.equal(called.stdout, '{message: "Hello, Ada!", tea-price: none}\n', called.stderr)
    t.equal(called.code, 0)
    const refused = stele(call.slice(0, 4), { program })
    t.match(refused.stderr, /^error\[STELE-CAP-0003\]/)
    t.equal(refused.code, 5)
    t.equal(stele(["call", example("spinner"), "spin", "1", "--deadline", "50ms"], { program }).code, 7)
    const ran = stele(["up", "--once", "--json"], { program })
    t.equal(ran.code, 0, ran.stderr)
    t.match(JSON.parse(ran.stdout), { platform: engine, isOk: true })
    const prompted = stele(["up"], { program, input: "call spinner spin 0\nexit\n" })
    t.match(prompted.stdout, /\n0\n$/)
    t.equal(prompted.code, 0, prompted.stderr)
  })
}
