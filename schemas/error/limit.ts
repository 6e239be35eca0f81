import { family, reason } from "./family.ts"

/** Every limit the host enforces, its unit and its default: the one table behind `Limits`, errors and docs. What each bounds is in `explain.ts`. */
export const limits = {
  memoryBytesMax: { unit: "bytes", default: 64 << 20 },
  tableElementsMax: { unit: "elements", default: 100_000 },
  stackBytesMax: { unit: "bytes", default: 256 << 10 },
  outputBytesMax: { unit: "bytes", default: 16 << 20 },
  liftBytesMax: { unit: "bytes", default: 64 << 20 },
  hostCallBytesMax: { unit: "bytes", default: 4 << 20 },
  hostCallsMax: { unit: "calls", default: 1_000_000 },
  handlesMax: { unit: "handles", default: 10_000 },
  fuel: { unit: "fuel", default: 1_000_000_000 },
  deadlineMs: { unit: "ms", default: 1_000 },
  loadMs: { unit: "ms", default: 10_000 },
  componentBytesMax: { unit: "bytes", default: 64 << 20 },
  coreModulesMax: { unit: "modules", default: 64 },
  instancesMax: { unit: "instances", default: 64 },
  typeSizeMax: { unit: "leaves", default: 10_000 },
  typeDepthMax: { unit: "levels", default: 100 },
  functionBodyBytesMax: { unit: "bytes", default: 1 << 20 },
  nestingMax: { unit: "levels", default: 16 },
  varBytesMax: { unit: "bytes", default: 1 << 20 },
  httpResponseBytesMax: { unit: "bytes", default: 50 << 20 },
  filesMax: { unit: "files", default: 256 },
  fileBytesMax: { unit: "bytes", default: 1 << 30 },
  residentBytesMax: { unit: "bytes", default: 512 << 20 },
  tasksMax: { unit: "tasks", default: 1_000 },
  streamBytesMax: { unit: "bytes", default: 1 << 20 },
  kernelRunsMax: { unit: "runs", default: 10_000 },
  kernelWorkMax: { unit: "operations", default: 1_000_000_000 },
  kernelBytesMax: { unit: "bytes", default: 64 << 20 },
} as const

export type LimitName = keyof typeof limits

const exceeded = (code: `STELE-LIM-${string}`, name: LimitName, status = 413) =>
  reason<{ readonly limit: number; readonly actual?: number | undefined }>({
    code,
    status,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "${name}": the limit is ${d.limit} ${limits[name].unit}${d.actual === undefined ? "" : `, asked for ${d.actual}`}`,
    fix: (d) => `raise limits.${name} above ${d.actual ?? d.limit} ${limits[name].unit} if the plugin is trusted with that much`,
  })

/** A limit was reached. The reason's name is the limit's name; `limit` and `actual` are in the limit's unit. */
export class LimitError extends family("LimitError", {
  memoryBytesMax: exceeded("STELE-LIM-0001", "memoryBytesMax"),
  tableElementsMax: exceeded("STELE-LIM-0002", "tableElementsMax"),
  stackBytesMax: exceeded("STELE-LIM-0003", "stackBytesMax"),
  outputBytesMax: exceeded("STELE-LIM-0004", "outputBytesMax"),
  liftBytesMax: exceeded("STELE-LIM-0005", "liftBytesMax"),
  hostCallBytesMax: exceeded("STELE-LIM-0006", "hostCallBytesMax"),
  hostCallsMax: exceeded("STELE-LIM-0007", "hostCallsMax"),
  handlesMax: exceeded("STELE-LIM-0008", "handlesMax"),
  fuel: exceeded("STELE-LIM-0009", "fuel"),
  deadlineMs: exceeded("STELE-LIM-0010", "deadlineMs", 504),
  loadMs: exceeded("STELE-LIM-0011", "loadMs"),
  componentBytesMax: exceeded("STELE-LIM-0012", "componentBytesMax"),
  coreModulesMax: exceeded("STELE-LIM-0013", "coreModulesMax"),
  instancesMax: exceeded("STELE-LIM-0014", "instancesMax"),
  typeSizeMax: exceeded("STELE-LIM-0015", "typeSizeMax"),
  typeDepthMax: exceeded("STELE-LIM-0016", "typeDepthMax"),
  functionBodyBytesMax: exceeded("STELE-LIM-0017", "functionBodyBytesMax"),
  nestingMax: exceeded("STELE-LIM-0018", "nestingMax"),
  varBytesMax: exceeded("STELE-LIM-0019", "varBytesMax"),
  httpResponseBytesMax: exceeded("STELE-LIM-0022", "httpResponseBytesMax"),
  filesMax: exceeded("STELE-LIM-0020", "filesMax"),
  fileBytesMax: exceeded("STELE-LIM-0021", "fileBytesMax"),
  residentBytesMax: exceeded("STELE-LIM-0023", "residentBytesMax"),
  tasksMax: exceeded("STELE-LIM-0024", "tasksMax"),
  streamBytesMax: exceeded("STELE-LIM-0025", "streamBytesMax"),
  kernelRunsMax: exceeded("STELE-LIM-0026", "kernelRunsMax"),
  kernelWorkMax: exceeded("STELE-LIM-0027", "kernelWorkMax"),
  kernelBytesMax: exceeded("STELE-LIM-0028", "kernelBytesMax"),
}) {}
