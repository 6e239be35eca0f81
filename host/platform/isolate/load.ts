/** What starts threads and processes, when a plugin is first isolated. */
export const loadIsolates = async () => (await import("./start.ts")).isolates
