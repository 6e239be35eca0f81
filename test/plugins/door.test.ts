/** First-party plugins (ADR 0047): built, shipped, loaded, replaced by a stranger's component, and rebuilt from snapshots. */
import { spawnSync } from "node:child_process"
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import fc from "../property.ts"
import t from "tap"
import { Host } from "../../host/host.ts"
import { build } from "../../runtime/author/build.ts"
import { openProject } from "../../runtime/author/project.ts"
import { toolchainOf } from "../../runtime/author/language/mod.ts"
import { readTests, runTest } from "../../runtime/author/test.ts"
import { openTools } from "../../runtime/author/tools.ts"
import { checkReplacements, firstParty, inForce } from "../../runtime/plugins/first-party.ts"
import { diagnosisOf } from "../../runtime/doctor/plugins.ts"
import { setReplacements } from "../../runtime/plugins/replaced.ts"
import { encodeComponent } from "../../schemas/encode/mod.ts"
import { ReplacementError } from "../../schemas/error/replacement.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { dummyCore } from "../schemas/dummy-core.ts"
import type { Config, Exports, Request } from "./door/schemas/wit/stele/limiter.gen.ts"
import { Departure, rebuild, restoreGarbage, type Running } from "./rebuild.ts"
import { isFull } from "../seed.ts"

t.setTimeout(300_000)

const root = fileURLToPath(new URL("../..", import.meta.url))
const tree = join(root, "test/plugins/door")
const folder = join(tree, "dist/plugins")

const buildPlugins = (...words: ReadonlyArray<string>) =>
  spawnSync(process.execPath, ["runtime/build/plugins.ts", ...words], { cwd: root, encoding: "utf8", timeout: 120_000 })

const built = buildPlugins("--in", tree)
if (built.status !== 0) throw new Error(built.stderr)
await using tools = openTools()
const buildOf = async (name: string): Promise<Uint8Array> => build(await openProject(join(tree, "third-party", name)), tools)
/** The greatest whole number that QuickJS holds, and that a `u64` holds. */
const [exact, greatest] = [BigInt(Number.MAX_SAFE_INTEGER), 2n ** 64n - 1n]
const hasRust = (await (await toolchainOf("rust")).needs(undefined)).every(({ found }) => found !== undefined)
const mustHaveRust = (process.env["STELE_TEST_LANGUAGES"] ?? "").split(" ").includes("rust")
/** Somebody else's, in other languages. */
const strangers: ReadonlyArray<readonly [name: string, source: Uint8Array, max: bigint]> = [
  ["in TypeScript", await buildOf("quickjs-limiter"), exact],
  ...(hasRust || mustHaveRust ? ([["in Rust", await buildOf("rust-limiter"), greatest]] as const) : []),
]
const hostile = await buildOf("hostile-limiter")
const wit = await readFile(join(tree, "schemas/wit/stele/limiter.wit"), "utf8")

/** A host in which `source` stands in the limiter's place, if it is given. */
async function hostWith(source?: Uint8Array | string): Promise<Host> {
  const host = await Host.open()
  if (source !== undefined) setReplacements(host, new Map([["limiter", { source, setBy: "this test" }]]))
  return host
}

const interfaceName = "stele:limiter/core"

/** One core in an instance of its own. */
async function running(host: Host): Promise<Running<Config, Request>> {
  const plugin = await firstParty<Exports>(host, "limiter", { instances: { reuse: "principal" } }, folder)
  return {
    init: (config) => plugin.call(`${interfaceName}#init`, [config]),
    step: (request) => plugin.call(`${interfaceName}#step`, [request]),
    snapshot: () => plugin.call(`${interfaceName}#snapshot`, []),
    restore: (snapshot) => plugin.call(`${interfaceName}#restore`, [snapshot]),
    [Symbol.asyncDispose]: () => plugin.close(),
  }
}

/** A component of a world whose functions answer with zeros. */
function componentOf(text: string): Uint8Array {
  const { world } = selectWorld(parseWit(text))
  return encodeComponent(world, dummyCore(world))
}

t.test("a plugin is an author's project: its tests pass as anybody's", async (t) => {
  const project = await openProject(join(tree, "plugins/limiter"))
  t.equal(project.wit, join(tree, "schemas/wit/stele/limiter.wit"), "its WIT is the tree's")
  const component = await readFile(join(folder, "limiter.wasm"))
  const tests = await readTests(project)
  t.ok(tests.length >= 5)
  for (const test of tests) t.match(await runTest(component, project, test), { passed: true, problems: [] }, test.name)
  for (const [name, source] of strangers)
    for (const test of tests) t.match(await runTest(source, project, test), { passed: true, problems: [] }, `a stranger's ${name}, too: ${test.name}`)
})

t.test("its bytes depend on its sources alone, wherever it is built, and nothing is built twice", async (t) => {
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as { plugins: ReadonlyArray<{ digest: string }> }
  t.match(buildPlugins("--in", tree), { status: 0, stderr: "" }, "what has not changed is left alone")
  const copy = await mkdtemp(join(root, ".cache/door-"))
  t.teardown(() => rm(copy, { recursive: true }))
  for (const part of ["plugins", "kernels", "schemas"])
    await cp(join(tree, part), join(copy, part), { recursive: true, filter: (path) => !/[/\\](build|bindings)$/.test(path) })
  const again = buildPlugins("--in", copy)
  t.equal(again.status, 0, again.stderr)
  t.match(again.stderr, /Built .*limiter\.wasm/)
  const copied = JSON.parse(await readFile(join(copy, "dist/plugins/index.json"), "utf8")) as typeof index
  t.equal(copied.plugins[0]?.digest, index.plugins[0]?.digest)
  t.ok((await readFile(join(copy, "dist/plugins/limiter.wasm"))).equals(await readFile(join(folder, "limiter.wasm"))))
  t.strictSame((await readdir(join(copy, "dist/plugins"))).toSorted(), ["index.json", "limiter.wasm", "limiter.wit"])

  const source = join(copy, "plugins/limiter/src/refill.as.ts")
  const text = await readFile(source, "utf8")
  for (const [specifier, told] of [
    ["../../../schemas/wit/stele/other.as", "schemas/wit/stele/other.as.ts"],
    ["../../other/src/plugin.as", "../other/src/plugin.as.ts"],
    ["../../../kernels/saturating/plain", "../../kernels/saturating/plain.ts"],
  ] as const) {
    const path = join(source, "..", `${specifier}.ts`)
    await cp(join(tree, "kernels/saturating/saturating.as.ts"), path)
    await writeFile(source, text.replace("../../../kernels/saturating/saturating.as", specifier))
    const refused = buildPlugins("--in", copy)
    t.equal(refused.status, 1)
    t.match(refused.stderr, `Cannot import ${told.startsWith("..") ? "" : "../../"}${told}`, `the compiler is not given ${specifier}`)
  }
})

t.test("firstParty() loads ours when nothing replaces it", async (t) => {
  await using host = await hostWith()
  await using plugin = await firstParty<Exports>(host, "limiter", { instances: { reuse: "principal" } }, folder)
  await plugin.call(`${interfaceName}#init`, [{ capacity: 5n, refillPerSecond: 2n, keysMax: 2 }])
  t.strictSame(await plugin.call(`${interfaceName}#step`, [{ key: "a", tokens: 4n, nowMs: 0n }]), { tag: "granted", val: 1n })
  t.strictSame(await plugin.call(`${interfaceName}#step`, [{ key: "a", tokens: 3n, nowMs: 400n }]), { tag: "denied", val: 600n })
  t.strictSame(await plugin.call(`${interfaceName}#step`, [{ key: "a", tokens: 3n, nowMs: 1000n }]), { tag: "granted", val: 0n })
  const { limits, grants, imports } = plugin.describe()
  t.match({ limits, imports, granted: grants.granted }, { limits: { memoryBytesMax: 16 << 20 }, imports: [], granted: [] })
  t.match(await inForce(host, folder), [
    { name: "limiter", world: "stele:limiter/limiter@0.1.0", digest: plugin.digest, replacement: undefined, refusal: undefined },
  ])
  for (const one of await inForce(host, folder))
    t.match(diagnosisOf(one), { about: "plugin limiter", status: "ok", found: /^ours: sha256:[0-9a-f]{12}, stele:limiter\/limiter@0.1.0$/ })
  await t.rejects(firstParty(host, "billling", {}, folder), { code: "STELE-PLG-0008" })
})

for (const [name, source, max] of strangers)
  t.test(`a stranger's component of the same world, ${name}, replaces it by configuration, and decides alike`, async (t) => {
    await using ours = await hostWith()
    await using theirs = await hostWith(source)
    t.not((await inForce(theirs, folder))[0]?.digest, (await inForce(ours, folder))[0]?.digest)
    await using plugin = await firstParty<Exports>(theirs, "limiter", {}, folder)
    t.match(plugin.describe(), { limits: { memoryBytesMax: 16 << 20, fuel: 100_000_000 }, mechanisms: { stop: "fuel" } }, "with our limits and metering")
    const config = { capacity: 7n, refillPerSecond: 3n, keysMax: 2 }
    await using a = await running(ours)
    await using b = await running(theirs)
    await Promise.all([a.init(config), b.init(config)])
    let nowMs = 0n
    for (let i = 0; i < 60; i++) {
      nowMs += BigInt((i * 37) % 211)
      const tokens = i % 17 === 16 ? max : BigInt((i * 5) % 9)
      const request = { key: ["a", "b", "c"][i % 3] as string, tokens, nowMs: i % 13 === 12 ? 0n : nowMs }
      const [mine, other] = await Promise.all([a, b].map((core) => core.step(request).catch((error: { reason: { payload: unknown } }) => error.reason.payload)))
      t.strictSame(other, mine, `step ${i}`)
    }
  })

const amount = (max: bigint) => fc.oneof(fc.bigInt({ min: 0n, max: 12n }), fc.constantFrom(max >> 1n, max))
const configs = (max: bigint) => fc.record({ capacity: amount(max).map((n) => n || 1n), refillPerSecond: amount(max), keysMax: fc.integer({ min: 1, max: 3 }) })
const requests = (max: bigint) =>
  fc.array(fc.record({ key: fc.constantFrom("", "a", "b", "žluť"), tokens: amount(max), nowMs: fc.bigInt({ min: 0n, max: 5_000n }) }), { maxLength: 8 })

for (const [whose, source, max, runs] of [
  ["our core", undefined, greatest, isFull ? 200 : 10] as const,
  ...strangers.map(([name, source, max]) => [`a stranger's ${name}`, source, max, isFull ? 40 : 2] as const),
])
  t.test(`${whose} comes back from its snapshot and the inputs since, at every step`, async (t) => {
    await using host = await hostWith(source)
    const comesBack = fc.asyncProperty(configs(max), requests(max), (config, inputs) => rebuild(() => running(host), config, inputs))
    await t.resolves(fc.assert(comesBack, { numRuns: runs }))
  })

t.test("our core refuses what is no snapshot, and is as it was", async (t) => {
  await using host = await hostWith()
  await using core = await running(host)
  await core.init({ capacity: 9n, refillPerSecond: 1n, keysMax: 5 })
  for (const [at, key] of ["a", "", "žluť"].entries()) await core.step({ key, tokens: 2n, nowMs: BigInt(at * 700) })
  const sound = await core.snapshot()
  for (let length = 0; length < sound.length; length++) t.equal(await restoreGarbage(core, sound.subarray(0, length)), "refused", `cut to ${length} bytes`)
  t.equal(await restoreGarbage(core, Uint8Array.of(...sound, 0)), "refused", "longer by a byte")
  const seen = { refused: 0, taken: 0 }
  for (let at = 0; at < sound.length; at++)
    for (const bits of [0x01, 0x80, 0xff]) {
      await core.restore(sound)
      seen[
        await restoreGarbage(
          core,
          sound.map((byte, i) => (i === at ? byte ^ bits : byte)),
        )
      ]++
    }
  t.ok(seen.refused > 50 && seen.taken > 20, JSON.stringify(seen))
})

t.test("a replacement that means harm is stopped by our limits, loses its own state, and is found out by rebuild()", async (t) => {
  await using host = await hostWith(hostile)
  const step = (core: Running<Config, Request>, key: string) => core.step({ key, tokens: 1n, nowMs: 0n })
  for (const [key, code] of [
    ["trap", "STELE-PLG-0002"],
    ["spin", "STELE-LIM-0009"],
    ["grow", /^STELE-(LIM|PLG)-/],
  ] as const) {
    await using core = await running(host)
    await core.init({ capacity: 1n, refillPerSecond: 1n, keysMax: 1 })
    t.strictSame(await step(core, "a"), { tag: "granted", val: 1n })
    await t.rejects(step(core, key), { code }, key)
    const after = await step(core, "a").catch((error: { readonly reason: unknown }) => error.reason)
    t.match(after, { _tag: "Guest", payload: { tag: "uninitialised" } }, "the instance is gone, and with it what it knew")
  }
  const inputs = [{ key: "a", tokens: 1n, nowMs: 0n }]
  await t.rejects(
    rebuild(() => running(host), { capacity: 1n, refillPerSecond: 1n, keysMax: 1 }, [...inputs, ...inputs]),
    /rebuilt after 1 inputs, the answer to input 1: .*"1n".* instead of .*"2n"/,
  )
  await using core = await running(host)
  await t.rejects(restoreGarbage(core, Uint8Array.of(9)), /the snapshot of what was restored: "010203" instead of "09"/)
})

t.test("rebuild() finds a core that forgets, and fast-check makes the inputs small", async (t) => {
  await using host = await hostWith()
  /** Its clock is wrong after it was restored, where it knows a key. */
  const forgetful = async (): Promise<Running<Config, Request>> => {
    const core = await running(host)
    return {
      ...core,
      async restore(snapshot) {
        const copy = Uint8Array.from(snapshot)
        const view = new DataView(copy.buffer)
        if (view.getUint32(32, true) > 0) view.setBigUint64(24, view.getBigUint64(24, true) + 1n, true)
        await core.restore(copy)
      },
      [Symbol.asyncDispose]: () => core[Symbol.asyncDispose](),
    }
  }
  const config = { capacity: 5n, refillPerSecond: 1n, keysMax: 3 }
  const result = await fc.check(
    fc.asyncProperty(requests(greatest), (inputs) =>
      rebuild(
        forgetful,
        config,
        inputs.toSorted((a, b) => (a.nowMs < b.nowMs ? -1 : 1)),
      ),
    ),
    { seed: 1, numRuns: 50 },
  )
  t.ok(result.failed)
  t.ok(result.errorInstance instanceof Departure, String(result.errorInstance))
  t.match(String(result.errorInstance), /rebuilt after 1 inputs, its snapshot/)
  t.equal(result.counterexample?.[0].length, 1, "one input is enough")
})

t.test("a component that departs from the world is refused before it runs, and everything is told at once", async (t) => {
  const other = wit
    .replace("refill-per-second: u64", "refill-per-second: u32")
    .replace("  snapshot: func() -> list<u8>;\n", "")
    .replace("export core;", "import clock: interface { now: func() -> u64; }\n  import wasi:logging/logging@0.1.0-draft;\n  export core;")
    .concat(
      "\npackage wasi:logging@0.1.0-draft {\n  interface logging { enum level { trace, debug, info, warn, error, critical }\n log: func(level: level, context: string, message: string); }\n}\n",
    )
  await using host = await hostWith(componentOf(other))
  const error = await firstParty(host, "limiter", {}, folder).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(error instanceof ReplacementError)) throw new Error(`expected a refusal, not ${String(error)}`)
  t.equal(error.code, "STELE-RPL-0002")
  t.match(error.reason, {
    _tag: "Contract",
    plugin: "limiter",
    setBy: "this test",
    world: "stele:limiter/limiter@0.1.0",
    missing: ["stele:limiter/core#snapshot: func() -> list<u8>"],
    different: [/"stele:limiter\/core#init.*refill-per-second" is u32, expected u64/],
    imported: ["clock", "wasi:logging/logging@0.1.0-draft"],
  })
  t.match(error.message, /^Cannot replace "limiter", as this test says: .* it lacks .* and it differs where .* and it imports/)
  t.match(await inForce(host, folder), [{ name: "limiter", digest: undefined, refusal: { code: "STELE-RPL-0002" } }])
  for (const one of await inForce(host, folder))
    t.match(diagnosisOf(one), { about: "plugin limiter", status: "fail", found: error.message, treatment: /"world": "stele:limiter/ })
})

const cases: ReadonlyArray<readonly [what: string, text: string, expected: object | undefined]> = [
  ["another patch version", wit.replace("@0.1.0", "@0.1.7"), undefined],
  ["more than the world has", wit.replace("export core;", "export core;\n  export more: func() -> u8;"), undefined],
  ["another minor version", wit.replace("@0.1.0", "@0.2.0"), { missing: [/#init/, /#step/, /#snapshot/, /#restore/] }],
  ["another package", wit.replace("stele:limiter", "acme:limiter"), { missing: [/#init/, /#step/, /#snapshot/, /#restore/] }],
  ["the functions of the world itself", wit.replace("export core;", "export step: func();"), { missing: [/#init/, /#step/, /#snapshot/, /#restore/] }],
  ["cases in another order", wit.replace(/( +\/\/\/[^\n]*\n +granted\(u64\),\n)([^}]*)/, "$2$1"), { different: [/decision|ok/] }],
  ["a parameter of another name", wit.replace("step: func(request:", "step: func(asked:"), { different: [/stele:limiter\/core#step/] }],
]
for (const [what, text, expected] of cases)
  t.test(`a component with ${what} is ${expected === undefined ? "taken" : "refused"}`, async (t) => {
    t.not(text, wit)
    await using host = await hostWith(componentOf(text))
    const loaded = firstParty<Exports>(host, "limiter", {}, folder)
    if (expected !== undefined) await t.rejects(loaded, { code: "STELE-RPL-0002", reason: expected })
    else {
      await using plugin = await loaded
      t.equal(
        await plugin.call(`${interfaceName}#init`, [{ capacity: 1n, refillPerSecond: 1n, keysMax: 1 }]),
        undefined,
        "and called by the names of the types",
      )
    }
  })

t.test("what is no component, or is not there, is refused with what refused it", async (t) => {
  for (const [source, loadCode] of [
    [Uint8Array.of(0, 97, 115, 109), /^STELE-VFY-/],
    [join(tmpdir(), "stele-no-such-file.wasm"), /^STELE-PLG-0008$/],
  ] as const) {
    await using host = await hostWith(source)
    await t.rejects(firstParty(host, "limiter", {}, folder), { code: "STELE-RPL-0003", reason: { loadCode, plugin: "limiter", setBy: "this test" } })
  }
  await t.rejects(checkReplacements(new Map([["limitr", { source: "a.wasm", setBy: "STELE_PLUGIN_LIMITR" }]]), folder), {
    code: "STELE-RPL-0001",
    message: /as STELE_PLUGIN_LIMITR says/,
    fix: /limiter/,
  })
  await t.resolves(checkReplacements(new Map([["limiter", { source: "a.wasm", setBy: "a test" }]]), folder))
})
