/**
 * What parent and isolate say to each other. One speaks at a time: the parent asks (load, call, drop), the isolate asks back
 * as often as the guest calls out (host call, drop of a host's resource, port), and at last answers. So neither side ever
 * reads what it has not waited for, and anything else from an isolate is garbage.
 *
 * Everything that comes from an isolate is believed to be of the type that the parent expects, and no more than that: numbers
 * are clamped, texts are made printable, errors are rebuilt from the families named here.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import { CapabilityError } from "../../schemas/error/capability.ts"
import { catalogue, SteleError } from "../../schemas/error/family.ts"
import { IsolateError } from "../../schemas/error/isolate.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { PoolError } from "../../schemas/error/pool.ts"
import { VerifyError } from "../../schemas/error/verify.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { list, option, primitive, record, tuple, type ValueType, variant } from "../../schemas/wit/model.ts"
import { printable } from "../../schemas/wit/name.ts"
import type { Program } from "./port.ts"

/** Parent to isolate. */
export const ask = {
  /** Value: `loadType`. */
  load: 1,
  /** a: lift, b: instance, c: 1 when the instance is kept afterwards; x: milliseconds left, y: the deadline for errors, z: fuel. Value: arguments. */
  call: 2,
  /** Value: the result of a host call. */
  answer: 3,
  /** The host call failed, or the call is over: the guest must end. The parent knows why. */
  refuse: 4,
  /** a: guest resource; x, y, z as in `call`. Its destructor runs. */
  drop: 5,
  /** b: instance. */
  discard: 6,
  /** Value: `changesType`. */
  grants: 7,
  /** Value: `programType`. What the calls after it find. */
  program: 8,
} as const

/** Isolate to parent. */
export const tell = {
  ready: 1,
  /** A load, drop, discard or change of grants is done. */
  done: 2,
  /** a: 1 when the instance lives on; z: fuel or −1; x: peak bytes of memory, y: bytes in, u: bytes out. Value: the result. */
  result: 3,
  /** As `result`. Value: `errorType`. */
  failed: 4,
  /** a: import, or behind those the raw import whose `outside` is asked. Value: arguments. */
  hostCall: 5,
  /** a: host resource, b: 1 when its instance is being discarded. */
  hostDrop: 6,
  /** a: function of `forwarded`. Value: arguments. */
  port: 7,
} as const

const { string, f64, bool, u8 } = primitive

/** What a program finds when it starts, as it is told to an isolate. */
export const programType = record({
  args: list(string),
  env: list(tuple(string, string)),
  cwd: option(string),
  terminals: list(string),
  stdin: bool,
  stdout: bool,
  stderr: bool,
  preopens: list(tuple(string, string)),
})

export const loadType = record({
  component: list(u8),
  digest: string,
  tenant: string,
  injected: string,
  "is-snapshot": bool,
  mechanism: string,
  limits: list(tuple(string, f64)),
  grants: list(string),
  numbers: list(string),
  program: programType,
})

export interface LoadRequest {
  readonly component: Uint8Array
  readonly digest: string
  readonly tenant: string
  /** Under which name what meters a module is imported: no guest can know it. */
  readonly injected: string
  /** Do instances start from a snapshot, which is taken there? */
  readonly isSnapshot: boolean
  readonly mechanism: string
  readonly limits: ReadonlyArray<readonly [string, number]>
  readonly grants: ReadonlyArray<string>
  /** Host functions of core modules whose 64-bit values are numbers. */
  readonly numbers: ReadonlyArray<string>
  readonly program: Program
}

/** Changes of the live grants, oldest first: "granted" or "revoked", and the grant. */
export const changesType = list(tuple(string, string))

const field = variant({ text: string, number: f64, flag: bool, texts: list(string) })
export const errorType: ValueType = record({ family: string, reason: string, data: list(tuple(string, field)), message: option(string) })

type Field =
  | { readonly tag: "text"; readonly val: string }
  | { readonly tag: "number"; readonly val: number }
  | { readonly tag: "flag"; readonly val: boolean }
  | { readonly tag: "texts"; readonly val: ReadonlyArray<string> }

interface ErrorForm {
  readonly family: string
  readonly reason: string
  readonly data: ReadonlyArray<readonly [string, Field]>
  readonly message: string | undefined
}

function fieldOf(value: unknown): Field {
  if (typeof value === "number") return { tag: "number", val: value }
  if (typeof value === "boolean") return { tag: "flag", val: value }
  if (Array.isArray(value)) return { tag: "texts", val: value.map(String) }
  return { tag: "text", val: String(value) }
}

/** An error as the isolate tells it. */
export function errorForm(error: unknown): ErrorForm {
  if (!(error instanceof SteleError)) return { family: "", reason: "", data: [], message: error instanceof Error ? error.message : String(error) }
  const { _tag, ...data } = error.reason as { readonly _tag: string } & Record<string, unknown>
  const fields = Object.entries(data).filter(([, value]) => value !== undefined)
  return { family: error._tag, reason: _tag, data: fields.map(([name, value]) => [name, fieldOf(value)]), message: undefined }
}

/** The families that an isolate's own failures can be of. */
const families: Readonly<Record<string, new (reason: never, data: never) => SteleError>> = {
  AsyncError,
  CapabilityError,
  LimitError,
  PluginError,
  PoolError,
  VerifyError,
  WitError,
}
const reasons = new Set(Array.from(catalogue.values(), ({ family, reason }) => `${family} ${reason}`))

const textCharsMax = 4_096
const textsMax = 100

/** The error that the form tells of. A hostile isolate can only choose which of its own call's failures it claims. */
export function errorFrom(form: unknown): SteleError {
  const { family, reason, data, message } = form as ErrorForm
  const text = (value: string): string => printable(value, textCharsMax)
  // A guest's own error is a result, decoded by its type: nobody may say by words that there was one.
  const isSaid = family === "PluginError" && reason === "Guest"
  const Family = Object.hasOwn(families, family) && !isSaid ? families[family] : undefined
  if (Family === undefined || !reasons.has(`${family} ${reason}`)) return new IsolateError("Failed", { detail: text(message ?? `${family} ${reason}`) })
  const fields = new Map(
    data.map(([name, { tag, val }]) => [name, tag === "text" ? text(val) : tag === "texts" ? val.slice(0, textsMax).map(text) : val] as const),
  )
  try {
    const error = new Family(reason as never, Object.fromEntries(fields) as never)
    // Messages are made of data that may be missing or of another type.
    if (typeof error.message === "string" && typeof error.fix === "string" && !error.message.includes("undefined")) return error
  } catch {
    // Told below.
  }
  return new IsolateError("Garbage", { what: `a ${family} without what belongs to it` })
}
