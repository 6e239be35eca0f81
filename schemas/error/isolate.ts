import { family, reason } from "./family.ts"

/** Plugins that run in a worker or a process of their own. */
export class IsolateError extends family("IsolateError", {
  Ended: reason<{ readonly isolation: string; readonly export: string; readonly detail: string }>({
    code: "STELE-ISO-0001",
    status: 500,
    exit: 1,
    isRetryable: true,
    message: (d) => `The ${d.isolation} that ran "${d.export}" ended: ${d.detail}`,
    fix: () => "call again: another one is started; report it to the plugin's author if it happens again",
  }),
  Garbage: reason<{ readonly what: string }>({
    code: "STELE-ISO-0002",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `An isolate said what cannot be: ${d.what}`,
    fix: () => "treat the plugin as hostile: only a guest that has taken over its engine does that",
  }),
  Start: reason<{ readonly isolation: string; readonly detail: string }>({
    code: "STELE-ISO-0003",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot start a ${d.isolation} for a plugin: ${d.detail}`,
    fix: () => "stele doctor tells which isolations this machine and engine have, and what they lack",
  }),
  Sync: reason<{ readonly isolation: string }>({
    code: "STELE-ISO-0004",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot call a plugin in a ${d.isolation} without waiting`,
    fix: () => 'use call, or load the plugin with isolation: "inline"',
  }),
  Failed: reason<{ readonly detail: string }>({
    code: "STELE-ISO-0005",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `An isolate failed: ${d.detail}`,
    fix: () => "report it: this is a mistake in stele, not in the plugin",
  }),
  Unavailable: reason<{ readonly isolation: string; readonly platform: string }>({
    code: "STELE-ISO-0006",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot isolate a plugin in a ${d.isolation}: ${d.platform} has none`,
    fix: () => "use an isolation that this platform has",
  }),
  Idle: reason<{ readonly actualMs: number; readonly everyMs: number }>({
    code: "STELE-ISO-0008",
    status: 500,
    exit: 1,
    isRetryable: true,
    message: (d) => `A process of a plugin computed while nothing was asked of it: ${d.actualMs} ms of processor time in ${d.everyMs} ms`,
    fix: () => "call again: another one is started; treat the plugin as hostile if it happens again",
  }),
  Port: reason<{ readonly port: string }>({
    code: "STELE-ISO-0007",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot reach the port function "${d.port}" from an isolate`,
    fix: () => 'load the plugin with isolation: "inline"',
  }),
}) {}
