import { family, reason } from "./family.ts"

/** Every limit the host enforces: its unit, its default and what happens at it. The one table behind `Limits`, errors and docs. */
export const limits = {
  memoryBytesMax: { unit: "bytes", default: 64 << 20, meaning: "sum over all linear memories of one plugin instance" },
  tableElementsMax: { unit: "elements", default: 100_000, meaning: "sum over all tables of one plugin instance" },
  stackBytesMax: { unit: "bytes", default: 256 << 10, meaning: "guest stack, counted as 8 bytes a local and operand slot and 64 bytes a frame" },
  outputBytesMax: { unit: "bytes", default: 16 << 20, meaning: "bytes of one call's lifted result" },
  liftBytesMax: { unit: "bytes", default: 64 << 20, meaning: "bytes read out of a guest in one call, results and host-call arguments, aliased or not" },
  hostCallBytesMax: { unit: "bytes", default: 4 << 20, meaning: "bytes of the arguments of one host call" },
  hostCallsMax: { unit: "calls", default: 1_000_000, meaning: "host calls in one call" },
  handlesMax: { unit: "handles", default: 10_000, meaning: "live resource handles of one plugin instance" },
  fuel: { unit: "fuel", default: 1_000_000_000, meaning: "cost of one call by the published cost table" },
  deadlineMs: { unit: "ms", default: 1_000, meaning: "wall-clock time of one call" },
  loadMs: { unit: "ms", default: 10_000, meaning: "wall-clock time of decoding, compiling and linking" },
  componentBytesMax: { unit: "bytes", default: 64 << 20, meaning: "size of the component binary" },
  coreModulesMax: { unit: "modules", default: 64, meaning: "core modules in one component, nested ones included" },
  instancesMax: { unit: "instances", default: 64, meaning: "core and component instances made by one instantiation" },
  typeSizeMax: { unit: "leaves", default: 10_000, meaning: "leaves of one type, counted as if written out" },
  typeDepthMax: { unit: "levels", default: 100, meaning: "nesting of one type" },
  functionBodyBytesMax: { unit: "bytes", default: 1 << 20, meaning: "size of one core function body" },
  nestingMax: { unit: "levels", default: 16, meaning: "calls host to guest to host" },
} as const

export type LimitName = keyof typeof limits

const exceeded = (code: `STELE-LIM-${string}`, name: LimitName) =>
  reason<{ readonly limit: number; readonly actual?: number | undefined }>({
    code,
    status: 413,
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
  deadlineMs: exceeded("STELE-LIM-0010", "deadlineMs"),
  loadMs: exceeded("STELE-LIM-0011", "loadMs"),
  componentBytesMax: exceeded("STELE-LIM-0012", "componentBytesMax"),
  coreModulesMax: exceeded("STELE-LIM-0013", "coreModulesMax"),
  instancesMax: exceeded("STELE-LIM-0014", "instancesMax"),
  typeSizeMax: exceeded("STELE-LIM-0015", "typeSizeMax"),
  typeDepthMax: exceeded("STELE-LIM-0016", "typeDepthMax"),
  functionBodyBytesMax: exceeded("STELE-LIM-0017", "functionBodyBytesMax"),
  nestingMax: exceeded("STELE-LIM-0018", "nestingMax"),
}) {}
