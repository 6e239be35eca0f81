/** The thread that touches the network: commands in, events out. */
import { type Resolve, resolver } from "./connect.ts"
import { Exchange, type Task } from "./exchange.ts"
import type { Command, Event, Line } from "./message.ts"
import { Connection, lookUp } from "./socket-task.ts"

/** `resolve`: instead of the system's resolver. */
export function serveNetwork(line: Line, resolve: Resolve = resolver(line)): void {
  const { port, certificateAuthority } = line
  const sent = new Int32Array(line.signal)
  const tasks = new Map<number, Task>()
  let events: Array<Event> = []
  const flush = (): void => {
    const ready = events
    events = []
    port.postMessage(ready)
    Atomics.add(sent, 0, 1)
    Atomics.notify(sent, 0)
  }
  const tell = (event: Event): void => {
    if (events.push(event) === 1) setImmediate(flush)
  }
  port.on("message", (commands: ReadonlyArray<Command> | "close") => {
    if (commands === "close") {
      for (const task of tasks.values()) task.close()
      port.close()
      return
    }
    for (const command of commands) {
      const { id } = command
      const task = tasks.get(id)
      switch (command.op) {
        case "http":
          tasks.set(id, new Exchange(command.request, { resolve, certificateAuthority }, (told) => tell({ ...told, id } as Event)))
          break
        case "connect":
          tasks.set(id, new Connection(command.place, command.limits, (told) => tell({ ...told, id } as Event)))
          break
        case "resolve":
          tasks.set(
            id,
            lookUp(command.name, command.limits, resolve, (told) => tell({ ...told, id } as Event)),
          )
          break
        case "write":
          task?.write(command.bytes)
          break
        case "end":
          task?.end(command.trailers)
          break
        case "taken":
          task?.taken(command.bytes)
          break
        case "close":
          task?.close()
          tasks.delete(id)
      }
    }
  })
}
