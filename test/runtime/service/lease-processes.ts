/** Three candidates on one store: one is stopped past its lease and goes on, one is killed. What the log says of them afterwards. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Store } from "../../../runtime/port/store.ts"
import { holderOf } from "../../../runtime/service/lease.ts"

const tenant = Buffer.from("ada")
const key = Buffer.from("written")
const program = fileURLToPath(new URL("lease-program.ts", import.meta.url))

export interface Course {
  /** In the order in which they took effect. */
  readonly tokens: ReadonlyArray<number>
  /** Writes of a token that came after one of a greater token. */
  readonly stale: number
  /** Processes that have led. */
  readonly leaders: number
  /** Writes that the store refused to the one that was stopped. */
  readonly refused: number
  /** From the kill until another had the lease, ms. */
  readonly takeoverMs: number
}

async function until<A>(what: string, find: () => Promise<A | undefined>, limitMs = 30_000): Promise<A> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const found = await find()
    if (found !== undefined) return found
    if (performance.now() > endMs) throw new Error(`${what} did not come to be within ${limitMs} ms`)
    await new Promise((resume) => setTimeout(resume, 10))
  }
}

async function written(store: Store): Promise<ReadonlyArray<string>> {
  const found: Array<string> = []
  for (let after = 0n; ;) {
    const { entries } = await store.ask({ ask: "log", tenant, key, after, countMax: 1_000, bytesMax: 1 << 20 })
    found.push(...entries.map(({ payload }) => Buffer.from(payload).toString()))
    const last = entries.at(-1)
    if (last === undefined || entries.length < 1_000) return found
    after = last.offset
  }
}

const tokenOf = (line: string): number => Number(line.split(" ")[0])

function staleIn(lines: ReadonlyArray<string>): number {
  let [stale, greatest] = [0, 0]
  for (const token of lines.map(tokenOf)) {
    if (token < greatest) stale++
    greatest = Math.max(greatest, token)
  }
  return stale
}

export async function course(store: Store, address: string, fence: "KEEP" | "DROP", environment: NodeJS.ProcessEnv = {}): Promise<Course> {
  const children = new Map<number, ChildProcess>()
  const said = new Map<number, string>()
  const begin = (): void => {
    const child = spawn(process.execPath, [program, address, fence], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...environment } })
    const pid = child.pid as number
    children.set(pid, child)
    child.stdout.on("data", (data: Buffer) => said.set(pid, `${said.get(pid) ?? ""}${data.toString()}`))
  }
  /** Somebody who leads, has written, and is another than this one. */
  const leader = (other?: number): Promise<number> => until("another leader", () => leading(other))
  const leading = async (other?: number): Promise<number | undefined> => {
    const holder = await holderOf(store, "roll-up", tenant)
    const pid = Number(holder?.holder)
    if (holder === undefined || pid === other) return undefined
    return (await written(store)).includes(`${holder.token} ${pid}`) ? pid : undefined
  }
  try {
    for (let i = 0; i < 3; i++) begin()
    /** What tells that a stale one has tried: that it was refused, or, where nothing refuses it, that it has written. */
    const hasTried = async (pid: number): Promise<true | undefined> =>
      (fence === "KEEP" ? said.get(pid)?.includes("Conflict") === true : staleIn(await written(store)) > 0) ? true : undefined
    const stopped = await until(
      "a leader that was stopped, followed, and has tried to write",
      async () => {
        const pid = await leader()
        children.get(pid)?.kill("SIGSTOP")
        // One that was stopped in the middle of a commit holds the store's lock, and nobody can follow it; one may just have lost its lease.
        const next = await until("a follower", () => leading(pid), 4_000).catch(() => undefined)
        children.get(pid)?.kill("SIGCONT")
        if (next === undefined) return undefined
        return (await until("an attempt", () => hasTried(pid), 4_000).catch(() => undefined)) === undefined ? undefined : pid
      },
      150_000,
    )
    const killed = await leader()
    const killedMs = performance.now()
    const gone = once(children.get(killed) as ChildProcess, "exit")
    children.get(killed)?.kill("SIGKILL")
    await gone
    await leader(killed)
    const takeoverMs = performance.now() - killedMs
    for (const [pid, child] of children) if (pid !== killed) child.kill("SIGTERM")
    await Promise.all([...children].map(([pid, child]) => (pid === killed || child.exitCode !== null ? undefined : once(child, "exit"))))
    const lines = await written(store)
    const tokens = lines.map(tokenOf)
    const refused =
      said
        .get(stopped)
        ?.split("\n")
        .filter((line) => line === "Conflict").length ?? 0
    return { tokens, stale: staleIn(lines), leaders: new Set(lines.map((line) => line.split(" ")[1])).size, refused, takeoverMs }
  } finally {
    for (const child of children.values()) child.kill("SIGKILL")
  }
}
