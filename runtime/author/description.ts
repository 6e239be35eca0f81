/** What a project's component is, as the host describes it. */
import { Host } from "../../host/host.ts"
import type { Description } from "../../host/plugin.ts"
import { fakeWorld, tenant } from "./fakes.ts"
import { loadOptionsOf, type Project } from "./project.ts"

/** Loads it with what its manifest asks for, nothing of it in a cache, and runs nothing. @throws what a load refuses */
export async function describe({ located, manifest }: Project, component: Uint8Array): Promise<Description> {
  const { ports } = await fakeWorld({}, located, [])
  await using host = await Host.open({ ports, cache: false })
  return (await host.load(component, { ...loadOptionsOf(manifest), tenant })).describe()
}
