/** `stele:limiter/core`: decides by what came in with the call and the buckets it keeps, and by nothing else. */
import { Config, Decision, Problem, Request } from "../bindings/core"
import { err, ok, Result, unit, Unit } from "../bindings/runtime"
import { Bucket, State } from "./state.as"
import { read, write } from "./snapshot.as"
import { refill, waitMs } from "./refill.as"

let state: State | null = null

/** Why settings cannot be used, or null. */
function refusal(config: Config): string | null {
  if (config.capacity == 0) return "capacity must be at least 1"
  if (config.keysMax == 0) return "keys-max must be at least 1"
  return null
}

export function init(config: Config): Result<Unit, Problem> {
  const reason = refusal(config)
  if (reason !== null) return err<Unit, Problem>(Problem.invalidConfig(reason))
  state = new State(config)
  return ok<Unit, Problem>(unit)
}

export function step(request: Request): Result<Decision, Problem> {
  const at = state
  if (at === null) return err<Decision, Problem>(Problem.uninitialised())
  if (request.nowMs < at.nowMs) return err<Decision, Problem>(Problem.clockWentBack(at.nowMs))
  const isKnown = at.buckets.has(request.key)
  if (!isKnown && <u32>at.buckets.size >= at.config.keysMax) return err<Decision, Problem>(Problem.tooManyKeys(at.config.keysMax))
  const bucket = isKnown ? at.buckets.get(request.key) : new Bucket(at.config.capacity, 0, request.nowMs)
  at.nowMs = request.nowMs
  at.buckets.set(request.key, bucket)
  refill(bucket, at.config, request.nowMs)
  if (request.tokens > bucket.tokens) return ok<Decision, Problem>(Decision.denied(waitMs(bucket, at.config, request.tokens)))
  bucket.tokens -= request.tokens
  return ok<Decision, Problem>(Decision.granted(bucket.tokens))
}

export function snapshot(): StaticArray<u8> {
  const at = state
  return at === null ? new StaticArray<u8>(0) : write(at)
}

export function restore(bytes: StaticArray<u8>): Result<Unit, Problem> {
  const found = read(bytes)
  if (found === null) return err<Unit, Problem>(Problem.invalidSnapshot("it is none of this format"))
  const reason = refusal(found.config)
  if (reason !== null) return err<Unit, Problem>(Problem.invalidSnapshot(reason))
  state = found
  return ok<Unit, Problem>(unit)
}
