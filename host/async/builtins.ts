/**
 * The built-ins of the asynchronous ABI, one function each, made for a component instance when it is first called. What they
 * throw ends the call. CanonicalABI.md "Canonical Definitions".
 */
import { beginScope, importParams } from "../abi/bind.ts"
import { liftPairOf, storeOf } from "../abi/codec.ts"
import { type AbiContext, AbiTrap, refreshViews, type StringEncoding } from "../abi/context.ts"
import { checkRange } from "../abi/memory.ts"
import type { CoreValue } from "../abi/number.ts"
import type { BuiltinSpec } from "../component/blueprint.ts"
import { type FunctionType, type FutureType, primitive, type StreamType } from "../../schemas/wit/model.ts"
import { carriedOf } from "../../schemas/wit/tree.ts"
import { copied, type Copied, End, GuestBuffer, type OnCopy } from "./channel.ts"
import type { AsyncInstance, ComponentState } from "./instance.ts"
import { sameType } from "./same.ts"
import { type Event, event, ErrorContext, Subtask, Waitable, WaitableSet } from "./waitable.ts"

interface Built {
  readonly instance: AsyncInstance
  readonly spec: BuiltinSpec
  readonly cx: AbiContext
  readonly encoding: StringEncoding
  readonly state: ComponentState
}

type Body = (...flat: ReadonlyArray<number>) => CoreValue | undefined

/** What an asynchronous operation that is not done answers. */
const blocked = -1
const backpressureMax = 2 ** 16

const nothing = (): void => undefined

/** Writes an event's payload where the guest wants it, and answers with its code. */
function deliver(cx: AbiContext, at: number, [code, p1, p2]: Event): number {
  checkRange(cx, at, 8, 4)
  cx.i32[at >>> 2] = p1
  cx.i32[(at >>> 2) + 1] = p2
  return code
}

function subtaskAt({ state: { handles } }: Built, index: number): Subtask {
  const item = handles.item(index)
  if (!(item instanceof Subtask)) throw new AbiTrap(`handle ${index >>> 0} is no subtask`)
  return item
}

function endAt({ state: { handles }, spec: { type } }: Built, index: number, isWritable: boolean): End {
  const item = handles.item(index)
  if (!(item instanceof End) || (item.writable !== undefined) !== isWritable || !sameType(item.type, type as StreamType | FutureType))
    throw new AbiTrap(`handle ${index >>> 0} is not the ${isWritable ? "writable" : "readable"} end of such a ${type?.kind}`)
  return item
}

function makeEnds({ instance, spec, state: { handles } }: Built): Body {
  return () => {
    const channel = instance.channel(spec.type as StreamType | FutureType)
    const readable = new End(channel, undefined)
    const writable = new End(channel, channel)
    readable.index = handles.insert(readable)
    writable.index = handles.insert(writable)
    return BigInt(readable.index) | (BigInt(writable.index) << 32n)
  }
}

const eventCodes = {
  "stream.read": event.streamRead,
  "stream.write": event.streamWrite,
  "future.read": event.futureRead,
  "future.write": event.futureWrite,
} as const

/** `stream_copy` and `future_copy`. */
function copy(built: Built): Body {
  const { instance, spec, cx, encoding, state } = built
  const type = spec.type as StreamType | FutureType
  const { kind } = type
  const carried = carriedOf(type)
  const code = eventCodes[spec.name as keyof typeof eventCodes]
  const isWrite = spec.name.endsWith("write")
  const isFuture = kind === "future"
  return (index, at, length = 1) => {
    const end = endAt(built, index as number, isWrite)
    if (end.state !== "idle") throw new AbiTrap(`${spec.name} of an end that is ${end.state === "done" ? "done" : "being copied"}`)
    const buffer = new GuestBuffer(cx, carried, encoding, (at as number) >>> 0, isFuture ? 1 : length >>> 0)
    const tell = (result: Copied, reclaim: () => void): void =>
      end.tell(() => {
        reclaim()
        end.state = result === copied.dropped || (isFuture && result === copied.completed) ? "done" : "idle"
        return [code, end.index, isFuture ? result : result | (buffer.progress << 4)]
      })
    const onCopy: OnCopy = (reclaim) => tell(copied.completed, reclaim)
    const onDone = (result: Copied): void => tell(result, nothing)
    if (end.writable === undefined) end.readable.read(state, buffer, onCopy, onDone)
    else end.writable.write(state, buffer, onCopy, onDone)
    if (end.hasEvent) return end.take()[2]
    end.state = spec.isAsync === true ? "async" : "sync"
    if (spec.isAsync === true) return blocked
    instance.waitOn(spec.name, { ready: () => end.hasEvent, isCancellable: false, yields: false }, () => end.take()[2])
    return 0
  }
}

/** `cancel_copy`. A channel gives the buffer back at once, and so does the host. */
function cancelCopy(built: Built): Body {
  const isWrite = built.spec.name.endsWith("write")
  return (index) => {
    const end = endAt(built, index as number, isWrite)
    if (end.state !== "async") throw new AbiTrap(`${built.spec.name} of an end that is not being copied`)
    if (!end.hasEvent) end.readable.cancel()
    return end.take()[2]
  }
}

function dropEnd(built: Built): Body {
  const isWritable = built.spec.name.endsWith("writable")
  const { handles } = built.state
  return (index) => {
    const end = endAt(built, index as number, isWritable)
    if (end.state === "sync" || end.state === "async") throw new AbiTrap(`${built.spec.name} of an end that is being copied`)
    if (isWritable && end.type.kind === "future" && end.state !== "done") throw new AbiTrap("a future is dropped before its value was written")
    handles.remove(index as number)
    end.join(undefined)
    end.readable.drop()
    return undefined
  }
}

const simple: Readonly<Record<string, (built: Built) => Body>> = {
  "task.return": ({ instance, spec, cx, encoding, state }) => {
    const returns = spec.returns as FunctionType
    const { lift } = importParams(returns, encoding, 16)
    const [param] = returns.params
    return (...flat) => {
      const task = instance.caller(spec.name)
      const { result } = task.spec.isAsync === true ? task.spec.type : { result: undefined }
      if (task.spec.isAsync !== true) throw new AbiTrap("task.return in a task that was lifted synchronously")
      const isSame = param === undefined ? result === undefined : result !== undefined && sameType(param.type, result)
      if (!isSame) throw new AbiTrap("task.return with a result of another type than the task's")
      const { context } = task.lifted
      // Toolchains leave out the memory where the value needs none.
      if (cx.memory !== undefined && (context.memory !== cx.memory || instance.encodingOf(task.spec.context) !== encoding))
        throw new AbiTrap("task.return with another memory or string encoding than the task's")
      const value = instance.lifting(state.handles, undefined, task.supertask === undefined, () => {
        beginScope(cx, "outputBytesMax")
        return lift(cx, [...flat])[0]
      })
      instance.resolve(task, value, false)
      return undefined
    }
  },
  "task.cancel": ({ instance, spec }) => {
    return () => {
      const task = instance.caller(spec.name)
      if (task.spec.isAsync !== true) throw new AbiTrap("task.cancel in a task that was lifted synchronously")
      if (task.cancel !== "delivered" && !task.isResolved) throw new AbiTrap("task.cancel in a task that was not asked to end")
      instance.resolve(task, undefined, true)
      return undefined
    }
  },
  "context.get": ({ instance, spec }) => {
    const slot = spec.slot as 0 | 1
    return () => instance.slotsOf(spec.owner)[slot]
  },
  "context.set": ({ instance, spec }) => {
    const slot = spec.slot as 0 | 1
    return (value) => {
      instance.slotsOf(spec.owner)[slot] = value as number
      return undefined
    }
  },
  "backpressure.set": ({ state }) => {
    return (enabled) => {
      state.backpressure = enabled === 0 ? 0 : 1
      return undefined
    }
  },
  "backpressure.inc": ({ state }) => {
    return () => {
      if (++state.backpressure === backpressureMax) throw new AbiTrap("backpressure is counted above 65,535")
      return undefined
    }
  },
  "backpressure.dec": ({ state }) => {
    return () => {
      if (--state.backpressure < 0) throw new AbiTrap("backpressure is counted below 0")
      return undefined
    }
  },
  "thread.yield": ({ instance, spec }) => {
    const isCancellable = spec.isCancellable === true
    return () => {
      const task = instance.caller(spec.name)
      if (isCancellable && task.cancel === "pending") {
        task.cancel = "delivered"
        return 1
      }
      // Where nothing can be set aside it goes on at once, as it may.
      if (!instance.isSuspendableNow) return 0
      instance.waitOn(spec.name, { ready: () => true, isCancellable, yields: true }, (isCancelled) => (isCancelled ? 1 : 0))
      return 0
    }
  },
  "waitable-set.new": ({ state }) => {
    return () => state.handles.insert(new WaitableSet())
  },
  "waitable-set.wait": ({ instance, spec, cx, state }) => {
    const isCancellable = spec.isCancellable === true
    return (index, at) => {
      const task = instance.caller(spec.name)
      const set = instance.setAt(state.handles, index as number)
      const address = (at as number) >>> 0
      if (isCancellable && task.cancel === "pending") {
        task.cancel = "delivered"
        return deliver(cx, address, [event.cancelled, 0, 0])
      }
      if (set.ready.size > 0) return deliver(cx, address, set.take())
      set.waiting++
      instance.waitOn(spec.name, { ready: () => set.ready.size > 0, isCancellable, yields: false }, (isCancelled) => {
        set.waiting--
        refreshViews(cx)
        return deliver(cx, address, isCancelled ? [event.cancelled, 0, 0] : set.take())
      })
      return 0
    }
  },
  "waitable-set.poll": ({ instance, spec, cx, state }) => {
    return (index, at) => {
      const task = instance.caller(spec.name)
      const set = instance.setAt(state.handles, index as number)
      const isCancelled = spec.isCancellable === true && task.cancel === "pending"
      if (isCancelled) task.cancel = "delivered"
      return deliver(cx, (at as number) >>> 0, isCancelled ? [event.cancelled, 0, 0] : set.take())
    }
  },
  "waitable-set.drop": ({ instance, state }) => {
    return (index) => {
      const set = instance.setAt(state.handles, index as number)
      if (set.members.size > 0) throw new AbiTrap("a waitable set is dropped while it has members")
      if (set.waiting > 0) throw new AbiTrap("a waitable set is dropped while a task waits for it")
      state.handles.remove(index as number)
      return undefined
    }
  },
  "waitable.join": ({ instance, state }) => {
    return (index, set) => {
      const waitable = state.handles.item(index as number)
      if (!(waitable instanceof Waitable)) throw new AbiTrap(`handle ${(index as number) >>> 0} is no waitable`)
      waitable.join(set === 0 ? undefined : instance.setAt(state.handles, set as number))
      return undefined
    }
  },
  "subtask.cancel": (built) => {
    const { instance, spec } = built
    const settled = (subtask: Subtask): number => {
      if (subtask.hasEvent) subtask.take()
      return subtask.state
    }
    return (index) => {
      const subtask = subtaskAt(built, index as number)
      if (subtask.isDelivered) throw new AbiTrap("subtask.cancel of a subtask that has ended")
      if (subtask.isCancelRequested) throw new AbiTrap("subtask.cancel twice of one subtask")
      if (subtask.isResolved) return settled(subtask)
      subtask.isCancelRequested = true
      subtask.cancel()
      if (subtask.isResolved) return settled(subtask)
      if (spec.isAsync === true) return blocked
      instance.waitOn(spec.name, { ready: () => subtask.isResolved, isCancellable: false, yields: false }, () => settled(subtask))
      return 0
    }
  },
  "subtask.drop": (built) => {
    return (index) => {
      const subtask = subtaskAt(built, index as number)
      if (!subtask.isDelivered) throw new AbiTrap("a subtask is dropped before its end was heard of")
      subtask.join(undefined)
      built.state.handles.remove(index as number)
      return undefined
    }
  },
  "error-context.new": ({ cx, encoding, state }) => {
    const lift = liftPairOf(primitive.string, encoding)
    return (at, length) => {
      beginScope(cx, "hostCallBytesMax")
      return state.handles.insert(new ErrorContext(lift(cx, (at as number) >>> 0, (length as number) >>> 0) as string))
    }
  },
  "error-context.debug-message": ({ cx, encoding, state }) => {
    const store = storeOf(primitive.string, encoding)
    return (index, at) => {
      const item = state.handles.item(index as number)
      if (!(item instanceof ErrorContext)) throw new AbiTrap(`handle ${(index as number) >>> 0} is no error-context`)
      checkRange(cx, (at as number) >>> 0, 8, 4)
      store(cx, item.debugMessage, (at as number) >>> 0)
      return undefined
    }
  },
  "error-context.drop": ({ state }) => {
    return (index) => {
      if (!(state.handles.item(index as number) instanceof ErrorContext)) throw new AbiTrap(`handle ${(index as number) >>> 0} is no error-context`)
      state.handles.remove(index as number)
      return undefined
    }
  },
}

const ofEnds = (kind: "stream" | "future"): Readonly<Record<string, (built: Built) => Body>> => ({
  [`${kind}.new`]: makeEnds,
  [`${kind}.read`]: copy,
  [`${kind}.write`]: copy,
  [`${kind}.cancel-read`]: cancelCopy,
  [`${kind}.cancel-write`]: cancelCopy,
  [`${kind}.drop-readable`]: dropEnd,
  [`${kind}.drop-writable`]: dropEnd,
})

/** By name, as in the text format. */
export const builtins: Readonly<Record<string, (built: Built) => Body>> = { ...simple, ...ofEnds("stream"), ...ofEnds("future") }
