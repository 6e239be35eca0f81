/**
 * Journey 1, the embedder: from an empty folder to a plugin that is called, refused, stopped and typed, on three
 * engines. Prints what a new user sees, step by step, and how long each took.
 *
 *     node test/journey/embedder.ts
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { engines, firstBlock, Folder, typeCheck } from "../package/folder.ts"

export interface Step {
  /** What the user does. */
  readonly does: string
  /** What the user then sees. */
  readonly sees: string
  readonly ms: number
}

/** The grant that the README's first block is tried without. */
const grant = ', "kv:read:prices/*"'

const spinner = `import { Host, LimitError } from "stele"
await using host = await Host.open()
const load = (name: string, options = {}) => host.load(new URL(import.meta.resolve(\`stele/examples/\${name}/\${name}.wasm\`)), options)
await using spinner = await load("spinner")
try {
  await spinner.call("stele:example-spinner/wheel#spin", [1], { deadlineMs: 1 })
} catch (error) {
  if (!(error instanceof LimitError)) throw error
  console.log(error.code, error.message)
}
console.log("the same plugin:", String(await spinner.call("stele:example-spinner/wheel#spin", [0])))
await using greeter = await load("greeter", { grants: ["log", "kv:read:prices/*"] })
console.log("another plugin:", JSON.stringify(await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])))
`

const typed = `import { Host } from "stele"
import type { Exports } from "./greeter.d.ts"
await using host = await Host.open()
await using greeter = await host.load<Exports>("greeter.wasm")
export const { message } = await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])
`

/** The address is the only thing that differs between two runs. */
const storage = `import { Host } from "stele"
const storage = process.argv[2] ?? "memory"
const run = async (isFirst: boolean) => {
  await using host = await Host.open({ storage })
  if (isFirst) await host.ports.keyValue.set("default/prices/tea", new TextEncoder().encode("3.20"))
  const url = new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm"))
  await using greeter = await host.load(url, { grants: ["log", "kv:read:prices/*"] })
  console.log(JSON.stringify(await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])))
}
await run(true)
await run(false)
`

const mounted = `import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Hono } from "hono"
import { Host } from "stele"
import { makeToken, service } from "stele/http"
const token = makeToken()
await using host = await Host.open()
await using plugins = await service(host, { token })
const app = new Hono().get("/hello", (c) => c.text("mine")).mount("/stele", plugins.fetch)
const ask = async (path: string, init: RequestInit = {}) => {
  const answer = await app.request(\`http://127.0.0.1\${path}\`, { ...init, headers: { authorization: \`Bearer \${token}\`, "content-type": path.includes("calls") ? "application/json" : "application/wasm" } })
  console.log(path, answer.status, (await answer.text()).slice(0, 60))
}
const wasm = await readFile(fileURLToPath(import.meta.resolve("stele/examples/greeter/greeter.wasm")))
await ask("/hello")
await ask("/stele/healthz")
await ask("/stele/v1/plugins/greeter?grant=log&grant=kv:read:prices/*&isolation=inline", { method: "PUT", body: wasm })
await ask("/stele/v1/plugins/greeter/calls/greet", { method: "POST", body: JSON.stringify([{ name: "Ada" }]) })
`

// Requests are no handles: Node lists the last file's CloseReq until the turn in which it ended is over.
const closing = `import { Host } from "stele"
const resources = () => process.getActiveResourcesInfo().filter((name) => !/^(TTYWrap|PipeWrap)$|Req/.test(name)).sort().join()
const host = await Host.open()
const url = new URL(import.meta.resolve("stele/examples/greeter/greeter.wasm"))
const use = async () => {
  const plugin = await host.load(url, { grants: ["log", "kv:read:prices/*"], instances: { reuse: "principal" } })
  await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
  await plugin.close()
  return plugin.instances
}
await use()
const before = resources()
let alive = 0
for (let round = 0; round < 200; round++) alive += await use()
console.log("alive after close:", alive + host.plugins.length)
await host.close()
console.log(resources() === before ? "nothing new is open" : \`opened \${resources()}, was \${before}\`)
`

/** The lines of an uncaught error that tell what happened, not where. */
const told = (stderr: string): string =>
  stderr
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /needs the grant|^code: |^fix: /.test(line))
    .map((line) => line.replace(/^(error: )?(Uncaught )?(\(in promise\) )?(CapabilityError: )?/, "").replace(/,$/, ""))
    // Engines quote the values of an error's fields each in their own way.
    .map((line) => line.replace(/^(code|fix): (['"])(.*)\2$/s, (_all, name: string, _quote, value: string) => `${name}: ${value.replaceAll('\\"', '"')}`))
    .filter((line, i, all) => all.indexOf(line) === i)
    .sort()
    .join("\n")

/** A database that is set up, and the password of the role in its address. */
export interface Database {
  readonly address: string
  readonly password: string
}

/** Without a database its steps are left out. */
export async function journey(folder: Folder, database?: Database): Promise<ReadonlyArray<Step>> {
  const steps: Array<Step> = []
  const step = async (does: string, run: () => string | Promise<string>): Promise<void> => {
    const startedMs = performance.now()
    const sees = (await run()).trimEnd()
    steps.push({ does, sees, ms: Math.round(performance.now() - startedMs) })
  }
  const on = (engine: (typeof engines)[number], name: string) => {
    const [command, ...args] = engine
    return folder.run(command, [...args, name])
  }
  const printed = (engine: (typeof engines)[number], name: string): string => {
    const { status, stdout, stderr } = on(engine, name)
    return status === 0 ? stdout : `exit code ${status}\n${stdout}${stderr}`
  }

  await step("npm install stele", async () => {
    await folder.install()
    const manifest = JSON.parse(await readFile(join(folder.path, "node_modules/stele/package.json"), "utf8")) as {
      readonly scripts?: Readonly<Record<string, string>>
      readonly exports: Readonly<Record<string, { readonly types?: string } | string>>
    }
    const scripts = Object.keys(manifest.scripts ?? {}).filter((name) => /^(pre|post)?install$|^prepare$/.test(name))
    const types = Object.entries(manifest.exports).flatMap(([entry, to]) => (typeof to === "object" && to.types !== undefined ? [entry] : []))
    return `install scripts: ${scripts.join() || "none"}\ntypes of: ${types.join(" ")}`
  })

  const { body } = await firstBlock()
  await folder.write("first.ts", body)
  for (const engine of engines) await step(`${engine[0]} first.ts, the README's first block`, () => printed(engine, "first.ts"))

  await folder.write("ungranted.ts", body.replace(grant, ""))
  for (const engine of engines) {
    await step(`${engine[0]} first.ts, without the grant`, () => {
      const { status, stderr } = on(engine, "ungranted.ts")
      return `${status === 0 ? "it ended well" : "it fails"}\n${told(stderr)}`
    })
  }

  await folder.write("spinner.ts", spinner)
  for (const engine of engines) await step(`${engine[0]} spinner.ts, a plugin that never ends, with a deadline of 1 ms`, () => printed(engine, "spinner.ts"))

  await folder.write("right.ts", typed)
  await folder.write("wrong.ts", typed.replace("#greet", "#grete"))
  await step("stele types greeter.wasm -o greeter.d.ts", () => {
    const { status, stdout, stderr } = folder.run("stele", ["types", "node_modules/stele/dist/examples/greeter/greeter.wasm", "-o", "greeter.d.ts"])
    return status === 0 ? `${stdout}written` : stderr
  })
  await step("tsc right.ts", () => typeCheck(folder, "right.ts").stdout || "compiles")
  await step("tsc wrong.ts, which calls greet by a wrong name", () => typeCheck(folder, "wrong.ts").stdout || "compiles")

  await folder.write("storage.ts", storage)
  const addresses = { memory: "memory", "sqlite:stele.db": "sqlite:stele.db", ...(database === undefined ? {} : { "postgres://…": database.address }) }
  for (const [shown, address] of Object.entries(addresses)) {
    for (const engine of engines) {
      await step(`${engine[0]} storage.ts ${shown}`, () => {
        const [command, ...args] = engine
        const { status, stdout, stderr } = folder.run(command, [...args, "storage.ts", address], folder.path, { PGPASSWORD: database?.password ?? "" })
        return status === 0 ? stdout : `exit code ${status}\n${stdout}${stderr}`
      })
    }
  }

  await folder.write("mounted.ts", mounted)
  for (const engine of engines) await step(`${engine[0]} mounted.ts, plugins over HTTP in the embedder's own app`, () => printed(engine, "mounted.ts"))

  await folder.write("closing.ts", closing)
  for (const engine of engines) await step(`${engine[0]} closing.ts, which opens and closes two hundred times`, () => printed(engine, "closing.ts"))
  return steps
}

/** The transcript that is compared: without times, and without digests, which a better compiler changes. */
export const transcript = (steps: ReadonlyArray<Step>): string =>
  steps.map(({ does, sees }) => `$ ${does}\n${sees.replaceAll(/sha256:[0-9a-f]+/g, "sha256:…")}\n`).join("\n")

if (import.meta.main) {
  await using folder = await Folder.empty()
  const steps = await journey(folder)
  for (const { does, sees, ms } of steps) console.log(`$ ${does} (${ms} ms)\n${sees}\n`)
  console.log(`${steps.reduce((sum, { ms }) => sum + ms, 0)} ms in all`)
}
