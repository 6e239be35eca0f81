/** What `recorder.c` wrote down, as steps in the order in which they happened. Paths are relative to the recorded folder. */
export type Step =
  | { readonly kind: "create" | "folder" | "link"; readonly inode: bigint; readonly path: string }
  | { readonly kind: "write"; readonly inode: bigint; readonly offset: number; readonly data: Uint8Array; readonly isSynced: boolean }
  | { readonly kind: "size"; readonly inode: bigint; readonly size: number }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly path: string }
  /** A sync begins, and has come back without an error: `sync` joins the two. */
  | { readonly kind: "sync" | "synced"; readonly inode: bigint; readonly sync: string }
  /** What the program said to whoever relies on it: an acknowledgement. */
  | { readonly kind: "note"; readonly text: string }
  /** What the recorder saw and cannot describe. */
  | { readonly kind: "unknown"; readonly path: string; readonly detail: string }

const headBytes = 48
const kinds = ["", "create", "folder", "write", "size", "rename", "unlink", "link", "sync", "synced", "note", "unknown"] as const

/** Reads a trace; a last record that a killed program left half is left out. */
export function stepsOf(trace: Buffer): ReadonlyArray<Step> {
  const steps: Array<Step> = []
  for (let at = 0; at + headBytes <= trace.length;) {
    const kind = kinds[trace.readUInt32LE(at)]
    const [pathBytes, secondBytes, flags] = [trace.readUInt32LE(at + 4), trace.readUInt32LE(at + 8), trace.readUInt32LE(at + 12)]
    const inode = trace.readBigUInt64LE(at + 16)
    const [a, b, dataBytes] = [24, 32, 40].map((from) => Number(trace.readBigUInt64LE(at + from))) as [number, number, number]
    const from = at + headBytes
    const end = from + pathBytes + secondBytes + dataBytes
    if (end > trace.length) break
    const path = trace.toString("utf8", from, from + pathBytes)
    const second = trace.toString("utf8", from + pathBytes, from + pathBytes + secondBytes)
    const data = trace.subarray(end - dataBytes, end)
    at = end
    if (kind === "create" || kind === "folder" || kind === "link") steps.push({ kind, inode, path })
    else if (kind === "write") steps.push({ kind, inode, offset: a, data, isSynced: flags !== 0 })
    else if (kind === "size") steps.push({ kind, inode, size: a })
    else if (kind === "rename") steps.push({ kind, from: path, to: second })
    else if (kind === "unlink") steps.push({ kind, path })
    else if (kind === "sync" || kind === "synced") steps.push({ kind, inode, sync: `${b}-${a}` })
    else if (kind === "note") steps.push({ kind, text: data.toString() })
    else if (kind === "unknown") steps.push({ kind, path, detail: data.toString() })
    else throw new Error(`Cannot read the trace: there is no record of kind "${kind}"`)
  }
  return steps
}

/** One step for people. */
export function textOfStep(step: Step, nameOf: (inode: bigint) => string): string {
  switch (step.kind) {
    case "create":
    case "folder":
    case "link":
      return `${step.kind} ${step.path}`
    case "write":
      return `write ${nameOf(step.inode)} ${step.offset}+${step.data.length}${step.isSynced ? " (synced)" : ""}`
    case "size":
      return `size ${nameOf(step.inode)} ${step.size}`
    case "rename":
      return `rename ${step.from} to ${step.to}`
    case "unlink":
      return `unlink ${step.path}`
    case "sync":
    case "synced":
      return `${step.kind} ${nameOf(step.inode)}`
    case "note":
      return `note ${step.text.trimEnd()}`
    case "unknown":
      return `unknown ${step.path}: ${step.detail}`
  }
}
