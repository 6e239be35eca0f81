/** What loads and calls answer with where the engine cannot suspend WebAssembly: `waiting-absent-program.ts FOLDER`. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { argv } from "node:process"

// Before the host is there: as on an engine that never had it.
delete (WebAssembly as { Suspending?: unknown }).Suspending
const { Host, SteleError, memoryKeyValue } = await import("../../host/mod.ts")

const read = async (guest: string): Promise<Uint8Array> => new Uint8Array(await readFile(join(argv[2] as string, `${guest}.wasm`)))
const codeOf = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    (value) => `answered ${String(value)}`,
    (error: unknown) => (error instanceof SteleError ? error.code : String(error)),
  )

await using host = await Host.open({ cache: false, ports: { keyValue: { ...memoryKeyValue(), isAsync: true } } })
const f = (body: (x: number) => unknown) => ({ imports: { f: body } as never })
const plugin = await host.load(
  await read("caller"),
  f((x) => x),
)
const sleeper = await host.load(await read("sleeper"), { grants: ["clock:monotonic"] })
console.log(
  JSON.stringify({
    async: await codeOf(
      host.load(
        await read("caller"),
        f(async (x) => x),
      ),
    ),
    port: await codeOf(host.load(await read("reader"), { grants: ["kv:read:*", "kv:write:*"] })),
    yield: await codeOf(host.load(await read("caller"), { metering: "yield", ...f((x) => x) })),
    plain: await codeOf(plugin.call("sum", [4] as never)),
    wait: plugin.describe().mechanisms.wait,
    sleep: await codeOf(sleeper.call("test:sleep/api#block", [1_000_000n] as never)),
  }),
)
