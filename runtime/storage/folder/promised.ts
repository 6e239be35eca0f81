import type * as FsPromises from "node:fs/promises"

/** The file system with promises, loaded when a file is first awaited: it takes 1 ms and 2 MB of opening a store, which uses none of it. */
export const promised = (): typeof FsPromises => process.getBuiltinModule("node:fs/promises")
