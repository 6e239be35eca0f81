/** `stele accel`: which devices compute here, what each was measured to do, and which would be chosen for what. */
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { type Operation, operationOf, operations } from "../../kernels/accelerate/operation.ts"
import { type Mode, modes } from "../../kernels/kernels.ts"
import type { Calibration } from "../../kernels/accelerate/cost.ts"
import type { DeviceStatus, Measurement } from "../../kernels/accelerate/accelerator.ts"
import { figure, speedChart } from "../accel/chart.ts"
import { measured, sizesFor, unitOf } from "../accel/measured.ts"
import { openAccelerator } from "../accel/mod.ts"
import { refusedWrite } from "./argument.ts"
import { columns, noteLine, out, printLine, table } from "./terminal.ts"

interface Common {
  readonly mode: string | undefined
  readonly json: boolean
}

export function modeOf(mode: string | undefined): Mode {
  const found = modes.find((known) => known === (mode ?? "bitexact"))
  if (found === undefined) throw new ConfigError("Option", { option: "--mode", expected: modes.join(" or "), actual: quote(mode ?? "") })
  return found
}

/** What was measured, of what a device does at all. */
function speedText({ downBytesPerMs, launchMs, rates, readMs, searchBytesPerMs, upBytesPerMs }: Calibration): string {
  const micros = (ms: number): string => `${figure(ms * 1_000)} µs`
  const giga = (perMs: number): string => figure(perMs / 1e6)
  const numbers =
    rates.arithmetic === 0
      ? []
      : [
          `read ${micros(readMs)}, up ${giga(upBytesPerMs)} GB/s, down ${giga(downBytesPerMs)} GB/s, ${giga(rates.arithmetic)} GFLOP/s, ${giga(rates.memory)} GB/s in memory`,
        ]
  return [`launch ${micros(launchMs)}`, ...numbers, ...(searchBytesPerMs === 0 ? [] : [`${giga(searchBytesPerMs)} GB/s searched`])].join(", ")
}

function showStatus(devices: ReadonlyArray<DeviceStatus>): void {
  // What computes is of more interest than what is not there.
  const ordered = devices.toSorted((a, b) => Number(b.state === "ready") - Number(a.state === "ready"))
  const rows = ordered.map(({ calibration, description, kind, mode, name, reason, state }) => {
    const speed = calibration === undefined ? "" : `: ${speedText(calibration)}`
    const what = state === "ready" ? `${description}, ${mode}${reason === undefined ? "" : ` (${reason})`}${speed}` : `${reason}`
    return [name, kind, state, what]
  })
  const sign = (state: string): string => (state === "ready" ? out.green(state) : state === "resting" ? out.yellow(state) : out.dim(state))
  for (const line of table(rows, columns(process.stdout), 0, [out.bold, out.dim, sign])) printLine(line)
}

export async function status({ json, mode }: Common): Promise<void> {
  await using accelerator = await openAccelerator({ mode: modeOf(mode) })
  const devices = await accelerator.detect()
  if (json) printLine(JSON.stringify({ devices }))
  else showStatus(devices)
}

export async function calibrateDevices({ device, json, mode }: Common & { readonly device: string | undefined }): Promise<void> {
  await using accelerator = await openAccelerator({ mode: modeOf(mode) })
  const devices = await accelerator.calibrate(device)
  if (json) printLine(JSON.stringify({ devices }))
  else showStatus(devices)
}

/** An operation with its parameters, those in brackets that have a default. */
const usageOf = ({ name, parameters }: Operation): string =>
  [name, ...parameters.map(({ default: other, name: parameter }) => (other === undefined ? parameter : `[${parameter}]`))].join(" ")

/** `NAME=NUMBER`, and bare numbers, which are those parameters that are not named, in their order. */
function shapeFrom(operation: Operation, words: ReadonlyArray<string>): Record<string, number> {
  const shape: Record<string, number> = {}
  const named = /^([A-Za-z]+)=/
  const names = words.flatMap((word) => named.exec(word)?.[1] ?? [])
  const others = operation.parameters.filter(({ name }) => !names.includes(name)).values()
  for (const word of words) {
    const given = named.exec(word)?.[1]
    const text = word.replace(named, "")
    const name = given ?? others.next().value?.name
    const value = Number(text)
    if (name === undefined || text.trim() === "" || Number.isNaN(value) || name in shape)
      throw new ConfigError("Usage", {
        detail: `Cannot read ${quote(word)} as a size of ${operation.name}`,
        advice: `give ${operation.parameters.map(({ name: known }) => known).join(" ")} as numbers in this order, or as NAME=NUMBER, each once`,
      })
    shape[name] = value
  }
  return shape
}

export async function explainChoice({
  device,
  json,
  mode,
  operation: name,
  sizes,
}: Common & { readonly operation: string | undefined; readonly sizes: ReadonlyArray<string>; readonly device: string | undefined }): Promise<void> {
  if (name === undefined) {
    if (json)
      printLine(
        JSON.stringify({
          operations: [...operations.values()].map(({ group, name: operation, parameters, summary }) => ({
            ...{ operation, group, summary },
            parameters: parameters.map(({ name: parameter, default: other }) => ({ name: parameter, isOptional: other !== undefined })),
          })),
        }),
      )
    else
      for (const of of operations.values()) {
        printLine(usageOf(of))
        for (const line of table([[of.summary]], columns(process.stdout))) printLine(line)
      }
    return
  }
  const operation = operationOf(name)
  const shape = shapeFrom(operation, sizes)
  const missing = operation.parameters.find(({ default: other, name: parameter }) => other === undefined && !(parameter in shape))
  if (missing !== undefined)
    throw new ConfigError("Usage", {
      detail: `Missing ${quote(missing.name)} of ${name}`,
      advice: `give numbers in this order, or as NAME=NUMBER: ${usageOf(operation)}`,
    })
  await using accelerator = await openAccelerator({ mode: modeOf(mode) })
  const choice = device === undefined ? {} : { device }
  const plan = accelerator.plan(name, shape, choice)
  if (json) printLine(JSON.stringify(plan))
  else printLine(accelerator.explain(name, shape, choice))
}

function sizesOf(text: string): ReadonlyArray<number> {
  const sizes = text.split(",").map(Number)
  if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0))
    throw new ConfigError("Option", { option: "--sizes", expected: "whole numbers from 1, such as 64,128,256", actual: quote(text) })
  return sizes
}

async function written(path: string, text: string, flag: "a" | "w"): Promise<void> {
  try {
    await process.getBuiltinModule("node:fs/promises").writeFile(path, text, { flag })
  } catch (cause) {
    throw refusedWrite(path, cause)
  }
}

export async function measure({
  json,
  mode,
  operation: name,
  output,
  sizes: text,
}: Common & { readonly operation: string; readonly sizes: string | undefined; readonly output: string | undefined }): Promise<void> {
  const operation = operationOf(name)
  const sizes = text === undefined ? sizesFor(operation) : sizesOf(text)
  const isMode = modeOf(mode)
  // What cannot be written is better known before.
  if (output !== undefined) await written(output, "", "a")
  await using accelerator = await openAccelerator({ mode: isMode })
  if (!json) noteLine(`Measuring ${name} of ${sizes.length} ${sizes.length === 1 ? "size" : "sizes"}; each takes about 0.1 s a device`)
  const { cutOvers, measurements } = await measured(accelerator, name, { sizes })
  const unit = unitOf(operation)
  if (output !== undefined) await written(output, speedChart({ operation: name, measurements, cutOvers, unit }), "w")
  if (json) {
    printLine(JSON.stringify({ operation: name, measurements, cutOvers, ...(output === undefined ? {} : { chart: output }) }))
    return
  }
  const devices = [...new Set(measurements.map(({ device }) => device))]
  const cell = (found: Measurement | undefined): string => (found === undefined ? "-" : figure(unit === "GFLOP/s" ? found.gigaflops : found.gigabytes))
  const rows = [
    [unit, ...devices],
    ...sizes.map((size) => [String(size), ...devices.map((device) => cell(measurements.find((of) => of.device === device && of.size === size)))]),
  ]
  for (const line of table(rows, columns(process.stdout), 0, [out.bold])) printLine(line)
  if (rows.some((row) => row.includes("-")))
    noteLine("-: not measured, where a smaller size took more than 0.1 s, or a run is predicted to take more than 10 s")
  for (const { device, from } of cutOvers) printLine(`from size ${from} on ${device} is predicted to serve, copies included`)
  if (output !== undefined) printLine(`chart: ${output}`)
}
