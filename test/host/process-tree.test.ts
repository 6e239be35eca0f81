/** What is known of a process that starts others: their memory counts, wherever in the tree they are, and they end with it. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import t from "tap"
import { ProcessTree } from "../../host/platform/isolate/process/usage.ts"

t.setTimeout(120_000)
const skip = existsSync("/proc/self/stat") ? false : "there is no procfs"
const hungryBytes = 100 << 20
/** Holds memory, says its number, and stays. */
const hungry = `const all = Buffer.alloc(${hungryBytes}, 1); console.log("pid", process.pid); setInterval(() => all[0], 1e6)`

interface Tree {
  readonly root: ChildProcess
  /** Of the one that holds memory. */
  readonly hungry: number
  readonly tree: ProcessTree
}

/** Starts `command`, and looks at it from its beginning until somebody in it holds memory. */
async function grow(command: string, args: ReadonlyArray<string>): Promise<Tree> {
  const root = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, NODE_PROGRAM: process.execPath, HUNGRY: hungry } })
  const tree = new ProcessTree(root.pid as number)
  const looking = setInterval(() => tree.residentBytes(), 5)
  try {
    const hungryPid = await new Promise<number>((resolve, reject) => {
      let said = ""
      root.stdout?.on("data", (bytes) => {
        const found = /pid (\d+)\n/.exec((said += String(bytes)))
        if (found !== null) resolve(Number(found[1]))
      })
      root.on("error", reject)
    })
    return { root, hungry: hungryPid, tree }
  } finally {
    clearInterval(looking)
  }
}

/** Is it there, and not only waited for? */
const isAlive = (pid: number): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return false
  }
}

const eventually = async (isSo: () => boolean): Promise<boolean> => {
  for (const endMs = performance.now() + 10_000; !isSo() && performance.now() < endMs;) await new Promise((turn) => setTimeout(turn, 5))
  return isSo()
}

const thread = `new (require("node:worker_threads").Worker)(
  'require("node:child_process").spawn(process.env.NODE_PROGRAM, ["-e", process.env.HUNGRY], { stdio: ["ignore", "inherit", "inherit"] })', { eval: true, stdout: false });
  setInterval(() => undefined, 1e6)`
const run = '"$NODE_PROGRAM" -e "$HUNGRY"'
const nested = (depth: number): string => (depth === 0 ? `${run} & wait` : `sh -c '${nested(depth - 1).replaceAll("'", `'"'"'`)}' & wait`)

for (const [name, command, args] of [
  ["started by a thread", process.execPath, ["-e", thread]],
  ["six processes deep", "sh", ["-c", nested(3)]],
  ["whose parent has ended", "sh", ["-c", `(sleep 0.3; ${run}) & sleep 0.2; exit 0`]],
  ["in a session of its own, whose parent has ended", "sh", ["-c", `setsid sh -c '(sleep 0.3; ${run}) & sleep 0.2; exit 0' & sleep 0.1; exit 0`]],
] as const) {
  t.test(`a process ${name} counts, and ends`, { skip }, async (t) => {
    await using stranger = Object.assign(spawn("sleep", ["60"]), {
      async [Symbol.asyncDispose]() {
        stranger.kill("SIGKILL")
      },
    })
    const { hungry: pid, tree, root } = await grow(command, args)
    t.not(pid, root.pid)
    t.ok((tree.residentBytes() ?? 0) > hungryBytes, "its memory is in the sum")
    t.ok((tree.processorMs() ?? 0) > 0)
    tree.end()
    t.ok(await eventually(() => !isAlive(pid)), "it is gone")
    t.ok(await eventually(() => tree.residentBytes() === undefined), "and nobody is left")
    t.ok(isAlive(stranger.pid as number), "but for who was not of it")
  })
}
