/** How a function of preview 1 is stated: its name, its core parameters, and what it does with them. It answers with an errno. */
import type { AbiContext } from "../../abi/context.ts"
import type { CoreValue } from "../../abi/number.ts"
import { CapabilityError } from "../../../schemas/error/capability.ts"
import type { CallContext } from "../../capability/capability.ts"
import type { CoreValueType } from "../../../schemas/wasm/core-module.ts"
import type { Awaitable } from "../../port/mod.ts"
import type { RawGrant, RawImport } from "../raw.ts"
import { errno, Refusal } from "./errno.ts"

export type Body = (call: CallContext, cx: AbiContext, args: ReadonlyArray<CoreValue>) => Awaitable<void>

/** The two names under which toolchains import the same functions. The older one lays a few values out in another way. */
export type Snapshot = "wasi_snapshot_preview1" | "wasi_unstable"
export type Functions = Readonly<
  Record<string, { readonly params: ReadonlyArray<CoreValueType>; readonly body: Body; readonly grant?: RawGrant; readonly waits?: boolean }>
>

const letters: Readonly<Record<string, CoreValueType>> = { i: "i32", I: "i64" }

/** `params`: one letter each, `i` for an i32 and `I` for an i64. `waits`: its body may answer with a promise. */
export const serve = (params: string, body: Body, grant?: RawGrant, waits?: boolean): Functions[string] => ({
  params: [...params].map((letter) => letters[letter] as CoreValueType),
  body,
  ...(grant === undefined ? {} : { grant }),
  ...(waits === undefined ? {} : { waits }),
})

export const isDenial = (error: unknown): boolean => error instanceof CapabilityError && error.reason._tag === "Denied"

/** Raw imports of a snapshot. What a body refuses is the errno it answers with; a denial, told to the observer already, is `notcapable`. */
export function rawImports(module: Snapshot, functions: Functions): ReadonlyArray<RawImport> {
  const refused = (error: unknown): number => {
    if (error instanceof Refusal) return error.errno
    if (isDenial(error)) return errno.notcapable
    throw error
  }
  return Object.entries(functions).map(([name, { params, body, grant, waits }]) => ({
    module,
    name,
    type: { params, results: ["i32"] },
    ...(grant === undefined ? {} : { grant }),
    ...(waits === undefined ? {} : { waits }),
    call(call, cx, args) {
      try {
        const waiting = body(call, cx, args)
        return waiting === undefined ? errno.success : waiting.then(() => errno.success, refused)
      } catch (error) {
        return refused(error)
      }
    },
  }))
}
