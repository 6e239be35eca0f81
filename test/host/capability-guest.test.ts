// The capabilities through the whole host: a JavaScript component made by componentize-qjs, with its shim modules,
// resources and WASI imports, calls them for real.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { componentize } from "componentize-qjs"
import t from "tap"
import { wasiVersion } from "../../host/capability/io.ts"
import { Host } from "../../host/mod.ts"
import { memoryConfig, memoryLog, memoryObserver, memorySecret } from "../../host/port/mod.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-capability-guest-"))
t.teardown(() => rm(folder, { recursive: true }))

const text = async (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8")
const shipped = async (name: string): Promise<string> => {
  const at = new URL(import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`))
  return (await readFile(at, "utf8")).replaceAll(wasiVersion, "0.2.6")
}
const dependencies: ReadonlyArray<readonly [string, string]> = [
  ...(await Promise.all(["logging", "config", "keyvalue-draft2"].map(async (name) => [name, await text(`../../schemas/wit/wasi/${name}.wit`)] as const))),
  ...(await Promise.all(["secret", "event"].map(async (name) => [name, await text(`../../schemas/wit/stele/${name}.wit`)] as const))),
  ...(await Promise.all(["io", "clocks", "random"].map(async (name) => [name, await shipped(name)] as const))),
]
for (const [name, wit] of dependencies) {
  await mkdir(join(folder, "deps", name), { recursive: true })
  await writeFile(join(folder, "deps", name, "package.wit"), wit)
}
await writeFile(
  join(folder, "world.wit"),
  `package test:guest;
interface guest { run: func() -> list<string>; }
world all {
  import wasi:logging/logging@0.1.0-draft;
  import wasi:config/store@0.2.0-draft;
  import wasi:keyvalue/store@0.2.0-draft2;
  import wasi:keyvalue/atomics@0.2.0-draft2;
  import wasi:keyvalue/batch@0.2.0-draft2;
  import stele:secret/store@0.1.0;
  import stele:event/bus@0.1.0;
  import wasi:clocks/monotonic-clock@0.2.6;
  import wasi:random/random@0.2.6;
  export guest;
}
`,
)
const { component } = await componentize({ witPath: folder, jsSource: await text("capability-guest.js"), sync: true })

// QuickJS itself imports the wall clock and random.
const grants = [
  "log",
  "config:greeting",
  "secret:key",
  "kv:read:prices/*",
  "kv:write:prices/*",
  "event:publish:orders",
  "event:subscribe:orders",
  "clock:monotonic",
  "clock:wall",
  "random:seeded:7",
]
const deadlineMs = 20_000

t.test("`Host.load()` serves a JavaScript component every capability it was granted, and revokes them while it is loaded", async (t) => {
  const log = memoryLog()
  const observer = memoryObserver()
  const ports = { log, observer, config: memoryConfig({ shared: { greeting: "hi", password: "x" } }), secret: memorySecret({ shared: { key: "s3" } }) }
  await using host = await Host.open({ ports })
  await using plugin = await host.load(component, { grants })
  const run = async (): Promise<Map<string, string>> => {
    const lines = (await plugin.call("test:guest/guest#run", [], { deadlineMs })) as ReadonlyArray<string>
    return new Map(lines.map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]))
  }
  const first = await run()
  const random = first.get("random")
  t.same(Object.fromEntries(first), {
    setting: '"hi"',
    settingDenied: `error ${JSON.stringify({ tag: "upstream", val: 'Plugin was denied an operation that needs the grant "config:password"' })}`,
    value: '"1.1"',
    valueDenied: 'error {"tag":"access-denied"}',
    batch: '[["a","A"],null]',
    count: "3",
    swap: '["1.1","2.2"]',
    keys: '{"keys":["a","eur","n"],"cursor":null}',
    secret: '{"tag":"text","val":"s3"}',
    event: '{"events":[{"sequence":1,"payload":"o"}],"next":1,"lost":0}',
    sleep: "true",
    random,
  })
  t.same(
    log.records.map((r) => [r.context, r.message]),
    [["guest", "start"]],
  )
  const events = observer.drain()
  t.same(
    events.flatMap((e) => (e.type === "denial" ? [e.grant] : [])),
    ["config:password", "kv:read:rates/*"],
  )
  t.match(events.at(-1), {
    type: "usage",
    record: { outcome: "ok", hostCalls: { log: 1, "kv:write:prices/*": 4, "kv:read:prices/*": 9, "clock:monotonic": 3 } },
  })

  plugin.revoke("kv:read:prices/*")
  plugin.revoke("event:subscribe:*")
  const second = await run()
  for (const step of ["value", "batch", "count", "keys", "swap"]) t.equal(second.get(step), 'error {"tag":"access-denied"}', step)
  t.equal(second.get("event"), 'error {"tag":"access-denied"}')
  t.equal(second.get("setting"), '"hi"')
  t.equal(second.get("random"), random, "seeded randomness starts again with each fresh instance")
  t.same(
    observer.drain().flatMap((e) => (e.type === "grant" ? [`${e.change} ${e.grant}`] : [])),
    ["revoked kv:read:prices/*", "revoked event:subscribe:*"],
  )
})

t.test("`Host.load()` names the first missing grant of a JavaScript component", async (t) => {
  await using host = await Host.open()
  const refused = await host.load(component, { grants: grants.filter((g) => !g.startsWith("kv:")) }).then(
    () => undefined,
    (error: unknown) => error,
  )
  t.match(refused, { code: "STELE-CAP-0003", reason: { _tag: "Missing", grant: "kv:read:*" } })
})
