/** The thread that touches the network: commands in, events out. */
import { type Resolve, resolver } from "./connect.ts"
import { Datagrams } from "./datagram-task.ts"
import { Exchange, type Task, type Told } from "./exchange.ts"
import { Listener } from "./listen-task.ts"
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
  const telling =
    (id: number) =>
    (told: Told): void =>
      tell({ ...told, id } as Event)
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
          tasks.set(id, new Exchange(command.request, { resolve, certificateAuthority }, telling(id)))
          break
        case "connect":
          tasks.set(id, new Connection(command.place, command.limits, telling(id), command.from))
          break
        case "listen":
          tasks.set(id, new Listener(command.place, telling(id)))
          break
        case "accept": {
          const connection = (tasks.get(command.listener) as Listener | undefined)?.give(command.connection, telling(id))
          if (connection !== undefined) tasks.set(id, connection)
          break
        }
        case "accepting":
          ;(task as Listener | undefined)?.accept(command.backlog)
          break
        case "keepAlive":
          ;(task as Connection | undefined)?.keepAlive(command.idleMs)
          break
        case "bind":
          tasks.set(id, new Datagrams(command.place, telling(id)))
          break
        case "send":
          ;(task as Datagrams | undefined)?.send(command.datagram)
          break
        case "hopLimit":
          ;(task as Datagrams | undefined)?.hopLimit(command.hops)
          break
        case "resolve":
          tasks.set(id, lookUp(command.name, command.limits, resolve, telling(id)))
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
