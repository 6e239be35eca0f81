/** One script over the resources of `counter.ts`, run on either host: the log is what the hosts are compared by. */
import type { Host } from "../../host/mod.ts"
import { type Built, jcoInterface, jcoModule, load } from "./build.ts"
import type { Side } from "./compare.ts"
import { counterApi, counterHost } from "./counter.ts"

/** What the script needs of a host. */
interface Guest {
  readonly call: (name: string, ...args: ReadonlyArray<unknown>) => unknown
  readonly construct: (n: number) => Disposable
  readonly method: (self: unknown, name: string, ...args: ReadonlyArray<unknown>) => unknown
  readonly merge: (a: unknown, b: unknown) => Disposable
}

type Class = { new (n: number): Disposable; merge(a: unknown, b: unknown): Disposable }

export async function resourceLog(side: Side, host: Host, built: Built): Promise<ReadonlyArray<readonly [step: string, shown: unknown]>> {
  const log: Array<readonly [string, unknown]> = []
  const events: Array<string> = []
  let things = 0
  class Thing {
    readonly number = ++things
    n: number
    constructor(n: number) {
      this.n = n
      events.push(`new ${this.number}`)
    }
    get(): number {
      return this.n
    }
    add(n: number): number {
      return (this.n += n)
    }
    static twin(of: Thing): Thing {
      return new Thing(of.n)
    }
    [Symbol.dispose](): void {
      events.push(`drop ${this.number}`)
    }
  }
  const imports = { Thing, take: (thing: Thing) => thing.n + 1000, pair: (n: number) => [new Thing(n), new Thing(n + 1)] }

  const guest = await (side === "ours" ? ourGuest() : jcoGuest())
  const step = (name: string, run: () => unknown): void => {
    let shown: unknown
    try {
      shown = run()
    } catch {
      shown = "refused"
    }
    log.push([name, [shown, ...events.splice(0)]])
  }

  async function ourGuest(): Promise<Guest> {
    const plugin = await load(host, built, { [counterHost]: imports })
    const call: Guest["call"] = (name, ...args) => plugin.callSync(`${counterApi}#${name}`, args)
    return {
      call,
      construct: (n) => call("[constructor]counter", n) as Disposable,
      method: (self, name, ...args) => call(`[method]counter.${name}`, self, ...args),
      merge: (a, b) => call("[static]counter.merge", a, b) as Disposable,
    }
  }

  async function jcoGuest(): Promise<Guest> {
    const api = jcoInterface((await jcoModule(built))({ [counterHost]: imports }), counterApi)
    const Counter = api["Counter"] as unknown as Class
    return {
      call: (name, ...args) =>
        (api[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())] as (...args: ReadonlyArray<unknown>) => unknown)(...args),
      construct: (n) => new Counter(n),
      method: (self, name, ...args) => (self as Record<string, (...args: ReadonlyArray<unknown>) => unknown>)[name]?.(...args),
      merge: (a, b) => Counter.merge(a, b),
    }
  }

  // The host's resources.
  const mine = new Thing(10)
  step("a constructor that the guest calls", () => (guest.call("make-thing", 5) as Thing).n)
  step("methods on a borrowed handle", () => guest.call("work", mine, 7))
  step("the object that was lent has changed", () => mine.n)
  step("a static function", () => (guest.call("twin-of", mine) as Thing).n)
  step("an owned handle passed on", () => guest.call("give", mine))
  step("an owned handle dropped", () => guest.call("swallow", new Thing(3)))
  step("one of two handles kept", () => (guest.call("first-of-pair", 20) as Thing).n)
  step("what is no resource", () => guest.call("swallow", { n: 1 }))
  step("of another class", () => guest.call("swallow", new (class Other {})()))
  step("what is no object", () => guest.call("work", 5, 1))

  // The guest's resources.
  const held: Array<Disposable> = []
  const keep = (made: Disposable): Disposable => {
    held.push(made)
    return made
  }
  const get = (made: unknown): unknown => guest.method(made, "get")
  step("construct and read", () => get(keep(guest.construct(41))))
  step("a method that borrows another", () => get(keep(guest.method(held[0], "plus", held[0]) as Disposable)))
  step("a list of owned handles", () => (guest.call("many", 5) as ReadonlyArray<Disposable>).map((made) => get(keep(made))))
  step("a list of borrowed handles", () => guest.call("sum", held))
  step("none dropped so far", () => guest.call("drops"))
  step("owned handles given back", () => get(keep(guest.merge(held[0], held[1]))))
  step("a handle that was given away", () => get(held[0]))
  step("two dropped by the guest", () => guest.call("drops"))
  step("another", () => get(keep(guest.construct(7))))
  step("dispose", () => held.slice(-2).forEach((made) => made[Symbol.dispose]()))
  step("each dropped once", () => guest.call("drops"))
  step("a handle that was disposed of", () => get(held.at(-1)))
  step("disposed of twice", () => {
    held.at(-1)?.[Symbol.dispose]()
    return guest.call("drops")
  })
  return log
}
