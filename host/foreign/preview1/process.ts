/** Arguments, environment, and what a program does to itself: exit, yield, raise. Sockets, of which there are none. */
import { PluginError } from "../../../schemas/error/plugin.ts"
import type { AbiContext } from "../../abi/context.ts"
import type { RawImport } from "../raw.ts"
import { descriptorOf } from "./descriptor.ts"
import { refuse } from "./errno.ts"
import { unsigned, writeBytes, writeU32 } from "./memory.ts"
import { programOf } from "./program.ts"
import { type Functions, serve, type Snapshot } from "./serve.ts"

/** Strings as `argv` has them: pointers to zero-terminated texts that lie one after the other. */
function writeStrings(cx: AbiContext, pointers: number, texts: number, strings: ReadonlyArray<Uint8Array>): void {
  let at = texts
  for (const [i, bytes] of strings.entries()) {
    writeU32(cx, pointers + i * 4, at)
    writeBytes(cx, at, bytes)
    at += bytes.length
  }
}

function writeSizes(cx: AbiContext, count: number, size: number, strings: ReadonlyArray<Uint8Array>): void {
  writeU32(cx, count, strings.length)
  writeU32(
    cx,
    size,
    strings.reduce((sum, bytes) => sum + bytes.length, 0),
  )
}

/** Nothing that is open is a socket: it is the descriptor that decides which of two errors that is. */
const noSocket = (params: string) =>
  serve(params, (call, _cx, [fd]) => {
    descriptorOf(call, unsigned(fd))
    refuse("notsock")
  })

export const processFunctions: Functions = {
  args_get: serve("ii", (call, cx, [pointers, texts]) => writeStrings(cx, unsigned(pointers), unsigned(texts), programOf(call).args)),
  args_sizes_get: serve("ii", (call, cx, [count, size]) => writeSizes(cx, unsigned(count), unsigned(size), programOf(call).args)),
  environ_get: serve("ii", (call, cx, [pointers, texts]) => writeStrings(cx, unsigned(pointers), unsigned(texts), programOf(call).environ)),
  environ_sizes_get: serve("ii", (call, cx, [count, size]) => writeSizes(cx, unsigned(count), unsigned(size), programOf(call).environ)),
  sched_yield: serve("", () => undefined),
  // A signal has no handler here that it could reach; ending the call is `proc_exit`, and a trap.
  proc_raise: serve("i", () => refuse("notsup")),
  sock_accept: noSocket("iii"),
  sock_recv: noSocket("iiiiii"),
  sock_send: noSocket("iiiii"),
  sock_shutdown: noSocket("ii"),
}

/** Ends the call, by an error where the code is not 0 (`Instance.call` makes it `ok`). The one function that answers nothing. */
export const procExit = (module: Snapshot): RawImport => ({
  module,
  name: "proc_exit",
  type: { params: ["i32"], results: [] },
  call: (_call, _cx, [status]) => {
    throw new PluginError("Exit", { status: unsigned(status) })
  },
})
