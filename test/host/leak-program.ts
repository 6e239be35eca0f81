/**
 * Opens a host, loads, calls, has a guest stopped, closes; then nothing may keep the process alive. Prints what it saw
 * as JSON. With `unclosed` the plugin and host stay open: a forgotten `close()` must not keep a process alive either.
 */
import { Host, SteleError } from "../../host/mod.ts"

/** A component that exports `answer` and `spin`, in Base64. */
const bytes = Uint8Array.fromBase64(process.argv[3] ?? "")

const host = await Host.open({ cache: false })
const plugin = await host.load(bytes)
const answer: unknown = await plugin.call("answer", [] as never)
const code = await plugin.call("spin", [] as never, { deadlineMs: 30 }).then(
  () => "no error",
  (error: unknown) => (error instanceof SteleError ? error.code : String(error)),
)
const { instances } = plugin
if (process.argv[2] !== "unclosed") {
  await plugin.close()
  await host.close()
}
console.log(JSON.stringify({ answer, code, instances }))
