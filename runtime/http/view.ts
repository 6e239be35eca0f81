/** Plugins as the service shows them. */
import { SteleError } from "../../schemas/error/family.ts"
import { encodeTypes } from "../../schemas/wit/graph.ts"
import { functionText, worldText } from "../../schemas/wit/print.ts"
import { findExport } from "../service/export.ts"
import { type Failed, inForce, type Loaded } from "../service/plugins.ts"
import type { Description, Plugin } from "../../host/plugin.ts"
import type { PluginDetail, PluginSummary } from "./api.ts"
import { shownError } from "./problem.ts"

export type Exported = Description["exports"][number]

/** What a plugin exports, found by any of its names: looked up once for each name that is used. */
export interface Surface {
  readonly exports: ReadonlyArray<Exported>
  readonly deadlineMs: number
  readonly isInline: boolean
  find(wanted: string): Exported
}

/** Names that were found, of one plugin: callers choose them. */
const foundMax = 1_000

const surfaces = new WeakMap<Plugin, Surface>()

export function surfaceOf(plugin: Plugin): Surface {
  const known = surfaces.get(plugin)
  if (known !== undefined) return known
  const { exports, limits, mechanisms } = plugin.describe()
  const found = new Map<string, Exported>()
  const surface: Surface = {
    exports,
    deadlineMs: limits.deadlineMs,
    isInline: mechanisms.isolation === "inline",
    find(wanted) {
      let exported = found.get(wanted)
      if (exported === undefined) {
        exported = findExport(exports, wanted)
        if (found.size >= foundMax) found.clear()
        found.set(wanted, exported)
      }
      return exported
    },
  }
  surfaces.set(plugin, surface)
  return surface
}

export function summaryOf(loaded: Loaded): PluginSummary {
  const { name, file, plugin } = loaded
  const { digest, tenant, mechanisms, exports } = plugin.describe()
  return {
    name,
    state: "loaded",
    digest,
    source: file,
    tenant,
    isolation: mechanisms.isolation,
    grants: inForce(loaded),
    exports: exports.map((exported) => exported.name),
  }
}

export function failedSummary({ installation, error }: Failed): PluginSummary {
  const { name, file, digest, options, granted, revoked } = installation
  const shown = shownError(error)
  return {
    name,
    state: "failed",
    digest,
    source: file,
    tenant: options.tenant ?? "default",
    grants: { granted, revoked },
    exports: [],
    error: {
      code: error instanceof SteleError ? error.code : "STELE-BUG-0001",
      detail: shown?.message ?? "It cannot be loaded from the store",
    },
  }
}

function kept({ options: { instances = {} } }: Loaded): Omit<PluginDetail["instances"], "reuse"> {
  const { max, ready, queue } = instances
  return { ...(max === undefined ? {} : { max }), ...(ready === undefined ? {} : { ready }), ...(queue === undefined ? {} : { queue }) }
}

/** The graph of types that have a JSON form; an export with handles is not among its functions. */
export async function detailOf(loaded: Loaded): Promise<PluginDetail> {
  const schemas = await loaded.plugin.schemas()
  const { world, exports, imports, limits, sizes, mechanisms } = loaded.plugin.describe()
  const callable = exports.filter(({ name }) => schemas.has(name))
  return {
    ...summaryOf(loaded),
    exports: exports.map(({ name, type }) => ({
      name,
      type: functionText(type),
      schema: (schemas.get(name) ?? null) as PluginDetail["exports"][number]["schema"],
    })),
    imports: imports.map(({ name, status, grant, risk }) => ({
      name,
      status,
      ...(grant === undefined ? {} : { grant }),
      ...(risk === undefined ? {} : { risk }),
    })),
    wit: worldText("root", world),
    metering: loaded.options.metering ?? "deadline",
    instances: { ...kept(loaded), reuse: mechanisms.reuse },
    missing: loaded.options.missing ?? "refuse",
    limits,
    componentBytes: sizes.componentBytes,
    types: encodeTypes(callable) as unknown as PluginDetail["types"],
  }
}
