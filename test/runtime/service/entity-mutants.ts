/** The sources of entities with their rules taken out: a process that never notices that it is no member, and writes without the shard's token. */
import { mutantOf } from "../storage/mutant.ts"
import type * as sources from "./entity-sources.ts"

export type EntitySources = typeof sources

const at = new URL("./entity-sources.ts", import.meta.url)
/** Whatever tells it that it is out, it goes on. */
export const blind = { file: "service/entity-member.ts", from: "  leave(): void {\n", to: "  leave(): void {\n    return\n" }
/** Another operation in the place of the condition. */
export const unfenced = {
  file: "service/entity-host.ts",
  from: "const all = [shard.fence, ...batch,",
  to: 'const all = [{ op: "delete", ...shard.queue } as const, ...batch,',
}

const changes = { KEEP: [], BLIND: [blind], UNFENCED: [unfenced], DROP: [blind, unfenced] } as const
export type Mode = keyof typeof changes

/** `KEEP` as they are, `BLIND`, `UNFENCED`, or `DROP`: both. */
export const sourcesOf = async (mode: Mode): Promise<EntitySources> =>
  mode === "KEEP" ? ((await import(at.href)) as EntitySources) : await mutantOf<EntitySources>(at, changes[mode])
