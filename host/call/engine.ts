/**
 * Engines other than the host's own. The host reads, links and admits a plugin as always; an engine gives the executor that
 * runs its calls, and refuses by name what it cannot hold a plugin to.
 */
import type { Linked } from "../link/prepare.ts"
import type { ResolvedOptions } from "../options.ts"
import type { Rewriter } from "../platform/platform.ts"
import type { Executor } from "./executor.ts"

export interface EnginePlugin {
  readonly linked: Linked
  readonly options: ResolvedOptions
  /** For an engine that has no caps of its own: they are written into the module. */
  readonly loadRewriter: () => Promise<Rewriter>
}

export interface Engine {
  readonly name: string
  /** @throws EngineError `Lacks` for what the engine does not promise, `Unavailable` where it is not on this machine */
  open(plugin: EnginePlugin): Promise<Executor>
}
