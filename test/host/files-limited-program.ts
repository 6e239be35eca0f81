/** A directory given under Deno's own permissions, which leave no way through /proc: `deno run --allow-read=DIR --allow-write=DIR`. */
import { defaultLimits } from "../../host/options.ts"
import { GrantSet, parseGrant } from "../../host/capability/grant.ts"
import type { CallContext } from "../../host/capability/capability.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import { memoryPorts } from "../../host/port/mod.ts"
import * as files from "../../host/wasi/descriptor.ts"
import { nothing } from "../../host/wasi/given.ts"
import { openPreopens } from "../../host/wasi/preopen.ts"

const given = process.argv[2] as string
const grants = [`fs:read:${given}`, `fs:write:${given}`].map(parseGrant)
const port = serverFileSystem()
const call: CallContext = {
  tenant: "default",
  plugin: "sha256:0001",
  grants: new GrantSet(grants),
  ports: memoryPorts(),
  limits: defaultLimits,
  wasi: { ...nothing, preopens: openPreopens(port, { directories: { "/d": given }, grants, missing: "refuse", guarded: [] }) },
  signal: undefined,
  remainingMs: () => 1_000,
  expired: () => new Error("expired"),
  atDiscard() {},
  used() {},
  denied: () => new Error("denied"),
}
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
