/** The thread of a worker isolate. Its mailbox is all that it is given. */
import { workerData } from "node:worker_threads"
import { serveGuest } from "../../../isolate/guest.ts"
import { IsolateSide, type Mailbox } from "../../../isolate/mailbox.ts"
import { platform } from "../platform.ts"

void serveGuest(new IsolateSide(workerData as Mailbox), platform)
