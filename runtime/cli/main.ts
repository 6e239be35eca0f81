/** The command line's entry: words in, exit code out. 0 ok, 1 failed, 2 usage, 3 check found problems, 4 not found, 5 denied, 6 conflict, 7 limit, 69 unavailable, 130 interrupted. */
import { isolateArgument } from "../../host/platform/isolate/process/command.ts"
import { stele } from "./command.ts"
import { execute, showingOf } from "./execute.ts"
import { endWithReader } from "./terminal.ts"

// A single-file program starts itself to run a plugin in a process of its own: then it is that process and nothing else.
if (process.argv[2] === isolateArgument) await (await import("../../host/platform/isolate/process/worker.ts")).served

endWithReader()
const words = process.argv.slice(2)
const code = await execute(stele, words, showingOf(words))
// A command that stays (`up`) may have said how it ended itself.
if (code !== 0) process.exitCode = code
