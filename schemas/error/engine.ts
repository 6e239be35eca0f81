import { family, reason } from "./family.ts"

/** Engines other than the host's own: what one lacks, and what went wrong with one. */
export class EngineError extends family("EngineError", {
  Lacks: reason<{ readonly engine: string; readonly feature: string; readonly advice: string }>({
    code: "STELE-ENG-0001",
    status: 501,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use the engine "${d.engine}" for this plugin: it does not promise ${d.feature}`,
    fix: (d) => `${d.advice}, or use the engine "js"`,
  }),
  Unavailable: reason<{ readonly engine: string; readonly detail: string; readonly advice: string }>({
    code: "STELE-ENG-0002",
    status: 503,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot start the engine "${d.engine}": ${d.detail}`,
    fix: (d) => d.advice,
  }),
  Ended: reason<{ readonly engine: string; readonly export: string; readonly detail: string }>({
    code: "STELE-ENG-0003",
    status: 502,
    exit: 1,
    isRetryable: true,
    message: (d) => `The process or thread of the engine "${d.engine}" ended during "${d.export}" without an answer: ${d.detail}`,
    fix: () => "call again: the next call has one of its own",
  }),
}) {}
