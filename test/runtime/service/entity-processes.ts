/** Three processes serve the entities of one store: one is stopped past its lease and goes on, one is killed, another comes. What the states say afterwards. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Store } from "../../../runtime/port/store.ts"
import { Entities } from "../../../runtime/service/entity.ts"
import type { Mode } from "./entity-mutants.ts"

const program = fileURLToPath(new URL("entity-program.ts", import.meta.url))
const tenant = Buffer.from("ada")

export interface Course {
  /** Entities whose state is not each message once, in the order of sending. */
  readonly wrong: ReadonlyArray<string>
  readonly messages: number
  /** Times the one that was stopped had to be stopped again, since it was in a commit. */
  readonly stops: number
  /** From the kill until every shard was a living process's, ms. */
  readonly deathMs: number
  /** From the first sight of another process until it had its part of the shards, ms. */
  readonly joinMs: number
  /** From sending the first message until the last had taken effect, ms. */
  readonly tookMs: number
}

export interface CourseOptions {
  /** Of the one that is stopped; the others notice when they are out, and go without the token only where it does. */
  readonly mode: Exclude<Mode, "UNFENCED">
  readonly entities: number
  /** Sent to each. */
  readonly messages: number
  readonly environment?: NodeJS.ProcessEnv
}

export async function until<A>(what: string, find: () => Promise<A | undefined>, limitMs = 60_000): Promise<A> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const found = await find()
    if (found !== undefined) return found
    if (performance.now() > endMs) throw new Error(`${what} did not come to be within ${limitMs} ms`)
    await new Promise((resume) => setTimeout(resume, 25))
  }
}

const listOf = (bytes: Uint8Array | undefined): ReadonlyArray<number> =>
  bytes === undefined ? [] : (JSON.parse(Buffer.from(bytes).toString()) as ReadonlyArray<number>)

export async function course(store: Store, address: string, { mode, entities, messages, environment = {} }: CourseOptions): Promise<Course> {
  const accounts = await Entities.open(store, "account", { tenant, shards: 32 })
  const children = new Map<string, ChildProcess>()
  const begin = (name: string): void => {
    const own: Mode = name === "a" ? mode : mode === "DROP" ? "UNFENCED" : "KEEP"
    const child = spawn(process.execPath, [program, address, own, name], { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...environment } })
    children.set(name, child)
  }
  /** All shards are these processes', each with its part. */
  const divided = async (names: ReadonlyArray<string>): Promise<true | undefined> => {
    const owners = await accounts.owners()
    const counts = names.map((name) => owners.get(name)?.length ?? 0)
    const most = Math.ceil(accounts.shards / names.length)
    return counts.reduce((sum, count) => sum + count, 0) === accounts.shards && counts.every((count) => count <= most) ? true : undefined
  }
  const ids = Array.from({ length: entities }, (_, i) => `account ${i}`)
  let sent = 0
  /** The next number to each entity, fifty in a batch, until so many were sent. */
  const sendUpTo = async (count: number): Promise<void> => {
    for (; sent < count; sent++) await send(Buffer.from(String(sent)))
  }
  const send = async (payload: Uint8Array): Promise<void> => {
    const batches: Array<Promise<unknown>> = []
    for (let from = 0; from < ids.length; from += 50)
      batches.push(store.apply(ids.slice(from, from + 50).map((id) => accounts.message(id, payload, { attemptsMax: 1_000, backoffMs: 5, backoffMsMax: 50 }))))
    await Promise.all(batches)
  }
  /** That so many entities have taken their `count` first messages: others went on. */
  const progressed = (count: number, part: number): Promise<true> =>
    until("progress", async () => {
      const lists = await Promise.all(ids.map(async (id) => listOf(await accounts.stateOf(id))))
      return lists.filter(({ length }) => length >= count).length >= ids.length * part ? true : undefined
    })
  const parts = Math.max(1, Math.floor(messages / 5))
  try {
    for (const name of ["a", "b", "c"]) begin(name)
    await until("three that share the shards", () => divided(["a", "b", "c"]))
    const beganMs = performance.now()
    await sendUpTo(parts)
    // Whoever is to be stopped has states in memory.
    await progressed(parts, 0.98)
    let stops = 0
    await until(
      "followers of one that was stopped",
      async () => {
        stops++
        children.get("a")?.kill("SIGSTOP")
        const followed = await until("followers", () => divided(["b", "c"]), 4_000).catch(() => undefined)
        // One that was stopped in a commit holds the store's lock, and nobody can follow.
        if (followed === undefined) children.get("a")?.kill("SIGCONT")
        return followed
      },
      150_000,
    )
    await sendUpTo(2 * parts)
    await progressed(2 * parts, 0.9)
    await sendUpTo(3 * parts)
    children.get("a")?.kill("SIGCONT")
    await sendUpTo(4 * parts)
    const gone = once(children.get("b") as ChildProcess, "exit")
    children.get("b")?.kill("SIGKILL")
    await gone
    const killedMs = performance.now()
    const settled = async (names: ReadonlyArray<string>): Promise<number> => {
      // One that does not know that it is out never comes back among the members.
      await until(`${names.join(", ")} alone`, () => divided(mode === "KEEP" ? names : names.filter((name) => name !== "a")))
      return performance.now()
    }
    const deathMs = (await settled(["a", "c"])) - killedMs
    begin("d")
    await until("another", async () => ((await accounts.owners()).has("d") ? true : undefined))
    const seenMs = performance.now()
    const joinMs = (await settled(["a", "c", "d"])) - seenMs
    await sendUpTo(messages)
    const wrongNow = async (): Promise<ReadonlyArray<string>> => {
      const wanted = JSON.stringify(Array.from({ length: messages }, (_, i) => i))
      const found = await Promise.all(ids.map(async (id) => JSON.stringify(listOf(await accounts.stateOf(id)))))
      const total = listOf(await accounts.stateOf("total"))
      return [...ids.filter((_, i) => found[i] !== wanted), ...(total.length === entities ? [] : ["total"])]
    }
    /** Nothing waits any more: what is not there by now never comes. */
    const isIdle = async (): Promise<true | undefined> => {
      const queues = new Map([...ids, "total"].map((id) => [Buffer.from(accounts.queueOf(id).key).toString(), accounts.queueOf(id)]))
      const depths = await Promise.all([...queues.values()].map((queue) => store.ask({ ask: "queue", ...queue })))
      return depths.every(({ ready, waiting, blocked, leased }) => ready + waiting + blocked + leased === 0) ? true : undefined
    }
    await until("the end of all messages", isIdle, 120_000)
    const tookMs = performance.now() - beganMs
    const wrong = await wrongNow()
    for (const [name, child] of children) if (name !== "b") child.kill("SIGTERM")
    await Promise.all([...children].map(([name, child]) => (name === "b" || child.exitCode !== null ? undefined : once(child, "exit"))))
    return { wrong, messages: entities * messages + entities, stops, deathMs, joinMs, tookMs }
  } finally {
    for (const child of children.values()) child.kill("SIGKILL")
  }
}

export const said = (mode: string, { wrong, messages, stops, deathMs, joinMs, tookMs }: Course): string =>
  `${mode}: ${messages} messages in ${(tookMs / 1_000).toFixed(1)} s, ${wrong.length} entities wrong, stopped ${stops} times; every shard served ${deathMs.toFixed(0)} ms after a death, divided anew ${joinMs.toFixed(0)} ms after another came`
