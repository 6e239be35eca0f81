/**
 * Files of plugins: one operation in a directory that is held open, through the grants and the walk, beside the same by
 * `node:fs` on a path that nobody checks, and by `preview2-shim`, whose files live in a thread of their own.
 */
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseGrant } from "../../host/capability/grant.ts"
import { serverFileSystem } from "../../host/platform/file-system.ts"
import { memoryFileSystem } from "../../host/port/mod.ts"
import * as files from "../../host/wasi/descriptor.ts"
import { openPreopens } from "../../host/wasi/preopen.ts"
import { testCall, type TestCall } from "../host/capability-call.ts"
import { compare, type Row, row } from "./measure.ts"

interface ShimDescriptor {
  openAt(flags: object, path: string, open: object, descriptor: object): ShimDescriptor
  read(length: bigint, offset: bigint): readonly [Uint8Array, boolean]
  statAt(flags: object, path: string): unknown
  [Symbol.dispose](): void
}

function given(port: ReturnType<typeof serverFileSystem>, path: string): readonly [TestCall, files.Descriptor] {
  const grants = [`fs:read:${path}`, `fs:write:${path}`].map(parseGrant)
  const call = testCall(grants.map(({ text }) => text))
  Object.assign(call, {
    wasi: { ...call.wasi, preopens: openPreopens(port, { directories: { "/d": path }, grants, missing: "refuse", guarded: [] }) },
    // What it remembers would grow.
    used: () => undefined,
  })
  return [call, (files.preopened(call)[0] as readonly [files.Descriptor, string])[0]]
}

const opened = (result: ReturnType<typeof files.openAt>): files.Descriptor => {
  if (result.tag === "err") throw new Error(result.val)
  return result.val
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "stele-bench-"))
  mkdirSync(join(folder, "one/two"), { recursive: true })
  writeFileSync(join(folder, "flat"), new Uint8Array(4_096))
  writeFileSync(join(folder, "one/two/deep"), new Uint8Array(4_096))
  const port = serverFileSystem()
  const [call, root] = given(port, folder)
  const [memoryCall, memoryRoot] = given(memoryFileSystem({ "/d/flat": new Uint8Array(4_096), "/d/one/two/deep": new Uint8Array(4_096) }), "/d")
  const { createFilesystem } = (await import("@bytecodealliance/preview2-shim/filesystem")) as unknown as {
    createFilesystem(options: object): { preopens: { getDirectories(): ReadonlyArray<readonly [ShimDescriptor, string]> } }
  }
  const [shim] = createFilesystem({ preopens: { "/d": folder } }).preopens.getDirectories()[0] as readonly [ShimDescriptor, string]
  const bytes = new Uint8Array(4_096)
  const flags = { read: true, write: false, follow: true }
  const whole = (of: TestCall, from: files.Descriptor, path: string) => (): void => {
    const file = opened(files.openAt(of, from, path, flags))
    files.read(of, file, bytes, 0n)
    file.close(of)
  }
  const bare = (path: string) => (): void => {
    const file = openSync(join(folder, path), constants.O_RDONLY)
    readSync(file, bytes, 0, bytes.length, 0)
    closeSync(file)
  }
  const shimmed = (path: string) => (): void => {
    const file = shim.openAt({ symlinkFollow: true }, path, {}, { read: true })
    file.read(4_096n, 0n)
    file[Symbol.dispose]()
  }
  const rows: Array<Row> = []
  try {
    for (const [figure, path] of [
      ["open, read 4 KiB, close: a file in the directory", "flat"],
      ["open, read 4 KiB, close: a file two directories down", "one/two/deep"],
    ] as const) {
      say(`${figure}…`)
      const samples = compare({
        ours: whole(call, root, path),
        memory: whole(memoryCall, memoryRoot, path),
        "node:fs": bare(path),
        "preview2-shim": shimmed(path),
      })
      rows.push(row(figure, "µs", samples, [], `held by ${port.holds}`))
    }
    say("read and stat…")
    const file = opened(files.openAt(call, root, "flat", flags))
    const fd = openSync(join(folder, "flat"), "r")
    const shimFile = shim.openAt({ symlinkFollow: true }, "flat", {}, { read: true })
    rows.push(
      row(
        "read 4 KiB of an open file",
        "µs",
        compare({
          ours: () => files.read(call, file, bytes, 0n),
          "node:fs": () => readSync(fd, bytes, 0, bytes.length, 0),
          "preview2-shim": () => shimFile.read(4_096n, 0n),
        }),
        [],
      ),
      row(
        "what is about a file two directories down (stat-at)",
        "µs",
        compare({
          ours: () => files.statAt(call, root, "one/two/deep", true),
          "node:fs": () => statSync(join(folder, "one/two/deep"), { bigint: true }),
          "preview2-shim": () => shim.statAt({ symlinkFollow: true }, "one/two/deep"),
        }),
        [],
      ),
    )
    closeSync(fd)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return rows
}
