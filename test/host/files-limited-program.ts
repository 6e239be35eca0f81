/** A directory given under Deno's own permissions, which leave no way through /proc: `deno run --allow-read=DIR --allow-write=DIR`. */
import { parseGrant } from "../../host/capability/grant.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import * as files from "../../host/wasi/descriptor.ts"
import { openPreopens } from "../../host/wasi/preopen.ts"
import { testCall } from "./capability-call.ts"

const given = process.argv[2] as string
const grants = [`fs:read:${given}`, `fs:write:${given}`].map(parseGrant)
const port = serverFileSystem()
const call = testCall(grants.map(({ text }) => text))
Object.assign(call, {
  wasi: { ...call.wasi, preopens: openPreopens(port, { directories: { "/d": given }, grants, missing: "refuse", guarded: [] }) },
  // What it remembers would grow.
  used: () => undefined,
})
const [root] = files.preopened(call)[0] as readonly [files.Descriptor, string]
const open = (path: string, flags: Partial<files.OpenFlags> = {}) => files.openAt(call, root, path, { read: true, write: false, follow: true, ...flags })
const made = open("made", { create: true, write: true })
console.log(
  JSON.stringify({
    holds: port.holds,
    answers: [
      made.tag === "ok" ? files.write(call, made.val, Uint8Array.of(1, 2, 3), 0n) : made,
      ...["made", "../outside", "way-out", "/etc/passwd", "none"].map((path) => (open(path).tag === "ok" ? "ok" : open(path).val)),
      files.statAt(call, root, "made", true).tag,
      files.unlinkFileAt(call, root, "made").tag,
    ],
    kernel: port.root("/proc").tag,
  }),
)
