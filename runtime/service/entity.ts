/**
 * Entities over any store: each has a name and a state, and takes its messages one at a time, in the order in which they were sent, each
 * exactly once in effect, in whichever process has its shard. `docs/adr/0022-entities.md` says how.
 */
import { checkLimit } from "../../host/port/port.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { AskOptions, EntityKind, EntityOptions, MessageOptions, ServeOptions, ServeReport } from "../port/entity.ts"
import { entityLimits } from "../port/entity.ts"
import { textOf } from "../port/place.ts"
import type { Operation, Store } from "../port/store.ts"
import { checkWhole } from "../storage/operation.ts"
import { EntityHost } from "./entity-host.ts"
import { checkedId, checkedType, enveloped, EntityPlaces } from "./entity-place.ts"
import { Replies } from "./entity-reply.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const { hostname } = process.getBuiltinModule("node:os")

const utf8 = new TextEncoder()
const shardsDefault = 64
/** What an envelope adds to a message at most: its length, and the name of a reply. */
const envelopeBytesMax = 64

/** Entities of one shard share a queue, in which the key must be this entity's own. */
const keyFor = (id: string, idempotencyKey: string): string => `${hash("sha256", id, "hex").slice(0, 32)}/${idempotencyKey}`

/** Kept by whoever opens the type first. */
async function shardsOf(store: Store, type: string, tenant: Uint8Array, asked: number | undefined): Promise<number> {
  const { count } = new EntityPlaces(type, tenant, 1)
  for (;;) {
    const found = await store.ask({ ask: "get", ...count })
    if (found !== undefined) {
      const shards = Number(textOf(found.value))
      if (asked !== undefined && asked !== shards) throw new StorageError("EntityShards", { store: store.name, type, asked, found: shards })
      return shards
    }
    try {
      const shards = asked ?? shardsDefault
      await store.apply([
        { op: "require", ...count, version: undefined },
        { op: "set", ...count, value: utf8.encode(String(shards)) },
      ])
      return shards
    } catch (error) {
      // Somebody else was first.
      if (!(error instanceof StorageError) || error.reason._tag !== "Conflict") throw error
    }
  }
}

/** Entities of one type and tenant in a store, for who sends to them and for who serves them. */
export class Entities {
  readonly type: string
  readonly shards: number
  readonly #store: Store
  readonly #places: EntityPlaces
  readonly #replies: Replies

  private constructor(store: Store, places: EntityPlaces) {
    this.type = places.type
    this.shards = places.shards
    this.#store = store
    this.#places = places
    this.#replies = new Replies(store, places)
  }

  /**
   * @throws ConfigError for a type or an option, StorageError `EntityShards` when the store has another number of them; what `Store.apply` and
   * `Store.ask` throw
   */
  static async open(store: Store, type: string, { tenant = new Uint8Array(0), shards }: EntityOptions = {}): Promise<Entities> {
    if (shards !== undefined) checkWhole("shards", shards, 1, entityLimits.shardsMax)
    return new Entities(store, new EntityPlaces(type, new Uint8Array(tenant), await shardsOf(store, checkedType(type), tenant, shards)))
  }

  /**
   * The sending of a message, for a batch of the entities' tenant: it is sent if the batch is kept.
   * @throws ConfigError and CapabilityError `PortLimit` for an id or a message that is refused
   */
  message(id: string, payload: Uint8Array, options: MessageOptions = {}): Extract<Operation, { readonly op: "enqueue" }> {
    return this.#message(id, payload, options, undefined)
  }

  #message(id: string, payload: Uint8Array, options: MessageOptions, reply: string | undefined): Extract<Operation, { readonly op: "enqueue" }> {
    checkedId(id)
    if (!(payload instanceof Uint8Array)) throw new ConfigError("Option", { option: "payload", expected: "bytes", actual: typeof payload })
    checkLimit("entity", "messageBytesMax", "bytes", this.#store.limits.queue.payloadBytesMax - envelopeBytesMax, payload.length)
    const { delayMs, idempotencyKey, attemptsMax, backoffMs, backoffMsMax } = options
    const key = idempotencyKey === undefined ? undefined : keyFor(id, idempotencyKey)
    const given = Object.entries({ delayMs, idempotencyKey: key, attemptsMax, backoffMs, backoffMsMax }).filter(([, value]) => value !== undefined)
    const job = { ...Object.fromEntries(given), payload: enveloped(payload, reply), orderKey: id }
    return { op: "enqueue", ...this.#places.queue(this.#places.shardOf(id)), jobs: [job] }
  }

  /**
   * Sends a message: answers when it is durable, with its number, which rises in the order of sending to one entity. It takes effect exactly once, or becomes a dead letter.
   * @throws what `message` and `Store.apply` throw
   */
  async send(id: string, payload: Uint8Array, options: MessageOptions = {}): Promise<number> {
    const [[sent]] = await this.#store.apply([this.message(id, payload, options)])
    return (sent as { readonly id: number }).id
  }

  /**
   * Sends a message and waits for the reply, which is empty when the entity gave none.
   * @throws StorageError `EntityTimeout` when none came in time: the message may take effect later; `EntityRefused` when it became a dead
   * letter; what `send` throws
   */
  async ask(id: string, payload: Uint8Array, { timeoutMs = 10_000, ...options }: AskOptions = {}): Promise<Uint8Array> {
    checkWhole("timeoutMs", timeoutMs, 1, entityLimits.timeoutMsMax)
    return await this.#replies.ask(id, timeoutMs, async (reply) => {
      await this.#store.apply([this.#message(id, payload, options, reply)])
    })
  }

  /** What is kept of an entity, undefined when it has no state: as of the last message that took effect. */
  async stateOf(id: string): Promise<Uint8Array | undefined> {
    return (await this.#store.ask({ ask: "get", ...this.#places.state(checkedId(id)) }))?.value
  }

  /** The queue in which an entity's messages wait, and where its dead letters are: for `dead`, `redrive` and `cancel`. */
  queueOf(id: string): { readonly tenant: Uint8Array; readonly key: Uint8Array } {
    return this.#places.queue(this.#places.shardOf(checkedId(id)))
  }

  /** Who serves, by the name that each gives itself, with the shards it has; those that nobody has are under the empty name. */
  async owners(): Promise<ReadonlyMap<string, ReadonlyArray<number>>> {
    const { members, owners } = this.#places
    const page = { beyond: undefined, countMax: 1_000, bytesMax: 1 << 20 } as const
    const [who, whose] = await Promise.all([this.#store.ask({ ask: "entries", ...members, ...page }), this.#store.ask({ ask: "entries", ...owners, ...page })])
    const names = new Map(who.entries.map(({ key, value }) => [EntityPlaces.rest(members, key), textOf(value)]))
    const owner = new Map(whose.entries.map(({ key, value }) => [Number(EntityPlaces.rest(owners, key)), names.get(textOf(value))]))
    const found = new Map<string, Array<number>>([...names.values()].map((name) => [name, []]))
    for (let shard = 0; shard < this.shards; shard++) {
      const name = owner.get(shard) ?? ""
      found.set(name, [...(found.get(name) ?? []), shard])
    }
    return found
  }

  /**
   * Serves entities of this type until `options.signal` is raised, beside whatever other processes do: the shards are divided among them.
   * @throws ConfigError for an option, CapabilityError `PortLimit` when `membersMax` serve; StorageErrors of a store that does not come back by itself
   */
  async serve<S>(kind: EntityKind<S>, options: ServeOptions): Promise<ServeReport> {
    const {
      concurrency = 32,
      leaseMs = 15_000,
      pollMs = 250,
      graceMs = 10_000,
      entitiesMax = 10_000,
      idleMs = 60_000,
      holder = `${hostname()} ${process.pid}`,
    } = options
    checkWhole("concurrency", concurrency, 1, this.#store.limits.queue.batchJobsMax)
    checkWhole("leaseMs", leaseMs, entityLimits.leaseMsMin, entityLimits.leaseMsMax)
    // Longer, and it would not renew its row in time.
    checkWhole("pollMs", pollMs, 1, Math.floor(leaseMs / 2))
    for (const [option, value] of Object.entries({ graceMs, entitiesMax, idleMs })) checkWhole(option, value, 0)
    const { length } = utf8.encode(holder)
    if (holder === "" || length > entityLimits.holderBytesMax)
      throw new ConfigError("Option", { option: "holder", expected: `text of 1 to ${entityLimits.holderBytesMax} bytes`, actual: `${length} bytes` })
    return await new EntityHost(this.#store, this.#places, kind, { ...options, concurrency, leaseMs, pollMs, graceMs, entitiesMax, idleMs, holder }).run()
  }
}
