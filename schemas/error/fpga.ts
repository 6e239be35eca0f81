import { family, reason } from "./family.ts"

/** A driven FPGA, simulated here, was asked for what it does not do, or its design could not be built. */
export class FpgaError extends family("FpgaError", {
  Build: reason<{ readonly design: string; readonly tool: string; readonly detail: string }>({
    code: "STELE-FPG-0001",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot build the design "${d.design}" with ${d.tool}: ${d.detail}`,
    fix: (d) => `see what ${d.tool} says above; another of verilator and iverilog is named by the option "simulator"`,
  }),
  Bitstream: reason<{ readonly sha256: string; readonly known: string }>({
    code: "STELE-FPG-0002",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot load a bitstream with the SHA-256 ${d.sha256}: known are ${d.known}`,
    fix: () => "load one of `bitstreams`, and leave the Verilog of the package as it is",
  }),
  Pattern: reason<{ readonly pattern: number; readonly expected: string; readonly found: string }>({
    code: "STELE-FPG-0003",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot load pattern ${d.pattern}: it has ${d.found}, expected ${d.expected}`,
    fix: (d) => `give patterns of ${d.expected}`,
  }),
  Patterns: reason<{ readonly limit: number; readonly found: number }>({
    code: "STELE-FPG-0004",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot load ${d.found} patterns: from 1 to "patternsMax" (${d.limit}) of them are searched for at once`,
    fix: (d) => `search for 1 to ${d.limit} patterns at a time`,
  }),
  Text: reason<{ readonly limit: number; readonly found: number }>({
    code: "STELE-FPG-0005",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot search a text of ${d.found} bytes: "textBytesMax" is ${d.limit} bytes`,
    fix: () => "search in parts that overlap by the longest pattern less a byte, or raise textBytesMax where the device is opened",
  }),
  Hits: reason<{ readonly limit: number }>({
    code: "STELE-FPG-0006",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot keep what was found: it is more than "hitsMax", ${d.limit} hits`,
    fix: () => "search for less at once, or raise hitsMax where the device is opened",
  }),
  NotLoaded: reason<{ readonly what: string; readonly before: string }>({
    code: "STELE-FPG-0007",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) => `Cannot ${d.before}: no ${d.what} was loaded`,
    fix: () => "call loadBitstream, loadPatterns, searchPatterns and getResults in this order; patterns are gone when their simulator has ended",
  }),
}) {}
