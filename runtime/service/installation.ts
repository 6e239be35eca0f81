/**
 * Which plugins are loaded, under which names, with which grants: kept in the host's own tenant, which no guest reaches,
 * so that they are there again after a restart. Their bytes are in the content store.
 */
import { type KeyValuePort, type Ports, tenantKey } from "../../host/port/mod.ts"
import type { LoadOptions } from "../../host/options.ts"

/** What a plugin was loaded with, as far as it can be kept: not the embedder's own functions. */
export interface Installation {
  readonly name: string
  /** Where it came from; it is loaded from the content store. */
  readonly file: string
  /** `sha256:…` of the component. */
  readonly digest: string
  readonly options: Pick<LoadOptions, "limits" | "metering" | "tenant" | "isolation" | "instances" | "missing">
  readonly granted: ReadonlyArray<string>
  /** Taken back since it was loaded, as a whole or out of what is granted. */
  readonly revoked: ReadonlyArray<string>
  /** Absent: none. */
  readonly links?: ReadonlyArray<KeptLink>
}

/** A plugin that serves interfaces of another, and is kept with it: its own instance, whatever else is loaded from the same file. */
export interface KeptLink {
  /** Imports that it serves. */
  readonly names: ReadonlyArray<string>
  readonly file: string
  readonly digest: string
  readonly grants: ReadonlyArray<string>
}

const prefix = tenantKey("", "plugin/")
/** Names listed at a time. */
const pageMax = 1_000

const isTexts = (value: unknown): value is ReadonlyArray<string> => Array.isArray(value) && value.every((each) => typeof each === "string")

function isLink(value: unknown): value is KeptLink {
  const { digest, file, grants, names } = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof KeptLink, unknown>>
  return typeof file === "string" && typeof digest === "string" && isTexts(grants) && isTexts(names)
}

/** What a row holds, if it is an installation: a row of another version of this program may hold more, or something else. */
function decode(name: string, bytes: Uint8Array): Installation | undefined {
  let found: Partial<Record<keyof Installation, unknown>> | null
  try {
    found = JSON.parse(new TextDecoder().decode(bytes)) as typeof found
  } catch {
    return undefined
  }
  const { file, digest, options, granted, revoked, links = [] } = found ?? {}
  if (typeof file !== "string" || typeof digest !== "string" || typeof options !== "object" || options === null || !isTexts(granted) || !isTexts(revoked))
    return undefined
  if (!Array.isArray(links) || !links.every(isLink)) return undefined
  return { name, file, digest, options, granted, revoked, ...(links.length === 0 ? {} : { links }) }
}

export class Installations {
  readonly #keyValue: KeyValuePort

  constructor({ keyValue }: Pick<Ports, "keyValue">) {
    this.#keyValue = keyValue
  }

  /** All of them, by name. A row that is none is passed over, not deleted. */
  async all(): Promise<ReadonlyArray<Installation>> {
    const found: Array<Installation> = []
    for (let after: string | undefined; ;) {
      const keys: ReadonlyArray<string> = await this.#keyValue.list(prefix, after, pageMax)
      for (const key of keys) {
        const installation = await this.get(key.slice(prefix.length))
        if (installation !== undefined) found.push(installation)
      }
      if (keys.length < pageMax) return found
      after = keys.at(-1)
    }
  }

  /** The one of this name, if there is one. */
  async get(name: string): Promise<Installation | undefined> {
    const bytes = await this.#keyValue.get(prefix + name)
    return bytes === undefined ? undefined : decode(name, bytes)
  }

  async put({ name, ...rest }: Installation): Promise<void> {
    await this.#keyValue.set(prefix + name, new TextEncoder().encode(JSON.stringify(rest)))
  }

  /** True when there was one of this name. */
  async remove(name: string): Promise<boolean> {
    return this.#keyValue.delete(prefix + name)
  }
}
