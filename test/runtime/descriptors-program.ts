/**
 * Starts programs, threads and processes, and reads a plugin, while the system has as many descriptors left as the argument
 * says; says how each of them ended, and what was left when descriptors came back.
 */
import { closeSync, openSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { Host } from "../../runtime/mod.ts"
import { runProgram } from "../../runtime/author/language/other.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import { programs } from "./wasi-programs.ts"

const [left = "0", file = ""] = process.argv.slice(2)
const outcomes: Record<string, string> = {}
process.on("uncaughtException", (error) => (outcomes["uncaught"] = String(error)))

const say = async (name: string, run: () => Promise<unknown>): Promise<void> => {
  try {
    await run()
    outcomes[name] = "ok"
  } catch (error) {
    outcomes[name] = error instanceof SteleError ? error.code : `untyped ${String(error)}`
  }
}
const descriptors = (): number => readdirSync("/proc/self/fd").length

const bytes = await programs.hello()
const calls = async (host: Host): Promise<Readonly<Record<string, string>>> => {
  await say("program", () => runProgram("c", ["true"], tmpdir()))
  await say("file", async () => (await host.load(file, { wasi: { stdout: () => undefined } })).close())
  for (const isolation of ["worker", "process"] as const) {
    await say(`isolated in a ${isolation}`, async () => {
      await using plugin = await host.load(bytes, { isolation, wasi: { stdout: () => undefined } })
      await plugin.call("wasi:cli/run#run", [])
    })
    await say(`node-wasi in a ${isolation}`, async () => {
      await using plugin = await host.load(bytes, { isolation, engine: "node-wasi", wasi: { stdout: () => undefined } })
      await plugin.call("wasi:cli/run#run", [])
    })
  }
  return { ...outcomes }
}
const open = (): Promise<Host> => Host.open({ cache: false, network: false })
/** Waits for what ends by itself. */
const settled = async (most: number): Promise<number> => {
  for (const endMs = performance.now() + 5_000; descriptors() > most && performance.now() < endMs;) await new Promise((turn) => setTimeout(turn, 20))
  return Math.max(0, descriptors() - most)
}

const atFirst = descriptors()
const first = await open()
// What is loaded once is loaded before.
const warm = await calls(first)
await first.close()
await settled(atFirst)
const before = descriptors()
const host = await open()
const held: Array<number> = []
try {
  for (;;) held.push(openSync("/dev/null", "r"))
} catch {
  for (let i = 0; i < Number(left); i++) closeSync(held.pop() as number)
}
const starved = await calls(host)
for (const descriptor of held) closeSync(descriptor)
const again = await calls(host)
await host.close()
console.log(JSON.stringify({ warm, starved, again, leaked: await settled(before) }))
