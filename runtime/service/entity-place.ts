/** Where entities' rows and queues are, which shard an entity is in, and whose a shard is by right. Nothing here asks a store. */
import { checkLimit, utf8Length } from "../../host/port/port.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { entityLimits } from "../port/entity.ts"
import { type Place, textOf } from "../port/place.ts"
import type { LeasedJob } from "../port/queue.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const { crc32 } = process.getBuiltinModule("node:zlib")

const utf8 = new TextEncoder()
const digits = 3

export class EntityPlaces {
  readonly type: string
  readonly tenant: Uint8Array
  readonly shards: number

  constructor(type: string, tenant: Uint8Array, shards: number) {
    this.type = type
    this.tenant = tenant
    this.shards = shards
  }

  /** Rows of a kind lie under a prefix of their own, and a type has no slash: no two names share a key. */
  #at(rest: string): Place {
    return { tenant: this.tenant, key: utf8.encode(`entity/${this.type}/${rest}`) }
  }
  get count(): Place {
    return this.#at("shards")
  }
  get members(): Place {
    return this.#at("member/")
  }
  member(id: string): Place {
    return this.#at(`member/${id}`)
  }
  get owners(): Place {
    return this.#at("shard/")
  }
  owner(shard: number): Place {
    return this.#at(`shard/${String(shard).padStart(digits, "0")}`)
  }
  state(id: string): Place {
    return this.#at(`state/${id}`)
  }
  replies(caller: string): Place {
    return this.#at(`reply/${caller}/`)
  }
  reply(name: string): Place {
    return this.#at(`reply/${name}`)
  }
  /** Queues have names of their own. */
  get queues(): Place {
    return this.#at("")
  }
  queue(shard: number): Place {
    return this.#at(String(shard).padStart(digits, "0"))
  }

  /** What stands behind a prefix. */
  static rest(prefix: Place, key: Uint8Array): string {
    return textOf(key.subarray(prefix.key.length))
  }

  /** For good: an entity's messages wait in its shard's queue. */
  shardOf(id: string): number {
    return crc32(id) % this.shards
  }
}

/** @throws ConfigError `Option` */
export function checkedType(type: string): string {
  if (!/^[a-z][a-z0-9-]*$/.test(type) || type.length > entityLimits.typeLengthMax)
    throw new ConfigError("Option", {
      option: "type",
      expected: `a letter, then letters, digits and dashes, up to ${entityLimits.typeLengthMax} in all`,
      actual: JSON.stringify(String(type).slice(0, 100)),
    })
  return type
}

/** @throws ConfigError `Option`, CapabilityError `PortLimit` */
export function checkedId(id: string): string {
  if (typeof id !== "string" || id === "" || !id.isWellFormed())
    throw new ConfigError("Option", { option: "id", expected: "well-formed text that is not empty", actual: JSON.stringify(id) ?? "undefined" })
  checkLimit("entity", "idBytesMax", "bytes", entityLimits.idBytesMax, utf8Length(id))
  return id
}

const weightOf = (member: string, shard: number): string => hash("sha256", `${shard} ${member}`, "hex")

/**
 * Whose each shard is by right: everybody who sees the same members comes to the same. Each member's draw for each shard decides, the greatest first, so a
 * member that comes or goes moves little else; none has more than its part of them, rounded up.
 */
export function rightful(members: ReadonlyArray<string>, shards: number): ReadonlyArray<string | undefined> {
  const most = Math.ceil(shards / members.length)
  const counts = new Map<string, number>()
  const owners: Array<string | undefined> = Array.from({ length: shards }, () => undefined)
  const draws = owners
    .flatMap((_, shard) => members.map((member) => ({ shard, member, weight: weightOf(member, shard) })))
    .toSorted((a, b) => (a.weight < b.weight ? 1 : -1))
  for (const { shard, member } of draws) {
    const count = counts.get(member) ?? 0
    if (owners[shard] !== undefined || count >= most) continue
    owners[shard] = member
    counts.set(member, count + 1)
  }
  return owners
}

/** Before a message's own bytes: the length of the name of the row that its reply goes to, and the name; 0 when nobody waits. */
export function enveloped(payload: Uint8Array, reply: string | undefined): Uint8Array {
  const name = utf8.encode(reply ?? "")
  const message = new Uint8Array(1 + name.length + payload.length)
  message[0] = name.length
  message.set(name, 1)
  message.set(payload, 1 + name.length)
  return message
}

/** Undefined for a job that was put into the queue by something else. */
export function opened({
  payload,
  orderKey,
}: LeasedJob): { readonly id: string; readonly payload: Uint8Array; readonly reply: string | undefined } | undefined {
  const length = payload[0]
  if (length === undefined || payload.length < 1 + length || orderKey === undefined) return undefined
  return { id: orderKey, payload: payload.subarray(1 + length), reply: length === 0 ? undefined : textOf(payload.subarray(1, 1 + length)) }
}
