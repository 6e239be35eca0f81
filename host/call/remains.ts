/**
 * What instances of a plugin that have ended leave to those to come. A new memory costs the engine a mapping and, by what is
 * counted for it, a garbage collection of the whole heap for each 64 MiB; a new instance, however small, 20 µs and 15 KiB that
 * live until the next such collection. So both are taken back, from guests that have answered and never run again:
 *
 * - a **memory**, if it has the size it began with: it is all zeros when another gets it;
 * - an **instance**, if all that its code can change is memory and globals: both are as they were when instances of this plugin
 *   had started, before another call has it. Whoever counts instances counts it as one that ended and one that was made.
 */
import type { Instance } from "./instance.ts"

export interface Loan {
  readonly memory: WebAssembly.Memory
  /** In pages. */
  readonly min: number
  readonly max: number
  uses: number
}

/** Core instances right after their start: what each of them that a plugin may ever have is then. */
export interface Image {
  readonly memories: ReadonlyArray<Uint8Array>
  readonly globals: ReadonlyArray<number | bigint>
  readonly usage: ReturnType<Instance["usage"]>
}

/** Larger ones are the engine's to make: writing a mebibyte takes 0.05 ms. */
const pagesMax = 64
/** All that are kept for a plugin, and how long for one that is not called. */
const keptPagesMax = 128
const instancesMax = 2
const idleMs = 10_000
/** An engine remembers each instance that a memory was given to. */
const usesMax = 1_000

export class Remains {
  readonly #kept: Array<Loan> = []
  #pages = 0
  readonly #instances: Array<Instance> = []
  #image: Image | undefined
  #starts = 0
  #isUsed = false
  #isClosed = false
  #timer: ReturnType<typeof setTimeout> | undefined

  /** A memory of zeros with these limits. */
  take(min: number, max: number): Loan {
    const at = this.#kept.findLastIndex((kept) => kept.min === min && kept.max === max)
    const [kept] = at < 0 ? [] : this.#kept.splice(at, 1)
    if (kept === undefined) return { memory: new WebAssembly.Memory({ initial: min, maximum: max }), min, max, uses: 1 }
    this.#pages -= min
    this.#isUsed = true
    kept.uses++
    return kept
  }

  /** Takes a memory back. Nothing that could read or write it may be left. */
  give(loan: Loan): void {
    const { memory, min, uses } = loan
    if (this.#isClosed || min > pagesMax || uses >= usesMax || this.#pages + min > keptPagesMax || memory.buffer.byteLength !== min * 65_536) return
    new Uint8Array(memory.buffer).fill(0)
    this.#pages += min
    this.#kept.push(loan)
    this.#letGoLater()
  }

  /** An instance has started anew. The second says that there will be more: what it is now is what they are. */
  started(instance: Instance): void {
    if (++this.#starts === 2) this.#image = imageOf(instance)
  }

  get image(): Image | undefined {
    return this.#image
  }

  /** Takes an instance back; false where it cannot be another's. */
  keep(instance: Instance): boolean {
    const image = this.#image
    if (this.#isClosed || image === undefined || this.#instances.length >= instancesMax || !instance.isStarted || instance.ownedOutside > 0) return false
    if (instance.meter.memories.some(({ buffer }, i) => buffer.byteLength !== image.memories[i]?.length)) return false
    this.#instances.push(instance)
    this.#letGoLater()
    return true
  }

  /** One that was taken back, while the image stands. */
  again(): Instance | undefined {
    this.#isUsed = true
    return this.#instances.pop()
  }

  /** Nothing comes after: lets all of it go, and takes back no more. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#letGo()
  }

  #letGo(): void {
    this.#kept.length = this.#pages = this.#instances.length = this.#starts = 0
    this.#image = undefined
  }

  #letGoLater(): void {
    if (this.#timer !== undefined) return
    this.#isUsed = false
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isUsed) this.#letGoLater()
      else this.#letGo()
    }, idleMs)
    // A process with nothing else to do ends.
    ;(this.#timer as unknown as { unref?: () => void }).unref?.()
  }
}

/** Undefined for a plugin whose instances may be more than their memories and globals, or not all alike. */
function imageOf(instance: Instance): Image | undefined {
  const { blueprint, snapshot, waiting } = instance.linked
  if (waiting !== undefined || snapshot !== undefined || blueprint.raws.length > 0 || instance.hasAsked || !instance.isUntouched) return undefined
  const globals = keptGlobals(instance)?.map(({ value }) => value as number | bigint)
  const { memories } = instance.meter
  // What bits a NaN has cannot be read.
  if (globals === undefined || globals.some((value) => Number.isNaN(value))) return undefined
  if (memories.reduce((bytes, { buffer }) => bytes + buffer.byteLength, 0) > pagesMax * 65_536) return undefined
  return { memories: memories.map(({ buffer }) => new Uint8Array(buffer).slice()), globals, usage: instance.usage() }
}

/** All that its code may change besides memories; undefined when there is what cannot be set. */
export function keptGlobals({ cores, linked: { blueprint, injected, modules } }: Instance): ReadonlyArray<WebAssembly.Global> | undefined {
  const globals: Array<WebAssembly.Global> = []
  for (const [i, step] of blueprint.instantiations.entries()) {
    if (step.kind !== "instantiate") continue
    const kept = modules[step.module]?.needs.kept
    if (kept === undefined) return undefined
    for (const number of kept) globals.push(cores[i]?.[`${injected}k${number}`] as WebAssembly.Global)
  }
  return globals
}
