/** One call as the command line makes it: the export by any name that is not ambiguous, words to values, the answer as text. */
import { toJson } from "../../schemas/value/json.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { functionText } from "../../schemas/wit/print.ts"
import { answer } from "../../schemas/wit/tree.ts"
import type { UsageRecord } from "../../host/port/observer.ts"
import type { CallOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import { type Exported, findExport } from "../service/export.ts"
import { isTextFunction, textLines } from "./extism.ts"
import { parseArguments, type ReadInput } from "./argument.ts"
import { bytesText, countText, timeText } from "./quantity.ts"
import { at } from "./report.ts"
import { colourWave, prettyLines } from "./pretty.ts"
import type { Palette } from "./terminal.ts"

export interface Invocation {
  readonly exported: Exported
  readonly result: unknown
  /** What it cost up to its answer. */
  readonly usage: UsageRecord
  /** The same once all that it left running has ended. */
  readonly ended: Promise<UsageRecord>
}

/** Finds the export, reads the words and calls. Errors know the file, the parameters and the type of a guest's payload. */
export async function invoke(
  plugin: Plugin,
  file: string,
  wanted: string,
  words: ReadonlyArray<string>,
  options: CallOptions,
  read?: ReadInput,
): Promise<Invocation> {
  return at({ file }, async () => {
    const exported = findExport(plugin.describe().exports, wanted)
    const { name, type } = exported
    const args = await at({ about: `${name}: ${functionText(type, 0, 60)}` }, () => parseArguments(name, type, words, read))
    const { result, usage, ended } = await at({ about: name, payload: answer(type).err }, () => plugin.callWithUsage(name, args, options))
    return { exported, result, usage, ended }
  })
}

/** The answer for people: lines of WAVE; none when the function returns nothing. */
export function answerLines(type: FunctionType, result: unknown, colours: Palette, width: number): ReadonlyArray<string> {
  const { ok } = answer(type)
  const text = isTextFunction(type) ? textLines(result) : undefined
  if (text !== undefined) return text
  return ok === undefined ? [] : prettyLines(ok, result, width).map((line) => colourWave(line, colours))
}

/** The answer for machines: the JSON form of its type, null when the function returns nothing. */
export const answerJson = (type: FunctionType, result: unknown): unknown => {
  const { ok } = answer(type)
  return ok === undefined ? null : toJson(ok, result, "result")
}

/** A usage record in one line: `17,542 fuel, 4.31 ms, 64.0 KiB memory, used kv:read:prices/* 1×`. */
export function usageText({ fuel, wallNs, memoryPeakBytes, bytesIn, bytesOut, hostCalls }: UsageRecord): string {
  const calls = Object.entries(hostCalls).map(([grant, count]) => `${grant} ${countText(count)}×`)
  return [
    ...(fuel === undefined ? [] : [`${countText(fuel)} fuel`]),
    timeText(wallNs),
    `${bytesText(memoryPeakBytes)} memory`,
    `${bytesText(bytesIn)} in`,
    `${bytesText(bytesOut)} out`,
    calls.length === 0 ? "no grants used" : `used ${calls.join(", ")}`,
  ].join(", ")
}

/** A usage record as JSON: fuel, which may pass 2^53, as a decimal string. */
export const usageJson = (usage: UsageRecord): Record<string, unknown> => ({ ...usage, ...(usage.fuel === undefined ? {} : { fuel: usage.fuel.toString() }) })
