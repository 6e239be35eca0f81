/** A guest without a module: a real linear memory, a bump allocator in JavaScript, a handle table, a budget. */
import {
  type AbiContext,
  AbiTrap,
  type CallBudget,
  type CoreFunction,
  createContext,
  type HandleTable,
  type InstanceState,
  type Realloc,
  type StringEncoding,
} from "../../host/abi/mod.ts"
import { WitError } from "../../schemas/error/mod.ts"
import type { ResourceType } from "../../schemas/wit/model.ts"
import type { ReferenceMemory } from "./abi-reference.ts"

/** What `budget.fail` throws here in place of an engine trap. */
export class Stopped extends Error {
  readonly outcome: unknown
  constructor(outcome: unknown) {
    super("stopped")
    this.outcome = outcome
  }
}

/** The handle table of the specification, with scopes. */
export class Handles implements HandleTable {
  readonly live = new Map<number, { readonly type: ResourceType; readonly rep: unknown; readonly isOwn: boolean; lent: number }>()
  readonly scopes: Array<{ readonly loans: Array<{ lent: number }>; borrowed: number }> = []
  #next = 1

  #get(type: ResourceType, handle: number) {
    const found = this.live.get(handle)
    if (found === undefined || found.type !== type) throw new AbiTrap(`handle ${handle} is not one of "${type.name?.name}"`)
    return found
  }
  #add(type: ResourceType, rep: unknown, isOwn: boolean): number {
    this.live.set(this.#next, { type, rep, isOwn, lent: 0 })
    return this.#next++
  }
  own(type: ResourceType, rep: unknown): number {
    if (rep === "foreign") throw new WitError("Value", { path: "", expected: `resource ${type.name?.name}`, actual: "a foreign one" })
    return this.#add(type, rep, true)
  }
  takeOwn(type: ResourceType, handle: number): unknown {
    const found = this.#get(type, handle)
    if (found.lent > 0 || !found.isOwn) throw new AbiTrap(`handle ${handle} is lent`)
    this.live.delete(handle)
    return found.rep
  }
  lend(type: ResourceType, handle: number): unknown {
    const found = this.#get(type, handle)
    found.lent++
    this.scopes.at(-1)?.loans.push(found)
    return found.rep
  }
  borrow(type: ResourceType, rep: unknown): number {
    const scope = this.scopes.at(-1)
    if (scope !== undefined) scope.borrowed++
    return this.#add(type, rep, false)
  }
  /** What the guest's `resource.drop` does with a borrow. */
  dropBorrow(handle: number): void {
    this.live.delete(handle)
    const scope = this.scopes.at(-1)
    if (scope !== undefined) scope.borrowed--
  }
  beginScope(): void {
    this.scopes.push({ loans: [], borrowed: 0 })
  }
  endScope(): void {
    const scope = this.scopes.pop()
    if (scope === undefined) throw new Error("no scope")
    for (const loan of scope.loans) loan.lent--
    if (scope.borrowed > 0) throw new AbiTrap("a borrowed handle was not dropped")
  }
}

export interface Guest {
  readonly cx: AbiContext
  readonly memory: WebAssembly.Memory
  readonly handles: Handles
  readonly instance: InstanceState
  readonly budget: CallBudget & { checks: number }
  readonly realloc: Realloc
  readonly reallocs: Array<readonly [align: number, bytes: number]>
  readonly reference: (encoding: StringEncoding) => ReferenceMemory
  /** Writes bytes and answers where. */
  readonly put: (align: number, bytes: ReadonlyArray<number>) => number
}

export function guest(
  options: { readonly realloc?: Realloc; readonly limits?: { readonly lift?: number; readonly output?: number; readonly hostCall?: number } } = {},
): Guest {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 16_384 })
  const reallocs: Array<readonly [number, number]> = []
  let top = 8
  const bump: Realloc = (_old, _oldSize, align, bytes) => {
    top += (align - (top % align)) % align
    const at = top
    top += bytes >>> 0
    const missing = top - memory.buffer.byteLength
    if (missing > 0) memory.grow(Math.ceil(missing / 65_536))
    reallocs.push([align, bytes])
    return at
  }
  const realloc = options.realloc ?? bump
  const handles = new Handles()
  const instance: InstanceState = { mayLeave: true, isTouched: false }
  const max = options.limits ?? {}
  const budget = {
    liftBytesMax: max.lift ?? 2 ** 40,
    outputBytesMax: max.output ?? 2 ** 40,
    hostCallBytesMax: max.hostCall ?? 2 ** 40,
    streamBytesMax: 2 ** 40,
    liftBytesLeft: max.lift ?? 2 ** 40,
    scopeBytesLeft: 0,
    scope: "outputBytesMax" as const,
    bytesIn: 0,
    bytesOut: 0,
    checks: 0,
    checkStop(): void {
      budget.checks++
    },
    fail(error: unknown): never {
      throw error instanceof Stopped ? error : new Stopped(error)
    },
  }
  const cx = createContext({ memory, realloc, budget, handles, instance })
  const put = (align: number, bytes: ReadonlyArray<number>): number => {
    const at = bump(0, 0, align, bytes.length)
    new Uint8Array(memory.buffer).set(bytes, at)
    return at
  }
  const reference = (encoding: StringEncoding): ReferenceMemory => ({
    view: () => new DataView(memory.buffer),
    alloc: (align, bytes) => bump(0, 0, align, bytes),
    encoding,
  })
  return { cx, memory, handles, instance, budget, realloc, reallocs, reference, put }
}

export const encodings: ReadonlyArray<StringEncoding> = ["utf8", "utf16", "latin1+utf16"]

/** What a call threw, or undefined; `Stopped` is opened. */
export function thrown(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error instanceof Stopped ? error.outcome : error
  }
  return undefined
}

export const never: CoreFunction = () => {
  throw new Error("the guest was entered")
}
