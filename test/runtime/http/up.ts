/** `stele up` in a process of its own, and requests to it whose outcome is known whatever becomes of them. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { Agent, request } from "node:http"
import { join } from "node:path"
import { bin, type EngineName } from "../../host/engine.ts"
import { main, root } from "../command-line.ts"

/** `stele up` with nobody at its input, on an engine of one's own choice; its files are in `folder`. */
export async function up(folder: string, name: string, flags: ReadonlyArray<string> = [], engine: EngineName = "node") {
  const data = join(folder, name)
  const [file, before] = engine === "node" ? [process.execPath, []] : [bin(engine), engine === "deno" ? ["run", "--no-prompt", "--allow-all"] : []]
  const child = spawn(file, [...before, main, "up", "--json", "--storage", `sqlite:${join(folder, `${name}.db`)}`, "--port", "0", ...flags], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, XDG_DATA_HOME: data, NODE_COMPILE_CACHE: join(root, ".cache/compiled"), STELE_STORAGE: "", STELE_PORT: "" },
  })
  let text = ""
  let errors = ""
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk))
  const ended = once(child, "close") as Promise<[number | null, string | null]>
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    text += String(chunk)
    if (text.includes("\n")) break
  }
  child.stdout.resume()
  if (!text.includes("\n")) throw new Error(`Cannot start: ${errors}`)
  const { service } = JSON.parse(text) as { readonly service: { readonly url: string; readonly tokenFile: string } }
  const token = (await readFile(service.tokenFile, "utf8")).trim()
  return { child, ended, url: service.url, tokenFile: service.tokenFile, token, errors: () => errors }
}

export type Outcome = { readonly kind: "answered" | "refused" | "closed"; readonly status?: number } | { readonly kind: "cut off"; readonly why: string }

/** One request on an agent's connection. A connection that nobody listens for any more is a refusal; one that breaks is not. */
export function post(agent: Agent, url: string, token: string, body: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const asked = request(`${url}/v1/plugins/greeter/calls/greet`, {
      method: "POST",
      agent,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": body.length },
    })
    asked.on("response", (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        const isRefused = status === 503 && text.includes("STELE-HTP-0012") && response.headers["retry-after"] !== undefined
        const isAnswered = status === 200 && text === '{"result":{"message":"Hello, Ada!","teaPrice":"2.80 €"}}'
        resolve(isAnswered ? { kind: "answered" } : isRefused ? { kind: "refused", status } : { kind: "cut off", why: `${status} ${text}` })
      })
      response.on("error", (error) => resolve({ kind: "cut off", why: String(error) }))
    })
    asked.on("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code === "ECONNREFUSED" ? { kind: "closed" } : { kind: "cut off", why: `${error.code} ${error.message}` }),
    )
    asked.end(body)
  })
}

/** Keeps a service under load until it listens no more, and ends it by SIGTERM in the middle. */
export async function endUnderLoad({ child, ended, url, token }: Awaited<ReturnType<typeof up>>) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const outcomes: Array<Outcome> = []
  let isClosed = false
  const lanes = Array.from({ length: 16 }, async () => {
    while (!isClosed) {
      const outcome = await post(agent, url, token, '[{"name":"Ada"}]')
      outcomes.push(outcome)
      if (outcome.kind === "closed") isClosed = true
      // As `retry-after` asks for, though sooner, so that the end is seen.
      if (outcome.kind === "refused") await new Promise((next) => setTimeout(next, 100))
      if (outcome.kind === "cut off") break
    }
  })
  while (outcomes.length < 300 && outcomes.every(({ kind }) => kind !== "cut off")) await new Promise((next) => setTimeout(next, 5))
  const signalledMs = performance.now()
  child.kill("SIGTERM")
  await Promise.all(lanes)
  const exit = await ended
  agent.destroy()
  const count = (kind: Outcome["kind"]): number => outcomes.filter((outcome) => outcome.kind === kind).length
  return {
    exit,
    tookMs: performance.now() - signalledMs,
    cutOff: outcomes.filter(({ kind }) => kind === "cut off"),
    answered: count("answered"),
    refused: count("refused"),
    closed: count("closed"),
  }
}
