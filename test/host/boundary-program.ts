/** A host with a plugin in a process, which tells its processes and leaves one in an endless loop. Arguments: the guest; "found", or "bare" for none of what the system offers. */
import { Spares } from "../../host/isolate/spare.ts"
import { sandbox, Sandbox } from "../../host/platform/isolate/process/sandbox.ts"
import { startProcess } from "../../host/platform/isolate/process/start.ts"
import { descendants, executorOf } from "./isolate-parts.ts"

const [guest = "", kind = ""] = process.argv.slice(2)
const none = { prlimit: undefined, bubblewrap: undefined, setpriv: undefined }
const found = await sandbox()
// What closes descriptors stays.
const used =
  kind === "found"
    ? found
    : kind === "setpriv"
      ? new Sandbox({ ...none, setpriv: "/usr/bin/setpriv", shell: "/bin/bash" }, true)
      : new Sandbox({ ...none, shell: "/bin/bash" }, true)
const spares = new Spares({ start: () => startProcess(used), confinement: () => used.confinement })
const { call } = await executorOf(guest, { isolation: "process", metering: "off" }, spares)
const answer = await call("add", [40, 2])
// Another is started for the next time, by way of tools that end: until there are as many as there are to be.
let processes = await descendants()
for (let before = ""; before !== processes.join();) {
  before = processes.join()
  await new Promise((done) => setTimeout(done, 500))
  processes = await descendants()
}
console.log(JSON.stringify({ answer, confinement: used.confinement, processes }))
// Whoever started it may be gone before it has ended it.
setTimeout(() => process.exit(1), 60_000)
await call("spin", [], 86_000_000)
