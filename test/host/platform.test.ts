import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { gzipSync } from "node:zlib"
import t from "tap"
import { platform as browser } from "../../host/platform/browser.ts"
import { platform } from "../../host/platform/mod.ts"
import { cacheFolder } from "../../host/platform/server.ts"
import { answer, engines, start } from "./engine.ts"

const folder = await mkdtemp(join(tmpdir(), "stele-platform-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await writeFile(join(folder, "ten"), "0123456789")
await mkdir(join(folder, "folder"))
const { promise: listening, resolve } = Promise.withResolvers<number>()
const server = createServer((request, response) => {
  if (request.url === "/ten") response.end("0123456789")
  else if (request.url === "/chunked") {
    response.write("0123456789")
    response.end("0123456789")
  } else if (request.url === "/zip") response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(10_000)))
  else if (request.url === "/cut") {
    response.writeHead(200, { "content-length": "10" }).write("01234")
    setImmediate(() => response.destroy())
  } else response.writeHead(request.url === "/500" ? 500 : 404).end()
}).listen(0, "127.0.0.1", () => resolve((server.address() as { readonly port: number }).port))
t.teardown(() => server.close())
const origin = `http://127.0.0.1:${await listening}`

const notFound = "STELE-PLG-0008"
const unreadable = "STELE-PLG-0013"
const tooLarge = "STELE-LIM-0012"

const cases: ReadonlyArray<readonly [source: string, expected: number | string]> = [
  [join(folder, "ten"), 10],
  [pathToFileURL(join(folder, "ten")).href, 10],
  [`url=${pathToFileURL(join(folder, "ten")).href}`, 10],
  [`${origin}/ten`, 10],
  ["data:,0123456789", 10],
  [join(folder, "none"), notFound],
  [join(folder, "ten", "none"), notFound],
  [pathToFileURL(join(folder, "none")).href, notFound],
  ["file://otherhost/x", notFound],
  [`${origin}/none`, notFound],
  [join(folder, "folder"), unreadable],
  [`${origin}/500`, unreadable],
  [`${origin}/cut`, unreadable],
  ["gopher://127.0.0.1/x", unreadable],
  ["/dev/zero", tooLarge],
  [`${origin}/chunked`, tooLarge],
  [`${origin}/zip`, tooLarge],
]

for (const engine of engines) {
  t.test(`\`readBytes()\` reads files and URLs up to its limit, with typed errors, on ${engine}`, async (t) => {
    const found = await answer<{ readonly name: string; readonly results: ReadonlyArray<unknown>; readonly empty: string }>(engine, "platform-program.ts", [
      "read",
      "10",
      ...cases.map(([source]) => source),
    ])
    t.equal(found.name, engine)
    for (const [i, [source, expected]] of cases.entries()) t.equal(found.results[i], expected, source.replace(folder, "").replace(origin, ""))
    t.equal(found.empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "FIPS 180-4, SHA-256 of nothing")
  })
}

t.test("`readBytes()` refuses one byte too many when the file is larger than the limit", async (t) => {
  t.equal((await platform.readBytes(join(folder, "ten"), 10)).length, 10)
  await t.rejects(platform.readBytes(join(folder, "ten"), 9), { code: tooLarge, reason: { limit: 9, actual: 10 } })
  await t.rejects(platform.readBytes(`${origin}/ten`, 9), { code: tooLarge })
  t.equal((await platform.readBytes("/dev/null", 0)).length, 0)
})

t.test("`readBytes()` names the file when it cannot be read", async (t) => {
  const closed = join(folder, "closed")
  await writeFile(closed, "x")
  await chmod(closed, 0)
  // The superuser reads it all the same; a folder is unreadable for everybody.
  await t.rejects(platform.readBytes(process.getuid?.() === 0 ? folder : closed, 10), { code: unreadable, message: new RegExp(`^Cannot read "${folder}`) })
})

t.test("`cacheFolder()` follows STELE_CACHE, XDG_CACHE_HOME and HOME in this order", async (t) => {
  t.equal(cacheFolder({ STELE_CACHE: "/a", XDG_CACHE_HOME: "/b", HOME: "/c" }), "/a")
  t.equal(cacheFolder({ STELE_CACHE: "", XDG_CACHE_HOME: "/b", HOME: "/c" }), "/b/stele")
  t.equal(cacheFolder({ XDG_CACHE_HOME: "relative", HOME: "/c" }), "/c/.cache/stele")
  t.equal(cacheFolder({ STELE_CACHE: "off", XDG_CACHE_HOME: "/b" }), undefined)
})

t.test("`openCache()` answers undefined, without asking, when Deno was given no permission", async (t) => {
  const run = await start("deno", "platform-program.ts", ["cache", "1"], { flags: ["--allow-read=/nowhere"], msMax: 30_000 })
  t.match(JSON.parse(run.stdout.trim()), { open: false })
})

t.test("the browser's platform reads URLs and hashes when only web globals are there", async (t) => {
  t.equal((await browser.readBytes(`${origin}/ten`, 10)).length, 10)
  await t.rejects(browser.readBytes("plugin.wasm", 10), { code: unreadable })
  await t.rejects(browser.readBytes(`${origin}/none`, 10), { code: notFound })
  t.equal(await browser.sha256(new TextEncoder().encode("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "FIPS 180-4, example 1")
  t.equal(await browser.openCache(1), undefined)
})
