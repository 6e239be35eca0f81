/** jco in a thread that is thrown away after each problem, and what is known of it. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import type { JcoAnswer, JcoTask } from "./jco-worker.ts"

type Problem = NonNullable<JcoAnswer["problem"]>

/** Names of random worlds that are JavaScript's own, as they are or as a class's. */
const globalName = /\b(?:undefined|Undefined|Map|Set|Array)\b/
const failure = /TypeError|ReferenceError|unexpectedly undefined instance import/
/** Two lists of arguments that are alike when every number of 32 bits is taken for an unsigned one. */
function isUnsigned({ message }: Problem): boolean {
  const [, wanted, found] = /was not called with (\[.*\]): (\[.*\])\n/.exec(message) ?? []
  if (wanted === undefined || found === undefined) return false
  const unsigned = (text: string): string => text.replaceAll(/-\d+(?![\dn.e])/g, (number) => String(Number(number) >>> 0))
  return !found.includes(wanted) && unsigned(found).includes(unsigned(wanted))
}

/**
 * Where jco differs, by name, with what tells it. They are only taken where jco has the same problem with the component
 * that wit-component made, but for those before a component is played.
 */
const exceptions: Readonly<Record<string, (problem: Problem) => boolean>> = {
  "flags of more than 32 labels are refused": ({ message, stage }) => stage === "embed" && message.includes("cannot have more than 32 flags"),
  "a function or resource hides a global that the output needs": ({ message, stage }) =>
    (stage === "load" || stage === "call") && failure.test(message) && globalName.test(message),
  "an s32 in a variant that an import is given is unsigned": isUnsigned,
  // wit-parser 0.259 reaches code that it holds for unreachable while it reads some worlds, depending on the order of their items.
  "the transpiler panics": ({ message, stage }) => stage === "transpile" && message.includes("wasm `unreachable` instruction executed"),
}

export class Jco implements AsyncDisposable {
  #worker: Worker | undefined
  #folder: string | undefined
  #waiting: { readonly resolve: (answer: JcoAnswer) => void; readonly reject: (error: Error) => void } | undefined

  /** Plays a component. What is known to be jco's own problem has its name. */
  async play(task: JcoTask): Promise<JcoAnswer & { readonly exception?: string }> {
    const answer = await this.#ask(task)
    const { problem, theirs } = answer
    if (problem === undefined) return answer
    const exception = Object.keys(exceptions).find((name) => exceptions[name]?.(problem) === true)
    if (exception === undefined || theirs === undefined || problem.stage === "transpile") return { ...answer, ...(exception !== undefined && { exception }) }
    const again = (await this.#ask({ ...task, component: theirs })).problem
    const isSame = again !== undefined && exceptions[exception]?.(again) === true
    return { ...answer, ...(isSame && { exception }) }
  }

  async #ask(task: JcoTask): Promise<JcoAnswer> {
    this.#folder ??= await mkdtemp(join(tmpdir(), "stele-jco-"))
    const worker = (this.#worker ??= this.#start(this.#folder))
    const answer = await new Promise<JcoAnswer>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      worker.postMessage(task)
    })
    if (answer.problem !== undefined) await this.#end()
    return answer
  }

  #start(folder: string): Worker {
    const worker = new Worker(new URL("jco-worker.ts", import.meta.url), { workerData: folder })
    worker.on("message", (answer: JcoAnswer) => this.#waiting?.resolve(answer))
    worker.on("error", (error) => this.#waiting?.reject(error as Error))
    worker.on("exit", (code) => this.#waiting?.reject(new Error(`the thread of jco ended with ${code}`)))
    return worker
  }

  async #end(): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true })
  }
}
