// Plugins in workers and processes: the embedding cases there, and what only isolation has to do. Hostile isolates are real
// ones whose messages are changed on their way.
import { spawnSync } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { sandboxReport } from "../../host/platform/isolate/process/sandbox.ts"
import { openIsolates } from "../../host/platform/isolate/start.ts"
import type { Isolates, Link } from "../../host/isolate/link.ts"
import { Spares } from "../../host/isolate/spare.ts"
import { memoryHttp } from "../../host/mod.ts"
import { address, stele } from "./built.ts"
import { bumpAllocator, guest, wat } from "./component-builder.ts"
import { cases } from "./embedding.ts"
import { answer, engines } from "./engine.ts"
import { extismGuest } from "./extism/guest.ts"
import { writeGuests } from "./embedding-guests.ts"
import { sceneOf } from "./embedding-run.ts"
import { descendants, executorOf, members, until } from "./isolate-parts.ts"
import { isFull, seed } from "../seed.ts"

const { Host } = stele
const kinds = ["worker", "process"] as const

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-isolation-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeGuests(folder)
const basic = join(folder, "basic.wasm")
const caller = join(folder, "caller.wasm")
const host = await Host.open({ cache: false })
const isolates = await openIsolates()
const report = await sandboxReport()
t.teardown(() => host.close())

const codeOf = async (run: () => unknown): Promise<string> => {
  try {
    await run()
  } catch (error) {
    // Of the build's classes or of the checkout's.
    return (error as { readonly code?: string }).code ?? String(error)
  }
  return "answered"
}
const provided = (answer: (n: number) => unknown) => ({ "acme:caller/host": { answer, note: () => undefined, pick: () => undefined } })

// In processes the installed package runs them (`test/package/embedding.test.ts`).
for (const { title, run, isInline } of cases) if (!isInline) t.test(`in a worker: ${title}`, () => run(sceneOf(stele, folder, "worker")))

for (const isolation of kinds) {
  t.test(`\`callSync()\` is refused in a ${isolation}, and everything else of a plugin answers`, async (t) => {
    await using plugin = await host.load(basic, { isolation })
    t.equal(await codeOf(() => plugin.callSync("add", [1, 2])), "STELE-ISO-0004")
    t.equal(await plugin.call("add", [40, 2]), 42)
    t.equal(plugin.describe().mechanisms.isolation, isolation)
    const big = new Uint8Array(3 << 20).fill(9)
    const echoed = (await plugin.call("echo-bytes", [big])) as Uint8Array
    t.ok(echoed.length === big.length && echoed.at(-1) === 9, "longer than the mailbox")
    t.equal(await codeOf(() => plugin.call("echo-bytes", [new Uint8Array(17 << 20)])), "STELE-LIM-0004", "more than outputBytesMax")
  })

  t.test(`a call in a ${isolation} costs the same fuel and bytes as inline`, async (t) => {
    const usage = async (where: "inline" | typeof isolation) => {
      await using plugin = await host.load(caller, { isolation: where, metering: "fuel", imports: provided((n) => n + 1) })
      const { fuel, bytesIn, bytesOut, memoryPeakBytes } = (await plugin.callWithUsage("acme:caller/api#repeat", [50])).usage
      return { fuel, bytesIn, bytesOut, memoryPeakBytes }
    }
    t.same(await usage(isolation), await usage("inline"))
  })

  t.test(`host functions may answer later in a ${isolation}, no later than the call may take`, async (t) => {
    let answer: (n: number) => unknown = async (n) => n + 1
    await using plugin = await host.load(caller, { isolation, imports: provided((n) => answer(n)), instances: { max: 2 } })
    t.equal(await plugin.call("acme:caller/api#repeat", [10]), 65)
    answer = () => new Promise(() => undefined)
    t.equal(await codeOf(() => plugin.call("acme:caller/api#go", [1], { deadlineMs: 60 })), "STELE-LIM-0010")
    const controller = new AbortController()
    const aborted = codeOf(() => plugin.call("acme:caller/api#go", [1], { signal: controller.signal }))
    setTimeout(() => controller.abort(), 30)
    t.equal(await aborted, "STELE-PLG-0005")
    answer = async () => {
      throw new RangeError("no such shelf")
    }
    t.equal(await codeOf(() => plugin.call("acme:caller/api#go", [1])), "STELE-PLG-0009")
    answer = async () => "not a number"
    t.equal(await codeOf(() => plugin.call("acme:caller/api#go", [1])), "STELE-WIT-0001")
    answer = async (n) => n
    t.equal(await plugin.call("acme:caller/api#go", [7]), 7, "the next one works")
  })

  t.test(`a call that a host function begins is inside its guest's call in a ${isolation}`, async (t) => {
    await using inner = await host.load(basic)
    let run: (n: number) => unknown = () => inner.call("spin", [], { deadlineMs: 10_000 })
    await using outer = await host.load(caller, { isolation, limits: { nestingMax: 2 }, imports: provided((n) => run(n)), instances: { max: 4 } })
    const startedMs = performance.now()
    t.equal(await codeOf(() => outer.call("acme:caller/api#go", [1], { deadlineMs: 80 })), "STELE-LIM-0010")
    t.ok(performance.now() - startedMs < 5_000)
    run = async (n) => (n === 0 ? 0 : ((await outer.call("acme:caller/api#go", [n - 1], { deadlineMs: 20_000 })) as number) + 1)
    t.equal(await outer.call("acme:caller/api#go", [1], { deadlineMs: 20_000 }), 1)
    t.equal(await codeOf(() => outer.call("acme:caller/api#go", [2], { deadlineMs: 20_000 })), "STELE-LIM-0018")
  })

  t.test(`an endless guest in a ${isolation} is stopped by its signal, and calls run at the same time within their number`, async (t) => {
    await using plugin = await host.load(basic, { isolation, instances: { max: 2, queue: 1 }, limits: { deadlineMs: 60_000 } })
    const controller = new AbortController()
    const spinning = codeOf(() => plugin.call("spin", [], { signal: controller.signal }))
    t.equal(await plugin.call("add", [1, 2]), 3, "another isolate answers meanwhile")
    const second = codeOf(() => plugin.call("spin", [], { signal: controller.signal }))
    const waits = plugin.call("add", [2, 3])
    t.equal(await codeOf(() => plugin.call("add", [1, 1])), "STELE-POL-0001")
    const startedMs = performance.now()
    controller.abort()
    t.same([await spinning, await second], ["STELE-PLG-0005", "STELE-PLG-0005"])
    t.equal(await waits, 5)
    t.ok(performance.now() - startedMs < 10_000)
    // Nothing meters it, so nothing but its end can stop it.
    await using unmetered = await host.load(basic, { isolation, metering: "off" })
    t.equal(await codeOf(() => unmetered.call("spin", [], { signal: AbortSignal.timeout(50) })), "STELE-PLG-0005")
    t.equal(await unmetered.call("add", [1, 1]), 2)
  })

  t.test(`a plugin in a ${isolation} is replaced while calls run`, async (t) => {
    let release: (n: number) => void = () => undefined
    const { promise: asked, resolve: askedNow } = Promise.withResolvers<void>()
    const answer = () => {
      askedNow()
      return new Promise((resolve) => (release = resolve))
    }
    const plugin = await host.load(caller, {
      isolation,
      imports: provided(answer),
      limits: { deadlineMs: 20_000 },
    })
    const old = plugin.call("acme:caller/api#go", [1])
    await asked
    await plugin.replace(basic, { imports: {}, exports: "any" })
    t.equal(await plugin.call("add", [1, 2]), 3)
    release(99)
    t.equal(await old, 99, "what began on the old one ends there")
    await plugin.close()
  })

  t.test(`programs of preview 1 run in a ${isolation}: arguments, streams, files within grants, exit codes`, async (t) => {
    const box = join(folder, `box-${isolation}`)
    await mkdir(box)
    await writeFile(join(box, "hello.txt"), "from a file\n")
    await writeFile(join(folder, "outside.txt"), "outside\n")
    await symlink("../outside.txt", join(box, "escape"))
    const module = await wat(program)
    const output: Array<string> = []
    const load = (grants: ReadonlyArray<string>, args: ReadonlyArray<string>) =>
      host.load(module, {
        isolation,
        grants,
        missing: "trap",
        wasi: { args, directories: { "/box": box }, stdout: (bytes) => void output.push(new TextDecoder().decode(bytes)) },
      })
    const cat = async (grants: ReadonlyArray<string>, name: string) => {
      await using plugin = await load(grants, ["cat", name])
      output.length = 0
      const { exitCode } = await plugin.run()
      return [exitCode, output.join("")]
    }
    t.same(await cat([`fs:read:${box}`], "hello.txt"), [0, "from a file\n"])
    t.same(await cat([`fs:read:${box}`], "nothing"), [44, ""], "noent")
    t.same(await cat([`fs:read:${box}`], "escape"), [63, ""], "perm: it leads out")
    t.not((await cat([], "hello.txt"))[0], 0, "nothing without the grant")
    await using plugin = await load([`fs:read:${box}`], ["cat", "hello.txt"])
    plugin.revoke(`fs:read:${box}`)
    t.not((await plugin.run()).exitCode, 0, "a revocation is known there")
    await using told = await load([`fs:read:${box}`], ["cat", "nothing"])
    t.equal((await told.run()).exitCode, 44)
    t.equal((await told.run({ wasi: { args: ["cat", "hello.txt"] } })).exitCode, 0, "a call's own arguments are that call's")
    t.equal((await told.run()).exitCode, 44, "and no other's")
  })
}

const { encode, decode } = {
  encode: (text: string) => new TextEncoder().encode(text),
  decode: (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array),
}

for (const isolation of kinds) {
  t.test(`host functions of an Extism plugin in a ${isolation} are the parent's, under the grants that it has`, async (t) => {
    const greeter = await extismGuest({
      data: "HelloAda",
      imports: `(import "extism:host/user" "greet" (func $greet (param i64 i64) (result i64)))`,
      body: `(call $answer (call $greet (call $block (i32.const 0) (i32.const 5)) (call $block (i32.const 5) (i32.const 3))))`,
    })
    let greet: (...words: ReadonlyArray<Uint8Array>) => unknown = (...words) => encode(words.map(decode).join(", "))
    const imports = { "extism:host/user": { greet: async (...words: ReadonlyArray<Uint8Array>) => greet(...words) } }
    await using plugin = await host.load(greeter, { isolation, grants: ["call:greet"], imports })
    const run = () => plugin.call("run", [encode("")])
    const { result, usage } = await plugin.callWithUsage("run", [encode("")])
    t.same([decode(result), usage.hostCalls], ["Hello, Ada", { "call:greet": 1 }])
    greet = () => "text"
    t.equal(decode(await run()), "text")
    greet = () => undefined
    t.equal(decode(await run()), "", "nothing is no block")
    greet = () => 5
    t.equal(await codeOf(run), "STELE-EXT-0003")
    greet = () => {
      throw new RangeError("no such shelf")
    }
    await t.rejects(run(), { code: "STELE-PLG-0009", reason: { import: "extism:host/user#greet" } })
    greet = () => new Promise(() => undefined)
    t.equal(await codeOf(() => plugin.call("run", [encode("")], { deadlineMs: 60 })), "STELE-LIM-0010")
    plugin.revoke("call:greet")
    t.equal(await codeOf(run), "STELE-CAP-0004")
    t.match(plugin.describe().grants.denied, [{ grant: "call:greet", count: 1 }])

    const adder = await extismGuest({
      imports: `(import "tools" "add" (func $add (param i64 i64) (result i64))) (import "tools" "half" (func $half (param f64 i32) (result i32)))`,
      body: `(call $answer-i64 (i64.add (call $add (i64.const -5) (i64.const 7)) (i64.extend_i32_s (call $half (f64.const 9) (i32.const -3)))))`,
    })
    await using numbers = await host.load(adder, {
      isolation,
      grants: ["call:tools#*"],
      imports: { tools: { add: stele.withNumbers((a: bigint, b: bigint) => a + b), half: (a: number, b: number) => a / b + 2 ** 32 } },
    })
    const sum = (await numbers.call("run", [encode("")])) as Uint8Array
    t.equal(new DataView(sum.buffer, sum.byteOffset).getBigInt64(0, true), -1n)
  })

  t.test(`\`http_request\` of an Extism plugin in a ${isolation} is sent by the parent, under the grants that it has`, async (t) => {
    const http = memoryHttp(({ url, method }, body) => {
      if (url.endsWith("/away")) return { status: 302, headers: [["location", "https://other.example.com/"]] }
      return { status: 404, headers: [["x-one", "1"]], body: `${method} ${url} ${decode(body)}${url.endsWith("/long") ? "x".repeat(3_000) : ""}` }
    })
    await using own = await Host.open({ cache: false, ports: { http } })
    const guestOf = (answer: string) =>
      extismGuest({
        data: "payload",
        locals: "(local $r i64)",
        body: `(local.set $r (call $http_request (call $input_offset) (call $block (i32.const 0) (i32.const 7)))) ${answer}`,
      })
    const grants = ["http:*:https://api.example.com/*"]
    const asked = (url: string) => [encode(JSON.stringify({ url, method: "POST" }))]
    await using plugin = await own.load(await guestOf("(call $answer (local.get $r))"), { isolation, grants, limits: { httpResponseBytesMax: 2_000 } })
    const { result, usage } = await plugin.callWithUsage("run", asked("https://api.example.com/a"))
    t.equal(decode(result), "POST https://api.example.com/a payload")
    t.ok((usage.hostCalls[grants[0] as string] ?? 0) >= 1)
    const sent = http.requests.length
    t.equal(await codeOf(() => plugin.call("run", asked("https://other.example.com/"))), "STELE-CAP-0004")
    t.equal(http.requests.length, sent, "nothing left")
    t.equal(await codeOf(() => plugin.call("run", asked("https://api.example.com/away"))), "STELE-CAP-0004", "nor does a redirect lead out of the grants")
    t.equal(await codeOf(() => plugin.call("run", asked("https://api.example.com/long"))), "STELE-LIM-0022")
    t.equal(await codeOf(() => plugin.call("run", [encode("{")])), "STELE-EXT-0006")
    plugin.revoke(grants[0] as string)
    t.equal(await codeOf(() => plugin.call("run", asked("https://api.example.com/a"))), "STELE-CAP-0004", "a revocation is seen")
    await using head = await own.load(await guestOf("(call $answer (call $http_headers))"), { isolation, grants })
    t.same(JSON.parse(decode(await head.call("run", asked("https://api.example.com/a")))), { "x-one": "1" })
  })
}

// ── Crash kit ─────────────────────────────────────────────────────────────────

const hasProc = await readFile("/proc/self/statm").then(
  () => true,
  () => false,
)

t.test("a child killed under load loses only its own call", { skip: !hasProc && "there is no procfs here" }, async (t) => {
  await using own = await Host.open({ cache: false })
  await using plugin = await own.load(basic, { isolation: "process", instances: { max: 2 }, limits: { deadlineMs: 30_000 } })
  await plugin.call("add", [1, 1])
  const ticks = async (pid: number): Promise<number> => {
    const fields = (await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")).split(") ")[1]?.split(" ")
    return Number(fields?.[11] ?? 0)
  }
  const before = new Map(await Promise.all((await descendants()).map(async (pid) => [pid, await ticks(pid)] as const)))
  const lost = codeOf(() => plugin.call("spin", []))
  // The one that spins is the only one that goes on using its processor.
  const spinning = await until(async () => {
    for (const [pid, used] of before) if ((await ticks(pid)) > used + 50) return pid
    return undefined
  })
  if (report.prlimit) t.match(await readFile(`/proc/${spinning}/limits`, "latin1"), /Max file size +0 +0/)
  // What its starters say of themselves, and nothing of the host's.
  t.match(await readFile(`/proc/${spinning}/environ`, "latin1"), /^(PWD=\/\0|_=[a-z/]+\0)*$/, "no environment")
  const others = Promise.all(Array.from({ length: 20 }, (_, i) => plugin.call("add", [i, 1])))
  process.kill(spinning, "SIGKILL")
  t.equal(await lost, "STELE-ISO-0001")
  t.same(
    await others,
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
  t.equal(await plugin.call("add", [20, 22]), 42)
})

t.test("a thread ended under load loses only its own call", async (t) => {
  const links: Array<Link> = []
  const spares = new Spares({
    ...isolates,
    start(kind, options) {
      const link = isolates.start(kind, options)
      links.push(link)
      return link
    },
  })
  t.teardown(() => spares.close())
  const { executor, call } = await executorOf(basic, { instances: { max: 2, queue: 32 } }, spares)
  // The only one that is there takes it, and what follows goes to others.
  const lost = codeOf(() => call("spin", []))
  const others = Array.from({ length: 20 }, (_, i) => call("add", [i, 1]))
  t.equal(await others[0], 1)
  links[0]?.kill()
  t.equal(await lost, "STELE-ISO-0001")
  t.same(
    await Promise.all(others),
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
  t.equal(await call("add", [20, 22]), 42)
  await executor.close()
})

t.test("what ends an engine ends a process and nothing else", async (t) => {
  const grower = await guest({
    core: `${bumpAllocator()} (table $t 1 funcref)
      (func (export "take-table") (result i32) (loop $more (br_if $more (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000000))))) (i32.const 0))
      (func (export "take-memory") (param $pages i32) (result i32) (local $at i32) (local $end i32)
        (local.set $at (i32.shl (memory.size) (i32.const 16)))
        (drop (memory.grow (local.get $pages)))
        (local.set $end (i32.shl (memory.size) (i32.const 16)))
        (loop $touch (i32.store (local.get $at) (i32.const 1)) (local.set $at (i32.add (local.get $at) (i32.const 4096))) (br_if $touch (i32.lt_u (local.get $at) (local.get $end))))
        (loop $stay (br $stay)) (i32.const 0))
      (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
      (func (export "take-stack") (result i32) (call $deep (i32.const 0)))`,
    exports: { "take-table": `(result u32)`, "take-memory": `(param "pages" u32) (result u32)`, "take-stack": `(result u32)` },
  })
  await using plugin = await host.load(grower, {
    isolation: "process",
    limits: { tableElementsMax: 4_000_000_000, memoryBytesMax: 1 << 30, stackBytesMax: 1 << 30, residentBytesMax: 300 << 20, deadlineMs: 20_000 },
  })
  t.equal(await codeOf(() => plugin.call("take-memory", [6_000])), "STELE-LIM-0023")
  t.match(await codeOf(() => plugin.call("take-table", [])), /^(answered|STELE-(ISO-0001|LIM-0023|LIM-0002|PLG-0002))$/)
  t.match(await codeOf(() => plugin.call("take-stack", [])), /^STELE-(PLG-0002|LIM-0003|ISO-0001)$/)
  await using next = await host.load(basic, { isolation: "process" })
  t.equal(await next.call("add", [1, 2]), 3)
})

// ── Hostile isolates ──────────────────────────────────────────────────────────

/** Isolates whose messages `change` may alter; undefined: what they end with. */
const altered = (change: (bytes: Uint8Array) => "garbage" | undefined | void): Isolates => ({
  ...isolates,
  start(kind, options) {
    const link = isolates.start(kind, options)
    let isReady = false
    return {
      ...link,
      ended: link.ended,
      data: undefined,
      async exchange(message, bytesMax) {
        const answer = await link.exchange(message, bytesMax)
        if (answer === undefined || answer === "garbage" || !isReady) {
          // Its first words and the answer to loading are left alone.
          if (message !== undefined) isReady = true
          return answer
        }
        const copy = new Uint8Array(answer.buffer).slice()
        return change(copy) === "garbage" ? "garbage" : { buffer: copy.buffer, length: answer.length }
      },
    } satisfies Link
  },
})

t.test("nothing that an isolate can say is more than a typed error of its own call", async (t) => {
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  let attack: (bytes: Uint8Array) => "garbage" | void = () => undefined
  const template = await host.load(caller, { isolation: "worker", imports: provided((n) => n + 1), limits: { outputBytesMax: 1_000 } })
  const spares = new Spares(altered((bytes) => attack(bytes)))
  t.teardown(() => spares.close())
  const imports = provided((n) => n + 1)
  const { executor, call: callOf } = await executorOf(caller, { imports, instances: { max: 1, queue: 32 } }, spares)
  const call = () => callOf("acme:caller/api@1.2.3#go", [1], 20_000)
  const seen = new Map<string, number>()
  for (let round = 0; round < (isFull ? 3_000 : 40); round++) {
    attack = (bytes) => {
      if (random(3) > 0) return undefined
      if (random(10) === 0) return "garbage"
      // In the header and in the value behind it.
      for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(96)] = random(256)
      return undefined
    }
    const code = await codeOf(call)
    t.match(code, /^(answered|STELE-[A-Z]{3}-\d{4})$/)
    seen.set(code, (seen.get(code) ?? 0) + 1)
  }
  attack = () => undefined
  t.equal(await call(), 2, `after ${JSON.stringify(Object.fromEntries(seen))}`)
  t.ok((seen.get("STELE-ISO-0002") ?? 0) > 0)
  await executor.close()
  await template.close()
})

// ── Leaks ─────────────────────────────────────────────────────────────────────

t.test("opening and closing leaves no thread, child or handle", { skip: !hasProc && "there is no procfs here" }, async (t) => {
  const before = { children: (await descendants()).length, resources: process.getActiveResourcesInfo().length }
  for (let round = 0; round < (isFull ? 50 : 3); round++) {
    await using own = await Host.open({ cache: false })
    for (const isolation of kinds) {
      await using plugin = await own.load(basic, { isolation })
      await plugin.call("add", [1, 2])
    }
  }
  t.equal((await descendants()).length, before.children)
  t.ok(process.getActiveResourcesInfo().length <= before.resources + 1, process.getActiveResourcesInfo().join())
})

t.test("a program that leaves its isolates open ends all the same, and they with it", { skip: !hasProc && "there is no procfs here" }, async (t) => {
  const text = `import { Host } from ${JSON.stringify(address)}
    const host = await Host.open({ cache: false })
    for (const isolation of ["worker", "process"]) console.log(await (await host.load(${JSON.stringify(basic)}, { isolation })).call("add", [1, 2]))`
  const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", text], { encoding: "utf8", timeout: 60_000 })
  t.same([status, stdout], [0, "3\n3\n"])
})

for (const engine of engines)
  t.test(
    `a process that is ended while it starts leaves nothing behind when ${engine} runs the host`,
    { skip: !hasProc && "there is no procfs here" },
    async (t) => {
      const count = isFull ? 500 : 24
      const groups = await answer<ReadonlyArray<number>>(engine, "isolate-end-program.ts", [`${count}`])
      t.equal(groups.length, count)
      await until(async () => (await members(groups)).length === 0)
    },
  )

/** `cat`: writes the file that its second argument names, below descriptor 3, to standard output; its exit code is the errno. */
const program = `(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $try (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
  (func $length (param $at i32) (result i32) (local $n i32)
    (block $done (loop $next
      (br_if $done (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $n)))))
      (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $next)))
    (local.get $n))
  (func (export "_start") (local $name i32)
    (call $try (call $sizes (i32.const 0) (i32.const 4)))
    (call $try (call $args (i32.const 16) (i32.const 64)))
    (local.set $name (i32.load (i32.const 20)))
    (call $try (call $open (i32.const 3) (i32.const 1) (local.get $name) (call $length (local.get $name)) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8)))
    (i32.store (i32.const 32) (i32.const 4096)) (i32.store (i32.const 36) (i32.const 1024))
    (call $try (call $read (i32.load (i32.const 8)) (i32.const 32) (i32.const 1) (i32.const 40)))
    (i32.store (i32.const 36) (i32.load (i32.const 40)))
    (call $try (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 44)))))`
