/**
 * Does a stateful core come back? After every step it is restored from its snapshot in an instance of its own, which answers the
 * remaining inputs: every answer and the last snapshot must be those of the core that never stopped (ADR 0047).
 */
import { isDeepStrictEqual } from "node:util"
import { PluginError } from "../../schemas/error/plugin.ts"

/** One instance of a core. */
export interface Running<Config, Input> extends AsyncDisposable {
  init(config: Config): Promise<unknown>
  step(input: Input): Promise<unknown>
  snapshot(): Promise<Uint8Array>
  restore(snapshot: Uint8Array): Promise<unknown>
}

/** An answer, or the core's own error, which is one. Anything else, such as a trap, is passed on. */
async function answerOf(call: Promise<unknown>): Promise<unknown> {
  try {
    return { ok: await call }
  } catch (error) {
    if (error instanceof PluginError && error.reason._tag === "Guest") return { error: error.reason.payload }
    throw error
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Where a rebuilt core departs. */
export class Departure extends Error {}

function same(actual: unknown, expected: unknown, what: string): void {
  const show = (value: unknown): string => JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? `${part}n` : part))
  if (!isDeepStrictEqual(actual, expected)) throw new Departure(`${what}: ${show(actual)} instead of ${show(expected)}`)
}

/**
 * Rebuilds the core after each input, and before the first. Calls `open` once and then once for each of these.
 * @throws Departure naming the step after which it was rebuilt and what is different
 */
export async function rebuild<Config, Input>(open: () => Promise<Running<Config, Input>>, config: Config, inputs: ReadonlyArray<Input>): Promise<void> {
  const answers: Array<unknown> = []
  const snapshots: Array<Uint8Array> = []
  {
    await using first = await open()
    await first.init(config)
    snapshots.push(await first.snapshot())
    for (const input of inputs) {
      answers.push(await answerOf(first.step(input)))
      snapshots.push(await first.snapshot())
    }
  }
  {
    // Nobody takes snapshots of this one: taking them must change nothing.
    await using undisturbed = await open()
    await undisturbed.init(config)
    for (const [at, input] of inputs.entries()) same(await answerOf(undisturbed.step(input)), answers[at], `without snapshots, input ${at}`)
    same(hex(await undisturbed.snapshot()), hex(snapshots.at(-1) as Uint8Array), "without snapshots, the last one")
  }
  for (const [after, snapshot] of snapshots.entries()) {
    await using again = await open()
    await again.restore(snapshot)
    same(hex(await again.snapshot()), hex(snapshot), `rebuilt after ${after} inputs, its snapshot`)
    for (let at = after; at < inputs.length; at++)
      same(await answerOf(again.step(inputs[at] as Input)), answers[at], `rebuilt after ${after} inputs, the answer to input ${at}`)
    same(hex(await again.snapshot()), hex(snapshots.at(-1) as Uint8Array), `rebuilt after ${after} inputs, the last snapshot`)
  }
}

/**
 * What a core makes of bytes that are no snapshot: an error that leaves its state as it was. What it takes all the same must be what it then
 * answers as its snapshot: there is one for each state. Anything else, such as a trap, is passed on.
 */
export async function restoreGarbage<Config, Input>(core: Running<Config, Input>, bytes: Uint8Array): Promise<"refused" | "taken"> {
  const before = await core.snapshot()
  const answer = (await answerOf(core.restore(bytes))) as { readonly error?: unknown }
  const isRefused = "error" in answer
  same(hex(await core.snapshot()), hex(isRefused ? before : bytes), isRefused ? "the snapshot after a refusal" : "the snapshot of what was restored")
  return isRefused ? "refused" : "taken"
}
