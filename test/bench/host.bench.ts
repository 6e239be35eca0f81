/** `npm run bench -- host`: the figures a host is judged by, against raw WebAssembly, Extism and jco with the same guest. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import { transpileBytes } from "@bytecodealliance/jco-transpile"
import createPlugin from "@extism/extism"
import { decodeCoreModule } from "../../schemas/wasm/core-module.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { rewriteCoreModule } from "../../host/meter/rewrite.ts"
import { defaultLimits, Host } from "../../host/mod.ts"
import { component, core, extism, text63, renamed, unseen } from "./guest/echo.ts"
import { kernels } from "./guest/kernels.ts"
import { bench as poolBench } from "./pool.bench.ts"
import { bench as programBench } from "./program.bench.ts"
import { compare, compareAsync, figureRow, type Row, row, type Sample, summarize } from "./measure.ts"
import { pageSize } from "./page-size.ts"

const root = join(import.meta.dirname, "../..")
const hostImports = { "stele:bench/host": { note: () => undefined, size: (text: string) => text.length } }
const ratio = (a: Sample | undefined, b: Sample | undefined): number => (a === undefined || b === undefined ? Number.NaN : a.median / b.median)

interface RawGuest {
  readonly memory: WebAssembly.Memory
  readonly cabi_realloc: (old: number, oldSize: number, align: number, size: number) => number
  readonly echo: (pointer: number, length: number) => number
  readonly post: (area: number) => void
}

const rawImports = { "stele:bench/host": { note: () => undefined, size: () => 0 } }

/** The same core module, called as a person would write it by hand. */
function rawGuest(module: WebAssembly.Module, imports: WebAssembly.Imports = rawImports): RawGuest {
  const exports = new WebAssembly.Instance(module, imports).exports as Record<string, unknown>
  return {
    memory: exports["memory"] as WebAssembly.Memory,
    cabi_realloc: exports["cabi_realloc"] as RawGuest["cabi_realloc"],
    echo: exports["stele:bench/api#echo"] as RawGuest["echo"],
    post: exports["cabi_post_stele:bench/api#echo"] as RawGuest["post"],
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function rawEcho(guest: RawGuest, text: string): string {
  const pointer = guest.cabi_realloc(0, 0, 1, text.length * 3)
  const { written } = encoder.encodeInto(text, new Uint8Array(guest.memory.buffer, pointer))
  const area = guest.echo(pointer, written)
  const view = new DataView(guest.memory.buffer)
  const out = decoder.decode(new Uint8Array(guest.memory.buffer, view.getUint32(area, true), view.getUint32(area + 4, true)))
  guest.post(area)
  return out
}

function rawEchoBytes(guest: RawGuest, data: Uint8Array): Uint8Array {
  const pointer = guest.cabi_realloc(0, 0, 1, data.length)
  new Uint8Array(guest.memory.buffer).set(data, pointer)
  const area = guest.echo(pointer, data.length)
  const view = new DataView(guest.memory.buffer)
  const at = view.getUint32(area, true)
  const out = new Uint8Array(guest.memory.buffer).slice(at, at + view.getUint32(area + 4, true))
  guest.post(area)
  return out
}

interface JcoInstance {
  readonly api: { echo(text: string): string; echoBytes(data: Uint8Array): Uint8Array; render(item: { name: string; data: Uint8Array }): unknown }
}
interface JcoModule {
  instantiate(getCore: (name: string) => WebAssembly.Module, imports: object): JcoInstance
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = mkdtempSync(join(tmpdir(), "stele-bench-"))
  try {
    return await measure(folder, say)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(folder: string, say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  const bytes = await component()
  const coreBytes = await core()
  const rawModule = new WebAssembly.Module(coreBytes as BufferSource)
  const raw = rawGuest(rawModule)

  say("jco transpiles…")
  const transpiled = await transpileBytes(bytes, { name: "echo", instantiation: "sync", nodejsCompat: false, emitTypescriptDeclarations: false, minify: false })
  const files = transpiled.files as Record<string, Uint8Array>
  const source = decoder.decode(files["echo.js"])
  const cores = Object.fromEntries(
    Object.entries(files)
      .filter(([name]) => name.endsWith(".wasm"))
      .map(([name, bytes]) => [name, new WebAssembly.Module(bytes as BufferSource)]),
  )
  const load = async (name: string, text: string): Promise<JcoModule> => {
    writeFileSync(join(folder, name), text)
    return (await import(pathToFileURL(join(folder, name)).href)) as JcoModule
  }
  const jcoModule = await load("shipped.mjs", source)
  const plainModule = await load("plain.mjs", source.replaceAll("globalThis?.process?.env?.JCO_DEBUG", "false"))
  const jcoInstance = (module: JcoModule) => module.instantiate((name) => cores[name] as WebAssembly.Module, hostImports)
  const jco = jcoInstance(jcoModule).api
  const jcoPlain = jcoInstance(plainModule).api

  const extismBytes = await extism()
  const extismPlugin = await createPlugin({ wasm: [{ data: extismBytes as Uint8Array<ArrayBuffer> }] }, { useWasi: false })

  const host = await Host.open({ cache: false })
  const plugin = await host.load(bytes, { imports: hostImports, instances: { reuse: "principal" } })
  const ours = (text: string) => plugin.callSync("stele:bench/api#echo", [text])

  say("63-byte echo…")
  {
    const sync = compare({
      ours: () => ours(text63),
      raw: () => rawEcho(raw, text63),
      jco: () => jco.echo(text63),
      "jco without debug check": () => jcoPlain.echo(text63),
    })
    const awaited = await compareAsync({ extism: async () => (await extismPlugin.call("echo", text63))?.string() }, { rounds: 5_000 })
    const all = { ...sync, ...awaited }
    rows.push(
      row("63-byte typed echo, inline, deadline on, reused instance", "µs", all, [
        { name: "extism/ours", ratio: ratio(all["extism"], all["ours"]), atLeast: 4 },
        { name: "jco/ours", ratio: ratio(all["jco"], all["ours"]), atLeast: 2 },
        { name: "ours/raw", ratio: ratio(all["ours"], all["raw"]), atMost: 5 },
      ]),
    )
  }

  say("record with two host calls…")
  {
    const item = { name: "measurement", data: new Uint8Array(32).fill(7) }
    const all = compare({
      ours: () => plugin.callSync("stele:bench/api#render", [item]),
      jco: () => jco.render(item),
      "jco without debug check": () => jcoPlain.render(item),
    })
    rows.push(
      row("record (string + list<u8>) in and out with 2 host calls", "µs", all, [{ name: "jco/ours", ratio: ratio(all["jco"], all["ours"]), atLeast: 4 }]),
    )
  }

  say("1 MiB echo…")
  {
    const data = crypto.getRandomValues(new Uint8Array(65_536))
    const mebibyte = new Uint8Array(1 << 20)
    for (let at = 0; at < mebibyte.length; at += data.length) mebibyte.set(data, at)
    const sync = compare(
      {
        ours: () => plugin.callSync("stele:bench/api#echo-bytes", [mebibyte]),
        raw: () => rawEchoBytes(raw, mebibyte),
        jco: () => jco.echoBytes(mebibyte),
        "jco without debug check": () => jcoPlain.echoBytes(mebibyte),
      },
      { rounds: 20, roundMs: 20 },
    )
    const awaited = await compareAsync({ extism: async () => (await extismPlugin.call("echo", mebibyte))?.bytes() }, { rounds: 30 })
    const all = { ...sync, ...awaited }
    rows.push(
      row("1 MiB echo", "µs", all, [
        { name: "extism/ours", ratio: ratio(all["extism"], all["ours"]), atLeast: 20 },
        { name: "ours/jco", ratio: ratio(all["ours"], all["jco"]), atMost: 1.2 },
      ]),
    )
  }

  say("workers and processes…")
  rows.push(...(await isolationRows(bytes, extismPlugin)))

  say("Extism plugins…")
  rows.push(...(await extismRows(host, extismBytes, extismPlugin)))

  say("instances…")
  {
    const fresh = await host.load(bytes, { imports: hostImports })
    const all = await compareAsync(
      {
        ours: async () => fresh.callSync("stele:bench/api#echo", [text63]),
        raw: async () => rawEcho(rawGuest(rawModule), text63),
        jco: async () => jcoInstance(jcoModule).api.echo(text63),
      },
      { rounds: 3_000 },
    )
    rows.push(
      row(
        "warm instance: compiled to fresh instance and first answer",
        "µs",
        all,
        [{ name: "ours/raw", ratio: ratio(all["ours"], all["raw"]), atMost: 2 }],
        "reuse: never, no pool: this is what each call costs",
      ),
    )
    await fresh.close()
  }

  say("cold loads…")
  {
    const component = unseen(bytes)
    const core = unseen(coreBytes)
    const plugin = unseen(extismBytes)
    const [mainName, mainBytes] = Object.entries(files).find(([, file]) => Buffer.from(file).includes("salt0000")) as [string, Uint8Array]
    const jcoCore = unseen(mainBytes)
    const coldHost = await Host.open({ cache: false })
    const options = { imports: hostImports }
    const syntax = decodeComponent(bytes, defaultLimits)
    // wit-component's: stubs over a table, and what fills the table once the main module's memory is there.
    const [, shimBytes, fixupBytes] = syntax.definitions.flatMap((each) => (each.op === "core-module" ? [each.bytes] : [])) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    const blueprint = elaborate(syntax, defaultLimits)
    const rewriteOptions = {
      tier: "deadline",
      injectedModule: "abcdefghijklmnopqrstuv",
      memoryPagesMax: 1024,
      tableElementsMax: 100_000,
      functionBodyBytesMax: 1 << 20,
    } as const
    const all = await compareAsync(
      {
        ours: async () => {
          const loaded = await coldHost.load(component(), options)
          loaded.callSync("stele:bench/api#echo", [text63])
          await loaded.close()
        },
        "ours, prepared before": async () => {
          const loaded = await coldHost.load(bytes, options)
          loaded.callSync("stele:bench/api#echo", [text63])
          await loaded.close()
        },
        "instrumentation alone": async () => {
          for (const { bytes, module } of blueprint.coreModules) rewriteCoreModule(bytes, module, rewriteOptions)
        },
        raw: async () => rawEcho(rawGuest(new WebAssembly.Module(core() as BufferSource)), text63),
        "raw, all three core modules": async () => {
          const [shim, fixup] = [shimBytes, fixupBytes].map((one) => new WebAssembly.Module(renamed(one) as BufferSource)) as [
            WebAssembly.Module,
            WebAssembly.Module,
          ]
          const stubs = new WebAssembly.Instance(shim).exports as Record<string, WebAssembly.ExportValue>
          const main = new WebAssembly.Module(core() as BufferSource)
          const guest = rawGuest(main, { "stele:bench/host": { note: stubs["0"], size: stubs["1"] } } as WebAssembly.Imports)
          const { note, size } = rawImports["stele:bench/host"]
          const filler = new WebAssembly.Instance(fixup, { actual: { 0: note, 1: size }, shim: { $imports: stubs["$imports"] as WebAssembly.Table } })
          return [rawEcho(guest, text63), filler]
        },
        extism: async () => {
          const loaded = await createPlugin({ wasm: [{ data: plugin() as Uint8Array<ArrayBuffer> }] }, { useWasi: false })
          await loaded.call("echo", text63)
          await loaded.close()
        },
        "jco pre-transpiled": async () => {
          cores[mainName] = new WebAssembly.Module(jcoCore() as BufferSource)
          jcoInstance(jcoModule).api.echo(text63)
        },
      },
      { rounds: 400 },
    )
    const instrumentation = all["instrumentation alone"] as Sample
    const first = (all["ours"] as Sample).median - instrumentation.median
    rows.push(
      row(
        "cold: unseen bytes to callable",
        "µs",
        all,
        [
          { name: "first/raw", ratio: first / (all["raw"] as Sample).median, atMost: 3 },
          { name: "cached/raw", ratio: ratio(all["ours, prepared before"], all["raw"]), atMost: 1.5 },
        ],
        `first time: instrumentation excluded from the ratio, which against all three core modules of the component is ${(first / (all["raw, all three core modules"] as Sample).median).toFixed(2)}`,
      ),
    )
    await coldHost.close()
  }

  rows.push(...(await poolBench(say)))
  rows.push(...(await programBench(say)))

  say("instrumentation of a large module…")
  {
    const path = join(root, "plugins/examples/table-stats/build/table-stats.wasm")
    const { coreModules } = elaborate(decodeComponent(new Uint8Array(readFileSync(path)), defaultLimits), defaultLimits)
    const { bytes: largest } = coreModules.reduce((a, b) => (a.bytes.length > b.bytes.length ? a : b))
    const time = (tier: "deadline" | "fuel"): Sample => {
      const samples: Array<number> = []
      for (let i = 0; i < 7; i++) {
        const started = performance.now()
        rewriteCoreModule(largest, decodeCoreModule(largest, defaultLimits), {
          tier,
          injectedModule: "abcdefghijklmnopqrstuv",
          memoryPagesMax: 1024,
          tableElementsMax: 100_000,
          functionBodyBytesMax: 1 << 20,
        })
        samples.push(((performance.now() - started) * 1e6) / largest.length)
      }
      return summarize(samples)
    }
    const deadline = time("deadline")
    const fuel = time("fuel")
    rows.push(
      row("instrumentation, QuickJS", "ms per MB", { ours: deadline, "fuel tier": fuel }, [
        { name: "deadline tier", ratio: deadline.median, atMost: 100 },
        { name: "fuel tier", ratio: fuel.median, atMost: 100 },
      ]),
    )
  }

  say("stops…")
  for (const [engine, command] of engines()) {
    const out = JSON.parse(execFileSync(command[0] as string, [...command.slice(1), join(import.meta.dirname, "guest/stop.ts")], { encoding: "utf8" })) as {
      readonly over: Array<number>
      readonly next: Array<number>
    }
    const over = summarize(out.over)
    const next = summarize(out.next)
    rows.push(
      row(`endless loop, 100 ms deadline, inline, ${engine}`, "ms after the deadline", { ours: over, "next call": next }, [
        { name: "median", ratio: over.median, atMost: 5 },
        { name: "p99", ratio: over.p99, atMost: 30 },
        { name: "next call", ratio: next.median, atMost: 1 },
      ]),
    )
  }

  say("slowdown…")
  rows.push(...(await slowdown(host)))

  say("memory…")
  {
    const out = JSON.parse(execFileSync(process.execPath, ["--expose-gc", join(import.meta.dirname, "guest/memory.ts")], { encoding: "utf8" })) as {
      readonly bytes: number
      readonly jco?: number
    }
    rows.push({
      figure: "memory per live instance beyond its linear memory",
      unit: "KiB",
      ours: out.bytes / 1024,
      peers: {},
      ratios: { KiB: out.bytes / 1024 },
      target: "KiB ≤ 20",
      met: out.bytes / 1024 <= 20,
    })
  }

  say("start-up…")
  rows.push(...startUp())

  say("sizes…")
  const inCore = (path: string): boolean => !/[/]host[/](capability|port)[/]/.test(path)
  const work = "what a page loads of it to open a host, load a component and call it under a deadline"
  for (const [figure, entry, limit, keep, isIsolated] of [
    [`host core (component harden meter link abi call and the API), ${work}`, "host/mod.ts", 60, inCore, false],
    [`host core, ${work}, cross-origin isolated, its watchdog included`, "host/mod.ts", 60, inCore, true],
    [`stele/host with capabilities and memory ports, ${work}`, "host/mod.ts", undefined, () => true, true],
    [`stele, ${work}`, "runtime/mod.ts", 120, () => true, true],
  ] as const) {
    const size = (await pageSize(entry, { keep, isIsolated })).gzippedBytes / 1000
    rows.push(figureRow(`${figure}, gzipped`, "KB", size, {}, limit === undefined ? [] : [{ name: "KB", ratio: size, atMost: limit }]))
  }

  await extismPlugin.close()
  await host.close()
  return rows
}

/** The same plugin for Extism, unmodified, on both hosts: a word of input or output is one imported call. */
async function extismRows(host: Host, bytes: Uint8Array, peer: Awaited<ReturnType<typeof createPlugin>>): Promise<ReadonlyArray<Row>> {
  const plugin = await host.load(bytes, { instances: { reuse: "principal" } })
  const short = encoder.encode(text63)
  const mebibyte = new Uint8Array(1 << 20).fill(7)
  const rows = []
  for (const [figure, input, rounds, atLeast] of [
    ["63-byte echo of an unmodified Extism plugin, deadline on, reused instance", short, 5_000, 2],
    ["1 MiB echo of an unmodified Extism plugin", mebibyte, 40, 10],
  ] as const) {
    const sync = compare({ ours: () => plugin.callSync("echo", [input]) })
    const awaited = await compareAsync(
      { extism: async () => (await peer.call("echo", input))?.bytes(), "ours, awaited": async () => plugin.call("echo", [input]) },
      { rounds },
    )
    const all = { ...sync, ...awaited }
    rows.push(row(figure, "µs", all, [{ name: "extism/ours awaited", ratio: ratio(all["extism"], all["ours, awaited"]), atLeast }]))
  }
  await plugin.close()
  return rows
}

/** Deno and Bun from the tests' tools, or none. */
function engines(): ReadonlyArray<readonly [string, ReadonlyArray<string>]> {
  const bin = join(root, "test/node_modules/.bin")
  return [
    ["Node", [process.execPath]],
    ...(existsSync(join(bin, "deno")) ? [["Deno", [join(bin, "deno"), "run", "-A", "--no-check"]] as const] : []),
    ...(existsSync(join(bin, "bun")) ? [["Bun", [join(bin, "bun"), "run"]] as const] : []),
  ]
}

/** CPU kernels, plain against each tier, in turns. */
async function slowdown(host: Host): Promise<ReadonlyArray<Row>> {
  const rows: Array<Row> = []
  const factors: Record<string, Array<number>> = { fuel: [], nan: [] }
  for (const { bytes, name, world, isFloat, maximum } of (await kernels()).flatMap(({ bytes, kernels: list }) =>
    list.map((kernel) => ({ bytes, ...kernel })),
  )) {
    const run = async (metering: "deadline" | "fuel" | "off") => {
      const plugin = await host.load(bytes, {
        metering,
        instances: { reuse: "principal" },
        limits: { fuel: Number.MAX_SAFE_INTEGER, ...(metering === "off" ? {} : { deadlineMs: 60_000 }) },
      })
      return () => plugin.callSync(world, [])
    }
    const contenders = { plain: await run("off"), ours: await run("deadline"), fuel: await run("fuel") }
    const samples = compare(contenders, { rounds: 9, roundMs: 60 })
    const deadline = ratio(samples["ours"], samples["plain"])
    const fuel = ratio(samples["fuel"], samples["plain"])
    ;(isFloat ? factors["nan"] : factors["fuel"])?.push(fuel)
    rows.push(
      row(
        `slowdown, ${name}`,
        "µs",
        samples,
        [{ name: "deadline/plain", ratio: deadline, atMost: maximum }],
        isFloat ? `fuel with NaN canonicalisation ${fuel.toFixed(2)}×` : `fuel ${fuel.toFixed(2)}×`,
      ),
    )
  }
  const mean = (values: ReadonlyArray<number>): number => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
  const fuel = mean(factors["fuel"] ?? [])
  rows.push({
    figure: "slowdown, fuel, geometric mean of the integer kernels",
    unit: "×",
    ours: fuel,
    peers: {},
    ratios: { fuel },
    target: "fuel ≤ 1.5",
    met: fuel <= 1.5,
  })
  const nan = mean(factors["nan"] ?? [])
  rows.push({
    figure: "slowdown, fuel with NaN canonicalisation, geometric mean of the float kernels",
    unit: "×",
    ours: nan,
    peers: {},
    ratios: { nan },
    target: "",
    met: null,
  })
  return rows
}

/**
 * Process start to the first answer by the process's own clock, which starts with it. Node's boot is excluded: an empty
 * program says when its first line runs.
 */
function startUp(): ReadonlyArray<Row> {
  const say = "process.stdout.write(String(performance.now()))"
  const program = (entry: string, first = "") => `${first}const { Host } = await import(${JSON.stringify(entry)})
const host = await Host.open()
const plugin = await host.load(${JSON.stringify(join(root, "plugins/examples/greeter/build/greeter.wasm"))}, { grants: ["log", "kv:read:prices/*"] })
await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
${say}
if (process.env.STELE_BENCH_CLOSE) await host.close() // waits until the cache is written
process.exit(0)`
  const folder = mkdtempSync(join(tmpdir(), "stele-start-"))
  try {
    const entries: Record<string, string> = { empty: say, checkout: program(pathToFileURL(join(root, "runtime/mod.ts")).href) }
    const bundle = join(root, "dist/mod.js")
    if (existsSync(bundle)) {
      const codeCache = `process.getBuiltinModule("node:module").enableCompileCache(${JSON.stringify(join(folder, "code"))})\n`
      entries["ours"] = program(pathToFileURL(bundle).href)
      entries["with Node's compile cache"] = program(pathToFileURL(bundle).href, codeCache)
    }
    const samples: Record<string, Array<number>> = {}
    for (const [name, text] of Object.entries(entries)) {
      writeFileSync(join(folder, `${name}.mjs`), text)
      samples[name] = []
    }
    const env = { ...process.env, STELE_CACHE: join(folder, "cache") }
    for (const name of Object.keys(entries))
      execFileSync(process.execPath, [join(folder, `${name}.mjs`)], { stdio: "ignore", env: { ...env, STELE_BENCH_CLOSE: "1" } })
    for (let round = 0; round < 15; round++) {
      for (const name of Object.keys(entries)) {
        const said = execFileSync(process.execPath, [join(folder, `${name}.mjs`)], { encoding: "utf8", env })
        samples[name]?.push(Number(said))
      }
    }
    const all = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summarize(values)]))
    const since = (name: string): number => (all[name]?.median ?? Number.NaN) - (all["empty"] as Sample).median
    const rows = [
      row(
        "process start to first answer with a warm cache, Node's own boot excluded",
        "ms",
        all,
        [{ name: "ours − empty", ratio: since("ours"), atMost: 35 }],
        `with Node's compile cache ${since("with Node's compile cache").toFixed(1)} ms, checkout ${since("checkout").toFixed(1)} ms`,
      ),
    ]
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The echo plugin through a worker and through a process, beside a worker that only answers, and Extism's own worker. */
async function isolationRows(
  bytes: Uint8Array,
  extismPlugin: { call(name: string, input: string | Uint8Array): Promise<unknown> },
): Promise<ReadonlyArray<Row>> {
  const host = await Host.open({ cache: false })
  const load = (isolation: "worker" | "process") => host.load(bytes, { isolation, imports: hostImports, instances: { reuse: "principal" } })
  const worker = await load("worker")
  const child = await load("process")
  const bare = new Worker(`require("node:worker_threads").parentPort.on("message", (m) => require("node:worker_threads").parentPort.postMessage(m))`, {
    eval: true,
  })
  const bareEcho = (message: unknown) =>
    new Promise((resolve) => {
      bare.once("message", resolve)
      bare.postMessage(message)
    })
  const data = new Uint8Array(1 << 20).fill(7)
  const small = await compareAsync(
    {
      ours: () => worker.call("stele:bench/api#echo", [text63]),
      "ours, process": () => child.call("stele:bench/api#echo", [text63]),
      "bare worker": () => bareEcho(text63),
    },
    { rounds: 5_000 },
  )
  const large = await compareAsync(
    {
      ours: () => worker.call("stele:bench/api#echo-bytes", [data]),
      "ours, process": () => child.call("stele:bench/api#echo-bytes", [data]),
      "bare worker": () => bareEcho(data),
      "extism, inline": () => extismPlugin.call("echo", data),
    },
    { rounds: 60 },
  )
  const processOnly = { ours: small["ours, process"] as Sample }
  // The published package: its program is one file, where a checkout's is all of its sources.
  const published = (await import(pathToFileURL(join(root, "dist/mod.js")).href)) as { readonly Host: typeof Host }
  // What a program has from its second process on, and from its first where an earlier program left it on disk (ADR 0034).
  const rehearsing = await published.Host.open({ cache: false })
  await rehearsing.load(bytes, { isolation: "process", imports: hostImports })
  await new Promise((done) => setTimeout(done, 4_000))
  await rehearsing.close()
  const ready: Array<number> = []
  for (let round = 0; round < 10; round++) {
    const own = await published.Host.open({ cache: false })
    const startedMs = performance.now()
    await own.load(bytes, { isolation: "process", imports: hostImports })
    ready.push((performance.now() - startedMs) * 1000)
    await own.close()
  }
  await bare.terminate()
  await host.close()
  const us = (sample: Sample | undefined): number => sample?.median ?? Number.NaN
  return [
    row("63-byte echo through a worker", "µs", small, [{ name: "µs", ratio: us(small["ours"]), atMost: 25 }]),
    row("1 MiB echo through a worker", "µs", large, [{ name: "µs", ratio: us(large["ours"]), atMost: 1_500 }]),
    row("63-byte echo through a process", "µs", processOnly, [{ name: "µs", ratio: us(processOnly.ours), atMost: 150 }]),
    row(
      "process isolation ready",
      "µs",
      { ours: summarize(ready) },
      [{ name: "µs", ratio: summarize(ready).median, atMost: 60_000 }],
      "published package: from no process to a plugin that can be called",
    ),
  ]
}
