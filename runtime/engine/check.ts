/** What the engines of other programs promise, and the refusal of everything else, by name, before anything runs. */
import { EngineError } from "../../schemas/error/engine.ts"
import type { LimitName } from "../../schemas/error/limit.ts"
import type { EnginePlugin } from "../../host/call/engine.ts"
import { defaultLimits } from "../../host/options.ts"
import type { Request } from "./program.ts"

/** What one engine is held to. */
export interface Promises {
  readonly name: string
  /** Directories that may be read and not changed. */
  readonly readOnly: boolean
  /** Where it can be stopped. */
  readonly isolations: ReadonlyArray<"worker" | "process">
  /** Limits it enforces beyond those that the host does around it. */
  readonly limits: ReadonlyArray<LimitName>
}

/** Enforced by the host before the process starts, or around it. */
const aroundIt: ReadonlyArray<LimitName> = [
  "componentBytesMax",
  "coreModulesMax",
  "deadlineMs",
  "functionBodyBytesMax",
  "instancesMax",
  "liftBytesMax",
  "loadMs",
  "memoryBytesMax",
  "nestingMax",
  "outputBytesMax",
  "tableElementsMax",
  "typeDepthMax",
  "typeSizeMax",
]

/** Refuses a plugin or options that an engine cannot be held to. */
export function check({ name, readOnly, isolations, limits }: Promises, { linked, options }: EnginePlugin): void {
  const lacks = (feature: string, advice: string): never => {
    throw new EngineError("Lacks", { engine: name, feature, advice })
  }
  if (linked.blueprint.abi !== "preview1") lacks("components and plugins of other ABIs", "build it for WASI preview 1")
  const { isolation } = options
  if (isolation === "inline" || !isolations.includes(isolation))
    lacks(`calls with isolation "${isolation}": nothing would stop a guest that waits`, `use isolation ${isolations.map((one) => `"${one}"`).join(" or ")}`)
  if (options.metering === "fuel") lacks("exact fuel by the published cost table", 'use metering "deadline"')
  if (options.reuse !== "never") lacks("instances that are kept: each call has one of its own", 'use instances: { reuse: "never" }')
  for (const [limit, value] of Object.entries(linked.limits) as Array<[LimitName, number]>)
    if (value !== defaultLimits[limit] && value !== Number.MAX_SAFE_INTEGER && !aroundIt.includes(limit) && !limits.includes(limit))
      lacks(`the limit ${limit}`, "leave the limit out")
  if (!linked.grants.allows("random") && linked.grants.under("random").length > 0) lacks("random:seeded", "grant random or nothing of it")
  directoriesOf({ name, readOnly }, linked)
}

/** Directories as the process gets them. A grant of a part of one is more than an engine can tell apart. */
export function directoriesOf({ name, readOnly }: Pick<Promises, "name" | "readOnly">, { wasi, grants }: EnginePlugin["linked"]): Request["directories"] {
  const lacks = (feature: string, advice: string): never => {
    throw new EngineError("Lacks", { engine: name, feature, advice })
  }
  return wasi.preopens.map(({ guest, path }) => {
    const [reads, writes] = [grants.covers("fs:read", path), grants.covers("fs:write", path)]
    const host = path.length > 1 ? path.slice(0, -1) : path
    if (!reads && !writes) lacks(`grants inside "${guest}": it sees a directory whole`, `grant fs:read:${host}`)
    if (!reads) lacks(`fs:write without fs:read for "${guest}"`, `grant fs:read:${host}`)
    if (!writes && !readOnly) lacks(`fs:read without fs:write for "${guest}"`, `grant fs:write:${host}`)
    return { guest, host, isWritable: writes }
  })
}
