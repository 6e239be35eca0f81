/**
 * Gives the memory of arrays back at once. An engine sees only small objects of them and collects them after some 64 MiB, which is as much as billing
 * millions of records needs besides. Whoever does this made the arrays or was given them for good; nothing reads them after.
 */
export function release(...arrays: ReadonlyArray<ArrayBufferView>): void {
  for (const { buffer } of arrays) if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) buffer.transfer(0)
}
