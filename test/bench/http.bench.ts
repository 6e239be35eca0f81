/**
 * Calls over HTTP: requests per second of an echo plugin through the service, against a bare hono handler that parses and answers
 * the same JSON on the same server. The servers are processes of their own; one client keeps 16 connections busy, in turns.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { Agent, request } from "node:http"
import { fileURLToPath } from "node:url"
import { figureRow, type Row, type Sample, summarize } from "./measure.ts"

const connections = 16
const rounds = 8
const roundMs = 700
const token = "bench_token_of_32_characters_long"
const text = "x".repeat(63)

interface Contender {
  readonly path: string
  readonly port: number
  readonly agent: Agent
}

function ask({ path, port, agent }: Contender, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        port,
        host: "127.0.0.1",
        path,
        method: "POST",
        agent,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": body.length },
      },
      (response) => {
        let answer = ""
        response.setEncoding("utf8").on("data", (chunk: string) => (answer += chunk))
        response.on("end", () => (response.statusCode === 200 ? resolve(answer) : reject(new Error(`${response.statusCode} ${answer}`))))
      },
    )
    asked.on("error", reject)
    asked.end(body)
  })
}

/** Requests a second, and each one's time in µs, of `ms` under load. */
async function load(contender: Contender, body: string, ms: number): Promise<{ readonly perSecond: number; readonly us: ReadonlyArray<number> }> {
  const startedMs = performance.now()
  const us: Array<number> = []
  const lane = async (): Promise<void> => {
    while (performance.now() - startedMs < ms) {
      const atMs = performance.now()
      await ask(contender, body)
      us.push((performance.now() - atMs) * 1_000)
    }
  }
  await Promise.all(Array.from({ length: connections }, lane))
  return { perSecond: us.length / ((performance.now() - startedMs) / 1_000), us }
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("http-server.ts", import.meta.url)), token], { stdio: ["pipe", "pipe", "inherit"] })
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string]
  const ports = JSON.parse(line) as { readonly bare: number; readonly service: number; readonly plugins: ReadonlyArray<string> }
  const to = (port: number, path: string): Contender => ({ port, path, agent: new Agent({ keepAlive: true, maxSockets: connections }) })
  const contenders: Record<string, Contender> = {
    bare: to(ports.bare, "/echo"),
    ...Object.fromEntries(ports.plugins.map((name) => [name, to(ports.service, `/v1/plugins/${name}/calls/echo`)])),
  }
  const body = JSON.stringify([text])
  try {
    for (const [name, contender] of Object.entries(contenders)) {
      if (JSON.stringify(JSON.parse(await ask(contender, body))) !== JSON.stringify({ result: text })) throw new Error(`${name} answers something else`)
      await load(contender, body, 500)
    }
    const perSecond: Record<string, Array<number>> = {}
    const us: Record<string, Array<number>> = {}
    for (let round = 0; round < rounds; round++) {
      for (const [name, contender] of Object.entries(contenders)) {
        const measured = await load(contender, body, roundMs)
        ;(perSecond[name] ??= []).push(measured.perSecond)
        ;(us[name] ??= []).push(...measured.us)
      }
    }
    const rate = Object.fromEntries(Object.entries(perSecond).map(([name, each]) => [name, summarize(each).median]))
    const times: Record<string, Sample> = Object.fromEntries(Object.entries(us).map(([name, each]) => [name, summarize(each)]))
    const bare = rate["bare"] as number
    const row = (name: string, figure: string): Row => ({
      ...figureRow(figure, "requests/s", rate[name] as number, { "bare hono": bare }, [
        { name: "of bare hono", ratio: (rate[name] as number) / bare, atLeast: 0.6 },
      ]),
      note: `a request takes ${(times[name] as Sample).median.toFixed(0)} µs with ${connections} at a time (p99 ${(times[name] as Sample).p99.toFixed(0)}), bare hono ${(times["bare"] as Sample).median.toFixed(0)} µs (p99 ${(times["bare"] as Sample).p99.toFixed(0)})`,
    })
    say(`${connections} connections, ${rounds} rounds of ${roundMs} ms each`)
    return ports.plugins.map((name) => row(name, `HTTP call of an echo plugin, 63 bytes, ${name}`))
  } finally {
    for (const { agent } of Object.values(contenders)) agent.destroy()
    child.stdin.end()
    await once(child, "close")
  }
}
