/** Devices that compute as a page: no script, no network, light and dark as the reader has it. */
import type { DeviceStatus, Measurement } from "../../kernels/accelerate/accelerator.ts"
import { operations } from "../../kernels/accelerate/operation.ts"
import type { Mode } from "../../kernels/kernels.ts"
import { chartStyle, figure, speedChart } from "../accel/chart.ts"
import { escapeHtml, type Page, page } from "../billing/page.ts"
import type { Round, Shown } from "./accel.ts"
import { type Cell, number, pageStyle, table } from "./table.ts"

/** A chart is on the page's ground, and as wide as its letters are large. */
const style = `${pageStyle}${chartStyle}body{max-width:102rem}.charts{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}.charts figure{flex:1 1 42rem;max-width:48rem;margin:0}
.chart .back{fill:Canvas}.chart .halo{stroke:Canvas}button{font:inherit;padding:.3rem .9rem}summary{cursor:pointer;padding:.3rem 0}summary:focus-visible,button:focus-visible{outline:2px solid}
.devices{max-width:72rem}.devices td{white-space:nowrap}.devices td:nth-child(4){min-width:15rem;white-space:normal;overflow-wrap:break-word}.devices th.number{white-space:normal}details .wide{max-width:48rem}`

export interface Seen {
  readonly mode: Mode
  readonly devices: ReadonlyArray<DeviceStatus>
  readonly isMeasuring: boolean
  readonly measured: Round | undefined
}

const perSecond = (bytesPerMs: number | undefined): Cell => ({ number: bytesPerMs === undefined ? "" : figure(bytesPerMs / 1e6) })
const microseconds = (ms: number | undefined): Cell => ({ number: ms === undefined ? "" : figure(ms * 1_000) })

const devicesTable = (devices: ReadonlyArray<DeviceStatus>): string =>
  table(
    "Devices, and what calibration found",
    [
      ...["device", "kind", "state", "what it is, or why it is not there"].map((name) => ({ name })),
      ...["launch, µs", "read, µs", "up, GB/s", "down, GB/s", "arithmetic, GFLOP/s", "memory, GB/s"].map(number),
    ],
    devices.map(({ calibration, description, kind, mode, name, reason, state }): ReadonlyArray<Cell> => [
      ...[name, kind, state, [description, mode, reason].filter((part) => part !== undefined).join("; ")],
      ...[microseconds(calibration?.launchMs), microseconds(calibration?.readMs)],
      ...[calibration?.upBytesPerMs, calibration?.downBytesPerMs, calibration?.rates.arithmetic, calibration?.rates.memory].map(perSecond),
    ]),
  )

function operationPart(shown: Shown): string {
  const { operation } = shown
  const head = `<h2 id="${escapeHtml(operation)}">${escapeHtml(operation)}</h2><p>${escapeHtml(operations.get(operation)?.summary ?? "")}</p>`
  if ("error" in shown) {
    const code = shown.error.code === undefined ? "" : ` (${escapeHtml(shown.error.code)})`
    return `<section>${head}<p role="status">It could not be measured: ${escapeHtml(shown.error.message)}${code}</p></section>`
  }
  const { cutOvers, measurements } = shown
  const charts = (["GFLOP/s", "GB/s"] as const).map(
    (unit) =>
      `<figure>${speedChart({ operation, measurements, cutOvers, unit, id: `${operation}-${unit === "GB/s" ? "bytes" : "flops"}`, isStyled: false })}</figure>`,
  )
  const served = cutOvers.map(({ device, from }) => `<li>from size ${from} on: ${escapeHtml(device)}</li>`)
  const figures = ({ device, gigabytes, gigaflops, medianMs, samples, size }: Measurement): ReadonlyArray<Cell> => [
    { number: String(size) },
    device,
    ...[figure(medianMs * 1_000), figure(gigaflops), figure(gigabytes), String(samples)].map((text) => ({ number: text })),
  ]
  const columns = [number("size"), { name: "device" }, number("µs"), number("GFLOP/s"), number("GB/s"), number("runs")]
  const all = table(`${operation} by size and device; medians`, columns, measurements.toSorted((a, b) => a.size - b.size).map(figures))
  return `<section aria-labelledby="${escapeHtml(operation)}">${head}<div class="charts">${charts.join("")}</div><p>Predicted to be fastest:</p><ul>${served.join("")}</ul><details><summary>All figures of ${escapeHtml(operation)}</summary>${all}</details></section>`
}

/** @param base where the service is mounted */
export function acceleratorPage(base: string, { devices, isMeasuring, measured, mode }: Seen): Page {
  const when =
    measured === undefined
      ? "Nothing was measured yet."
      : `Measured <time datetime="${escapeHtml(measured.at)}">${escapeHtml(measured.at.slice(0, 16).replace("T", " "))} UTC</time>, in ${(measured.tookMs / 1_000).toFixed(1)} s.`
  const act = isMeasuring
    ? `<p role="status">Measuring now: <a href="${escapeHtml(`${base}/`)}">look again</a> in a few seconds.</p>`
    : `<form method="post" action="${escapeHtml(`${base}/measure`)}"><button>Measure anew</button></form>`
  const body = `<main><h1>Devices that compute</h1><p>${when} Mode: ${mode}. Copies to and from a device are not in the figures by size; they are in what is predicted.</p>${act}<div class="devices">${devicesTable(devices)}</div>${(measured?.operations ?? []).map(operationPart).join("")}<p><a href="${escapeHtml(`${base}/index.json`)}">All of it as JSON</a></p></main>`
  return page("Devices that compute", body, style, "'self'")
}
