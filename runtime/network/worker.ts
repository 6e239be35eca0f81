import type { Line } from "./message.ts"
import { serveNetwork } from "./thread.ts"

serveNetwork(process.getBuiltinModule("node:worker_threads").workerData as Line)
