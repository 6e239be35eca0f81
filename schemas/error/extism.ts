import { family, reason } from "./family.ts"

/** What is particular to Extism plugins: their manifest, and values that pass between them and host functions. */
export class ExtismError extends family("ExtismError", {
  Handle: reason<{ readonly function: string; readonly offset: bigint }>({
    code: "STELE-EXT-0001",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot read offset ${d.offset} in "${d.function}": the plugin has no block there`,
    fix: () => "pass what `alloc` answered, before it is freed and in the same call",
  }),
  Text: reason<{ readonly function: string }>({
    code: "STELE-EXT-0002",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot read a name in "${d.function}": it is not UTF-8`,
    fix: () => "name settings and variables in UTF-8",
  }),
  Answer: reason<{ readonly function: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-EXT-0003",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot give the answer of "${d.function}" to the plugin: expected ${d.expected}, got ${d.actual}`,
    fix: () => "answer with bytes, text or nothing; with bigints where the function is marked `withNumbers`",
  }),
  Manifest: reason<{ readonly path: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-EXT-0004",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read "${d.path}" of the Extism manifest: expected ${d.expected}, got ${d.actual}`,
    fix: (d) => `correct "${d.path}" in the manifest`,
  }),
  Request: reason<{ readonly path: string; readonly expected: string; readonly actual: string }>({
    code: "STELE-EXT-0006",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) =>
      `Cannot read ${d.path === "" ? "the HTTP request" : `"${d.path}" of the HTTP request`} that the plugin makes: expected ${d.expected}, got ${d.actual}`,
    fix: () => 'pass JSON such as {"url": "https://example.com/", "method": "GET", "headers": {}}',
  }),
  Unsupported: reason<{ readonly path: string; readonly feature: string; readonly instead: string }>({
    code: "STELE-EXT-0005",
    status: 501,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot take "${d.path}" of the Extism manifest: this host has no ${d.feature}`,
    fix: (d) => d.instead,
  }),
  Link: reason<{ readonly module: string; readonly detail: string }>({
    code: "STELE-EXT-0007",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot link the module "${d.module}" of the Extism manifest: ${d.detail}`,
    fix: () => "give each module a name of its own, and let libraries import from libraries alone, in no circle",
  }),
}) {}
