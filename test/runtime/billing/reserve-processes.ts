/** Nodes in processes of their own that share a cap, one of which is killed, and one's clock is an hour ahead. What the books say afterwards. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Cap } from "../../../runtime/billing/cap.ts"
import { checkCaps, useOfCap } from "../../../runtime/billing/reserve.ts"
import type { Store } from "../../../runtime/port/store.ts"

const program = fileURLToPath(new URL("reserve-program.ts", import.meta.url))

export interface Course {
  /** What the nodes say that their calls used. */
  readonly said: number
  readonly used: bigint
  readonly held: bigint
  /** What the node that was killed held at its end. */
  readonly lost: bigint
  readonly drift: ReadonlyArray<unknown>
}

export async function course(store: Store, address: string, cap: Cap, environment: NodeJS.ProcessEnv = {}): Promise<Course> {
  const books = { store, entity: "acme" }
  const children: Array<ChildProcess> = []
  const begin = (callers: number, mode: string) => {
    const child = spawn(process.execPath, [program, address, String(cap.upTo), String(callers), mode], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    })
    children.push(child)
    let text = ""
    const { promise, resolve } = Promise.withResolvers<string>()
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString()
      if (text.endsWith("\n")) resolve(text)
    })
    const exit = new Promise<void>((ended) =>
      child.once("exit", () => {
        resolve(text)
        ended()
      }),
    )
    return { child, first: promise, exit }
  }
  try {
    // Some of the cap is held by a node that dies with it.
    const dying = begin(8, "hold")
    const until = performance.now() + 30_000
    while ((await useOfCap(books, cap)).held < 8n) {
      if (performance.now() > until) throw new Error("The node that is to be killed has reserved nothing within 30 s")
      await new Promise((resume) => setTimeout(resume, 20))
    }
    const lost = (await useOfCap(books, cap)).held
    dying.child.kill("SIGKILL")
    await dying.exit
    const nodes = [begin(64, "fine"), begin(64, "late"), begin(64, "fine")]
    const said = await Promise.all(nodes.map(async ({ first }) => Number((await first).split(" ")[1])))
    await Promise.all(nodes.map(({ exit }) => exit))
    const { held, used } = await useOfCap(books, cap)
    return { said: said.reduce((sum, one) => sum + one, 0), used, held, lost, drift: await checkCaps(books) }
  } finally {
    for (const child of children) child.kill("SIGKILL")
  }
}
