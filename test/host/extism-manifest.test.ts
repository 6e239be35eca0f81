/** Extism's manifest as what this host loads by. */
import { createHash } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import fc from "../property.ts"
import t from "tap"
import { extismManifest } from "../../host/foreign/extism/manifest.ts"
import { ExtismError } from "../../schemas/error/extism.ts"
import { Host, parseGrant } from "../../host/mod.ts"
import { extismGuest } from "./extism/guest.ts"

const host = await Host.open({ cache: false })
t.teardown(() => host.close())
const folder = await mkdtemp(join(tmpdir(), "stele-extism-"))
t.teardown(() => rm(folder, { recursive: true }))

const bytes = await extismGuest({ data: "greeting", body: `(call $answer (call $config_get (call $block (i32.const 0) (i32.const 8))))` })
const data = Buffer.from(bytes).toString("base64")
const hash = createHash("sha256").update(bytes).digest("hex")
const path = join(folder, "plugin.wasm")
await writeFile(path, bytes)

const call = async (manifest: unknown): Promise<string> => {
  const { source, options } = extismManifest(manifest)
  await using plugin = await host.load(source, options)
  return new TextDecoder().decode((await plugin.call("run", [new Uint8Array()])) as Uint8Array)
}

t.test("a plugin runs by its manifest wherever its module is", async (t) => {
  const config = { greeting: "hello" }
  for (const item of [
    { path },
    { data },
    { url: pathToFileURL(path).href },
    { data, hash, name: "main" },
    { path, hash: hash.toUpperCase() },
    { url: pathToFileURL(path).href, headers: {}, method: "get" },
  ]) {
    t.equal(await call({ wasm: [item], config }), "hello")
    t.equal(await call(JSON.stringify({ wasm: [item], config })), "hello", "as text")
  }
  t.equal(await call({ wasm: [{ data }] }), "", "without the setting")
  await t.rejects(call({ wasm: [{ data, hash: "0".repeat(64) }] }), { code: "STELE-VFY-0018", reason: { actual: `sha256:${hash}` } })
})

t.test("every key becomes a grant or a limit", async (t) => {
  const { options, source } = extismManifest({
    wasm: [{ path: "plugin.wasm", hash }],
    memory: { max_pages: 20, max_var_bytes: 1000, max_http_response_bytes: 5000 },
    allowed_paths: { "/srv/data": "/data", "ro:/srv/./x/../static": "/static" },
    config: { greeting: "hello", "app.level": "2" },
    allowed_hosts: ["api.example.com", "*.example.org", "127.0.0.1", "::1"],
    timeout_ms: 250,
  })
  t.equal(source, "plugin.wasm")
  t.same(options, {
    grants: [
      "log",
      "config:greeting",
      "config:app.level",
      "http:*:https://api.example.com/*",
      "http:*:http://api.example.com/*",
      "http:*:https://*.example.org/*",
      "http:*:http://*.example.org/*",
      "http:*:https://127.0.0.1/*",
      "http:*:http://127.0.0.1/*",
      "http:*:https://[::1]/*",
      "http:*:http://[::1]/*",
      "fs:read:/srv/data",
      "fs:write:/srv/data",
      "fs:read:/srv/static",
    ],
    limits: { memoryBytesMax: 20 * 65_536, varBytesMax: 1000, httpResponseBytesMax: 5000, deadlineMs: 250 },
    config: { greeting: "hello", "app.level": "2" },
    digest: `sha256:${hash}`,
    wasi: { directories: { "/data": "/srv/data", "/static": "/srv/static" } },
  })
  t.same(extismManifest({ wasm: [{ path }], allowed_paths: { "./data": "/data", "ro:../up": "/up" } }, { cwd: "/srv/app" }).options.wasi, {
    directories: { "/data": "/srv/app/data", "/up": "/srv/up" },
  })
  for (const grant of options.grants ?? []) parseGrant(grant)
  t.same(extismManifest({ wasm: [{ path }], allowed_hosts: ["*"] }).options.grants, ["log", "http:*:*"])
  t.same(extismManifest({ wasm: [{ path }] }, { wasi: true }).options.grants, ["log", "clock:wall", "clock:monotonic", "random"])
  t.same(extismManifest({ wasm: [{ path }], memory: { max: 3 }, allowed_hosts: null, timeout_ms: null, allowed_paths: {} }).options, {
    grants: ["log"],
    limits: { memoryBytesMax: 3 * 65_536 },
    config: {},
  })
})

t.test("what is no manifest is refused with the key it is about", async (t) => {
  const wasm = [{ path }]
  for (const [manifest, about] of [
    ["{", ""],
    ["[]", ""],
    [null, ""],
    [5, ""],
    [{}, "wasm"],
    [{ wasm: [] }, "wasm"],
    [{ wasm: {} }, "wasm"],
    [{ wasm: ["plugin.wasm"] }, "wasm[0]"],
    [{ wasm: [{}] }, "wasm[0]"],
    [{ wasm: [{ path, data }] }, "wasm[0]"],
    [{ wasm: [{ path: 5 }] }, "wasm[0].path"],
    [{ wasm: [{ data: "!" }] }, "wasm[0].data"],
    [{ wasm: [{ url: "plugin.wasm" }] }, "wasm[0].url"],
    [{ wasm: [{ url: "ftp://example.com/plugin.wasm" }] }, "wasm[0].url"],
    [{ wasm: [{ path, hash: "12" }] }, "wasm[0].hash"],
    [{ wasm: [{ path, name: 5 }] }, "wasm[0].name"],
    [{ wasm: [{ path, sha: hash }] }, "wasm[0].sha"],
    [{ wasm: [{ path }, {}] }, "wasm[1]"],
    [{ wasm: [{ path }, { data: "!" }] }, "wasm[1].data"],
    [{ wasm, memory: { max_pages: -1 } }, "memory.max_pages"],
    [{ wasm, memory: { max_pages: 65_537 } }, "memory.max_pages"],
    [{ wasm, memory: { max_pages: "4" } }, "memory.max_pages"],
    [{ wasm, memory: { max_bytes: 4 } }, "memory.max_bytes"],
    [{ wasm, memory: 4 }, "memory"],
    [{ wasm, config: { a: 1 } }, "config.a"],
    [{ wasm, config: [] }, "config"],
    [{ wasm, timeout_ms: 0 }, "timeout_ms"],
    [{ wasm, timeout_ms: 1.5 }, "timeout_ms"],
    [{ wasm, allowed_hosts: "example.com" }, "allowed_hosts"],
    [{ wasm, allowed_hosts: [5] }, "allowed_hosts[0]"],
    [{ wasm, allowedHosts: [] }, "allowedHosts"],
    [{ wasm, allowed_paths: ["/srv"] }, "allowed_paths"],
    [{ wasm, allowed_paths: { "/srv": 5 } }, "allowed_paths./srv"],
    [{ wasm, allowed_paths: { data: "/data" } }, "allowed_paths.data"],
    [{ wasm, allowed_paths: { "/a": "/data", "/b": "/data" } }, "allowed_paths./b"],
    [{ wasm, memory: { max_http_response_bytes: -1 } }, "memory.max_http_response_bytes"],
  ] as const) {
    t.throws(() => extismManifest(manifest), { code: "STELE-EXT-0004", reason: { path: about } }, JSON.stringify(manifest))
  }
})

t.test("what this host does not do is refused, and nothing of it left out", async (t) => {
  const wasm = [{ path }]
  for (const [manifest, about] of [
    [{ wasm: [{ url: "https://example.com/plugin.wasm", headers: { authorization: "secret" } }] }, "wasm[0].headers"],
    [{ wasm: [{ url: "https://example.com/plugin.wasm", method: "POST" }] }, "wasm[0].method"],
    [{ wasm, allowed_hosts: ["a*b.example.com"] }, "allowed_hosts[0]"],
    [{ wasm, allowed_hosts: ["example.com", "[ab].example.com"] }, "allowed_hosts[1]"],
    [{ wasm, allowed_hosts: ["https://example.com"] }, "allowed_hosts[0]"],
    [{ wasm, config: { "a*": "" } }, "config.a*"],
    [{ wasm, config: { "": "" } }, "config."],
    [{ wasm, allowed_paths: { "/srv/*": "/data" } }, "allowed_paths./srv/*"],
    [{ wasm, config: { "a\nb": "" } }, "config.a\nb"],
  ] as const) {
    t.throws(() => extismManifest(manifest), { code: "STELE-EXT-0005", reason: { path: about } }, JSON.stringify(manifest))
  }
})

t.test("any value is a manifest or a typed error", async () => {
  const key = fc.constantFrom("wasm", "memory", "config", "allowed_hosts", "allowed_paths", "timeout_ms", "path", "data", "hash", "max_pages", "__proto__")
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: "small" },
      fc.string({ maxLength: 8 }),
      fc.integer(),
      fc.constant(null),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(key, tie("any"), { maxKeys: 4 }),
    ),
  })).any
  fc.assert(
    fc.property(value, (manifest) => {
      try {
        const { options } = extismManifest(manifest)
        for (const grant of options.grants ?? []) parseGrant(grant)
      } catch (error) {
        if (!(error instanceof ExtismError)) throw error
      }
    }),
    { numRuns: 2_000 },
  )
})
