/** `wasi:logging/logging` for AssemblyScript plugins. */
import { ptrOf } from "./abi.as"

// @ts-ignore: decorator
@external("wasi:logging/logging@0.1.0-draft", "log")
declare function logImport(level: i32, context: usize, contextUnits: u32, message: usize, messageUnits: u32): void

/** `level` of `wasi:logging/logging`, in the order of its WIT. */
export namespace Level {
  export const trace: i32 = 0
  export const debug: i32 = 1
  export const info: i32 = 2
  export const warn: i32 = 3
  export const error: i32 = 4
  export const critical: i32 = 5
}

/** Writes one line to the host's log, if the plugin was granted `log`. `context` groups lines of one kind. */
export function log(level: i32, context: string, message: string): void {
  logImport(level, ptrOf(context), context.length, ptrOf(message), message.length)
}
