import { family, reason } from "./family.ts"

/** A device that computes, or the choice between devices, could not do what was asked. */
export class AccelerateError extends family("AccelerateError", {
  NoDevice: reason<{ readonly operation: string; readonly mode: string; readonly reasons: ReadonlyArray<string> }>({
    code: "STELE-ACC-0001",
    status: 501,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot run "${d.operation}" in "${d.mode}": no device can${d.reasons.length === 0 ? "" : ` (${d.reasons.join("; ")})`}`,
    fix: (d) => `ask for what a device can do: accelerator.explain("${d.operation}", shape) tells of each why it cannot`,
  }),
  Lost: reason<{ readonly device: string; readonly detail: string }>({
    code: "STELE-ACC-0002",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Lost the device "${d.device}": ${d.detail}`,
    fix: () => "run it again: it goes to the next device, and this one is opened again after a rest",
  }),
  Failed: reason<{ readonly device: string; readonly detail: string }>({
    code: "STELE-ACC-0003",
    status: 500,
    exit: 1,
    isRetryable: true,
    message: (d) => `The device "${d.device}" failed: ${d.detail}`,
    fix: () => "run it again, or name another device; `stele accel status` tells which there are",
  }),
  OutOfMemory: reason<{ readonly device: string; readonly asked: number; readonly used: number; readonly limit: number }>({
    code: "STELE-ACC-0004",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot allocate ${d.asked} bytes on "${d.device}": ${d.used} are used of ${d.limit} bytes`,
    fix: () => "free buffers that are no longer needed, or work in smaller parts",
  }),
  Quota: reason<{
    readonly caller: string
    readonly quota: "bytesMax" | "dispatchesMax" | "busyMsMax"
    readonly asked: number
    readonly used: number
    readonly limit: number
  }>({
    code: "STELE-ACC-0005",
    status: 429,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot give "${d.caller}" more than "${d.quota}" ${d.limit}: ${d.used} are used, asked for ${d.asked}`,
    fix: (d) => `free buffers or ask for less, or raise ${d.quota} of "${d.caller}"`,
  }),
  Deadline: reason<{ readonly operation: string; readonly device: string; readonly deadlineMs: number }>({
    code: "STELE-ACC-0006",
    status: 504,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot end "${d.operation}" on "${d.device}" within "deadlineMs" of ${d.deadlineMs} ms`,
    fix: () => "raise deadlineMs, or ask for less at once",
  }),
  Aborted: reason<{ readonly operation: string }>({
    code: "STELE-ACC-0007",
    status: 499,
    exit: 130,
    isRetryable: true,
    message: (d) => `"${d.operation}" was aborted by its signal`,
    fix: () => "run it again with a signal that is not aborted",
  }),
  Closed: reason<{ readonly what: string }>({
    code: "STELE-ACC-0008",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot use ${d.what}: it was freed or closed`,
    fix: () => "keep buffers until the last run that reads them has ended, and the accelerator until the last result was read",
  }),
}) {}
