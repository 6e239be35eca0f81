/** What a language adds: how a project becomes a component, and what must be installed for that. */
import { AuthorError } from "../../../schemas/error/author.ts"
import type { Language } from "../../../schemas/manifest/plugin.ts"
import type { Project } from "../project.ts"
import type { Tools } from "../tools.ts"

/** What an author needs on his machine for a language, and whether it is there. */
export interface Need {
  readonly what: string
  /** A version or path where it is there. */
  readonly found: string | undefined
  /** The line that installs it. */
  readonly install: string
}

export interface Toolchain {
  /** The component of a project. @throws AuthorError `Toolchain`, `Build` or `Missing` */
  build(project: Project, tools: Tools): Promise<Uint8Array>
  /** A component of the project's `*.test.ts`; absent where a language has no such tests. `files`: paths in the project. */
  buildUnits?(project: Project, tools: Tools, files: ReadonlyArray<string>): Promise<Uint8Array>
  /** What is needed, in the order in which an author installs it; `folder` is a project's, where there is one. */
  needs(folder: string | undefined): Promise<ReadonlyArray<Need>>
}

const toolchains: { readonly [L in Language]?: () => Promise<Toolchain> } = {
  assemblyscript: async () => (await import("./assemblyscript.ts")).assemblyscript,
  typescript: async () => (await import("./typescript.ts")).typescript,
  c: async () => (await import("./c.ts")).c,
  rust: async () => (await import("./rust.ts")).rust,
  go: async () => (await import("./go.ts")).go,
  python: async () => (await import("./python.ts")).python,
  other: async () => (await import("./other.ts")).other,
}

/** Languages that this version builds. */
export const built = Object.keys(toolchains) as ReadonlyArray<Language>

export async function toolchainOf(language: Language): Promise<Toolchain> {
  const load = toolchains[language]
  if (load === undefined)
    throw new AuthorError("Toolchain", {
      language,
      missing: "this version of stele does not build it by itself",
      install: 'use "language": "other" with "build"',
    })
  return load()
}
