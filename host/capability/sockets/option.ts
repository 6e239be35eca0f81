/** What the socket interfaces have in common: their resource of a network, and options of sockets. */
import { borrow, func, primitive, type ResourceType, resource, result, type ValueType } from "../../../schemas/wit/model.ts"
import type { CallContext, HostExport } from "../capability.ts"
import { done, err, ok, plainResource, type Result, serve } from "../serve.ts"
import { errorCode } from "./place.ts"

export const network = plainResource(resource("network"))
export const at = { network: borrow(network.type) }
export const answers = (ok?: ValueType) => result(ok, errorCode)

/** One option: how it is read and how it is set, each a function of the socket. */
export interface SocketOption<S, V> {
  readonly get: (call: CallContext, socket: S) => Result<V, string>
  readonly set: (call: CallContext, socket: S, value: V) => Result<undefined, string>
}

export function optionOf<S, V>(on: ResourceType, label: string, type: ValueType, { get, set }: SocketOption<S, V>): Readonly<Record<string, HostExport>> {
  const self = { self: borrow(on) }
  const prefix = on.name?.name
  return {
    [`[method]${prefix}.${label}`]: serve(func(self, answers(type)), (call, socket: S) => get(call, socket)),
    [`[method]${prefix}.set-${label}`]: serve(func({ ...self, value: type }, answers()), (call, socket: S, value: V) => set(call, socket, value)),
  }
}

/** One that this host has no way to: a value that cannot be is refused as such. */
export const absent: SocketOption<unknown, unknown> = {
  get: () => err("not-supported"),
  set: (_call, _socket, value) => err(value === 0 || value === 0n ? "invalid-argument" : "not-supported"),
}

/** Bytes on their way in each direction: one size, so whatever is asked for is rounded to it, as the interface allows. */
export const bufferBytes = 256n << 10n
export const buffer: SocketOption<unknown, bigint> = {
  get: () => ok(bufferBytes),
  set: (_call, _socket, value) => (value === 0n ? err("invalid-argument") : done),
}
export const { bool, u8, u32, u64 } = primitive
