/** The fence's one row. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Fence, FenceOperation } from "../../port/fence.ts"
import type { Operation } from "../../port/store.ts"
import { statementsOf } from "./statement.ts"
import type { TableContext } from "./table.ts"
import type { Group } from "./writer.ts"

const utf8 = new TextEncoder()

/** The one batch that a fenced store takes. */
export const isFence = (batch: ReadonlyArray<Operation>): boolean => batch.length === 1 && batch[0]?.op === "fence"

export class FenceRow {
  static readonly operations = ["fence"] as const
  static readonly questions = ["fence"] as const
  readonly #store: string
  readonly #get: StatementSync
  readonly #writing: ReturnType<typeof statementsOf>

  constructor({ database, store }: { readonly database: DatabaseSync } & Pick<TableContext, "store">) {
    this.#store = store
    this.#get = database.prepare('SELECT destination AS "to", state FROM fence')
    this.#writing = statementsOf(database)
  }

  ask(): Fence | undefined {
    return this.#get.get() as Fence | undefined
  }

  /** What everybody else is refused with; undefined where there is no fence. */
  refusal(): StorageError | undefined {
    const fence = this.ask()
    return fence === undefined ? undefined : new StorageError("Moved", { store: this.#store, to: fence.to, isOpen: fence.state === "moved" })
  }

  apply(group: Group, { tenant, fence }: FenceOperation): undefined {
    if (fence !== undefined && (typeof fence.to !== "string" || (fence.state !== "moving" && fence.state !== "moved")))
      throw new ConfigError("Option", { option: "fence", expected: "a store and a state", actual: "something else" })
    group.change(utf8.encode("fence"), tenant, utf8.encode(JSON.stringify(fence ?? null)))
    this.#writing("DELETE FROM fence").run()
    if (fence !== undefined) this.#writing("INSERT INTO fence (id, destination, state) VALUES (1, ?, ?)").run(fence.to, fence.state)
    return undefined
  }
}
