/** The `wasi` options of a load and of a call. Loaded for programs of WASI and with the first of these options. */
import { ConfigError } from "../../schemas/error/config.ts"
import { oneOf, rejectUnknown, show, type WasiCallOptions, type WasiOptions } from "../options.ts"
import type { Wasi } from "./given.ts"

const wasiKeys = ["args", "env", "cwd", "stdin", "stdout", "stderr", "terminals"]

const texts = (option: string, value: unknown): ReadonlyArray<string> => {
  if (!Array.isArray(value) || value.some((text) => typeof text !== "string" || text.includes("\0")))
    throw new ConfigError("Option", { option, expected: "a list of texts without NUL", actual: show(value) })
  return [...(value as ReadonlyArray<string>)]
}

const entriesOf = (option: string, value: unknown): ReadonlyArray<readonly [string, string]> => {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : []
  if (typeof value !== "object" || value === null || entries.some(([name, text]) => name === "" || typeof text !== "string" || (name + text).includes("\0")))
    throw new ConfigError("Option", { option, expected: "an object of texts without NUL", actual: show(value) })
  return entries as ReadonlyArray<[string, string]>
}

/** `options` over what was given before: at the load, or for all calls. */
export function resolveWasi(options: WasiCallOptions, before: Wasi): Wasi {
  const { directories: _, ...rest } = options as WasiOptions
  rejectUnknown(rest, wasiKeys, "wasi")
  const { args, env, cwd, stdin, stdout, stderr, terminals } = rest
  const ofType = <A>(name: string, value: A, isOne: (value: A) => boolean, expected: string): A => {
    if (value !== undefined && !isOne(value)) throw new ConfigError("Option", { option: `wasi.${name}`, expected, actual: show(value) })
    return value
  }
  const isFunction = (value: unknown): boolean => typeof value === "function"
  if (env !== undefined && Object.keys(env).some((name) => name.includes("=")))
    throw new ConfigError("Option", { option: "wasi.env", expected: 'names without "="', actual: "a name that has one" })
  ofType("stdin", stdin, (value) => isFunction(value) || typeof value === "string" || value instanceof Uint8Array, "bytes, a text or a function")
  return {
    args: args === undefined ? before.args : texts("wasi.args", args),
    env: env === undefined ? before.env : entriesOf("wasi.env", env),
    cwd: ofType("cwd", cwd, (value) => typeof value === "string" && !value.includes("\0"), "a path") ?? before.cwd,
    stdin: (typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin instanceof Uint8Array ? stdin.slice() : stdin) ?? before.stdin,
    stdout: ofType("stdout", stdout, isFunction, "a function") ?? before.stdout,
    stderr: ofType("stderr", stderr, isFunction, "a function") ?? before.stderr,
    terminals:
      terminals === undefined
        ? before.terminals
        : texts("wasi.terminals", terminals).map((name) => oneOf("wasi.terminals", name, ["stdin", "stdout", "stderr"], [])),
    preopens: before.preopens,
  }
}

/** `wasi.directories`, checked: names and paths. */
export const directoriesOf = (options: WasiOptions): Readonly<Record<string, string>> =>
  Object.fromEntries(entriesOf("wasi.directories", options.directories ?? {}))
