/** `stele:limiter/core` as somebody would write it who means harm, or does not test. */
import { Config, Decision, Problem, Request } from "../bindings/core"
import { err, ok, Result, unit, Unit } from "../bindings/runtime"

let steps: u64 = 0
let isStarted = false

export function init(_config: Config): Result<Unit, Problem> {
  steps = 0
  isStarted = true
  return ok<Unit, Problem>(unit)
}

export function step(request: Request): Result<Decision, Problem> {
  if (request.key == "trap") unreachable()
  if (request.key == "spin") while (true) steps++
  if (request.key == "grow") while (true) if (memory.grow(1) < 0) unreachable()
  if (!isStarted) return err<Decision, Problem>(Problem.uninitialised())
  return ok<Decision, Problem>(Decision.granted(++steps))
}

/** The same whatever happened. */
export function snapshot(): StaticArray<u8> {
  return [1, 2, 3]
}

/** Takes anything and forgets everything. */
export function restore(_bytes: StaticArray<u8>): Result<Unit, Problem> {
  return init(new Config(1, 1, 1))
}
