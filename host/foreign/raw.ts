/**
 * What a core module of a foreign ABI imports: core functions that read and write the guest's memory themselves, where a
 * component's imports are lowered by the canonical ABI. They get the same call context, so grants, ports, limits and
 * stops are the same.
 */
import type { AbiContext } from "../abi/context.ts"
import type { CoreValue } from "../abi/number.ts"
import type { CallContext, HostFunction } from "../capability/capability.ts"
import type { CoreFunctionType } from "../../schemas/wasm/core-module.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"

/**
 * Serves one call. `cx` has views of the guest's memory that are valid now, and again after `refreshViews` when the guest
 * was entered. Addresses and lengths are the guest's and must be checked (`checkRange`); bytes that leave the guest are
 * charged (`charge`), bytes that enter it are added to `cx.budget.bytesIn`. What it throws ends the call. `provided` is
 * what the embedder gave for an import that is `isProvided`, and in an isolate what asks the parent for its `outside`. A promise may resolve to a function, which makes the answer
 * when the guest goes on: only then may it enter the guest.
 */
export type RawFunction = (
  call: CallContext,
  cx: AbiContext,
  args: ReadonlyArray<CoreValue>,
  provided?: HostFunction,
) => CoreValue | undefined | Promise<CoreValue | undefined | (() => CoreValue | undefined)>

export interface RawGrant {
  /** The least grant that links it, and what granting it means in plain words. */
  readonly text: string
  readonly risk: string
  /** Any one of which granted links it. */
  readonly heads: ReadonlyArray<string>
  /** The one name under its head that a grant has to cover; absent where any grant of the head will do. */
  readonly name?: string
  /**
   * Linked without the grant too, and answering with a denial that its ABI has an error for: toolchains import it whether
   * a program uses it or not, and cannot leave it out.
   */
  readonly isDeniedWhenCalled?: boolean
}

/**
 * What an import does outside of its guest: a function of values, which looks at its grants itself. A guest in an isolate
 * has it asked of the parent, as a component's imports are.
 */
export interface Outside {
  /** `numbers`: what `isOfNumbers` says of the embedder's function. */
  type(numbers: boolean): FunctionType
  isOfNumbers(provided: HostFunction | undefined): boolean
  /** May answer with a promise. */
  serve(call: CallContext, provided: HostFunction | undefined, values: ReadonlyArray<unknown>): unknown
  /** What the import has for `provided` in an isolate, from what asks the parent. */
  stub(ask: (values: ReadonlyArray<unknown>) => unknown, numbers: boolean): HostFunction
}

export interface RawImport {
  /** As the module names them: `wasi_snapshot_preview1`, `fd_write`. */
  readonly module: string
  readonly name: string
  /** The module's declaration must equal it. */
  readonly type: CoreFunctionType
  readonly call: RawFunction
  /** The memory it works with: the plugin's, or `abi` for the ABI's own (`ForeignParts.context`). */
  readonly memory?: "abi"
  /** What it does is the embedder's: `imports[module][name]` of the load. */
  readonly isProvided?: boolean
  readonly outside?: Outside
  /** Where `call.mayWait()` it may answer with a promise; the guest may have been entered when that settles (`refreshViews`). */
  readonly waits?: boolean
  /** Absent when it needs none. */
  readonly grant?: RawGrant
}
