/**
 * `wasi:cli`: what a program finds when it starts, from `wasi` in the options of the load or the call; without them nothing.
 * Its streams are in `host/wasi/stdio.ts`.
 *
 * WIT: `wasi:cli` 0.2.12 as shipped with jco 1.35. `run` is what a command exports: `Plugin.run` calls it.
 */
import { func, list, option, own, primitive, resource, result, tuple } from "../../schemas/wit/model.ts"
import type { Terminal } from "../wasi/given.ts"
import { exit, output, stdin } from "../wasi/stdio.ts"
import { inputResource, outputResource, wasiVersion } from "./io.ts"
import { hostInterface, plainResource, serve } from "./serve.ts"

const { string, u8 } = primitive

const terminalInput = plainResource(resource("terminal-input"))
const terminalOutput = plainResource(resource("terminal-output"))

/** Rep of a terminal: it says that there is one, and nothing can be done with it. */
const terminal = {}

const terminalOf = (name: Terminal, handle: typeof terminalInput) =>
  hostInterface(`wasi:cli/terminal-${name}`, wasiVersion, {
    resources: { [name === "stdin" ? "terminal-input" : "terminal-output"]: handle },
    functions: {
      [`get-terminal-${name}`]: serve(func({}, option(own(handle.type))), (call) => (call.wasi.terminals.includes(name) ? terminal : undefined)),
    },
  })

export const interfaces = [
  hostInterface("wasi:cli/environment", wasiVersion, {
    functions: {
      "get-environment": serve(func({}, list(tuple(string, string))), (call) => call.wasi.env),
      "get-arguments": serve(func({}, list(string)), (call) => call.wasi.args),
      "initial-cwd": serve(func({}, option(string)), (call) => call.wasi.cwd),
    },
  }),
  hostInterface("wasi:cli/exit", wasiVersion, {
    functions: {
      exit: serve(func({ status: result() }), (_call, status: { readonly tag: "ok" | "err" }) => exit(status.tag === "ok" ? 0 : 1)),
      "exit-with-code": serve(func({ "status-code": u8 }), (_call, code: number) => exit(code)),
    },
  }),
  hostInterface("wasi:cli/stdin", wasiVersion, {
    resources: { "input-stream": inputResource },
    functions: { "get-stdin": serve(func({}, own(inputResource.type)), stdin) },
  }),
  hostInterface("wasi:cli/stdout", wasiVersion, {
    resources: { "output-stream": outputResource },
    functions: { "get-stdout": serve(func({}, own(outputResource.type)), (call) => output(call, "stdout")) },
  }),
  hostInterface("wasi:cli/stderr", wasiVersion, {
    resources: { "output-stream": outputResource },
    functions: { "get-stderr": serve(func({}, own(outputResource.type)), (call) => output(call, "stderr")) },
  }),
  hostInterface("wasi:cli/terminal-input", wasiVersion, { resources: { "terminal-input": terminalInput } }),
  hostInterface("wasi:cli/terminal-output", wasiVersion, { resources: { "terminal-output": terminalOutput } }),
  terminalOf("stdin", terminalInput),
  terminalOf("stdout", terminalOutput),
  terminalOf("stderr", terminalOutput),
]
