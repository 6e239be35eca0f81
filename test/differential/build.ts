/** Components with their two hosts: ours, and the JavaScript that jco makes of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import type { Host, Plugin } from "../../host/mod.ts"

/** wasm-tools' names of the three encodings. */
export const encodings = ["utf8", "utf16", "compact-utf16"] as const
export type Encoding = (typeof encodings)[number]

export type Recipe =
  | {
      readonly component?: undefined
      readonly wit: string
      readonly core: string
      readonly world: string
      readonly encoding: Encoding
      readonly transpile?: boolean
    }
  | { readonly component: string; readonly transpile?: boolean }

export interface Built {
  readonly component: Uint8Array
  /** jco's output by file name; empty where the recipe says not to transpile. */
  readonly files: Readonly<Record<string, Uint8Array>>
}

export function build(recipe: Recipe): Promise<Built> {
  return new Promise((settle, fail) => {
    const worker = new Worker(new URL("build-worker.ts", import.meta.url), { workerData: recipe })
    const end = (act: () => void): void => {
      void worker.terminate()
      act()
    }
    worker.once("message", (answer: Built | { readonly problem: string }) =>
      end(() => ("problem" in answer ? fail(new Error(`Cannot build the guest: ${answer.problem}`)) : settle(answer))),
    )
    worker.once("error", (error) => end(() => fail(error)))
  })
}

type Functions = Record<string, (...args: Array<unknown>) => unknown>
/** What an instance of jco's output exports: interfaces by name and alias. */
export type JcoInstance = Record<string, Record<string, unknown>>
interface JcoModule {
  instantiate(core: (name: string) => WebAssembly.Module, imports: object): JcoInstance
}

let folder: string | undefined
let count = 0

/** Removes what jco's modules were imported from. */
export function removeFiles(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  folder = undefined
}

/** A fresh instance of jco's output. Evaluated, since the component is one that this test wrote. */
export async function jcoModule({ files }: Built): Promise<(imports: object) => JcoInstance> {
  folder ??= mkdtempSync(join(tmpdir(), "stele-differential-"))
  const path = join(folder, `guest-${count++}.mjs`)
  // The debug check reads the environment on every call, two to four times the cost of the rest.
  writeFileSync(path, new TextDecoder().decode(files["guest.js"]).replaceAll("globalThis?.process?.env?.JCO_DEBUG", "false"))
  const { instantiate } = (await import(pathToFileURL(path).href)) as JcoModule
  const cores = new Map(
    Object.entries(files)
      .filter(([name]) => name.endsWith(".wasm"))
      .map(([name, bytes]) => [name, new WebAssembly.Module(bytes as BufferSource)]),
  )
  return (imports) => instantiate((name) => cores.get(name) as WebAssembly.Module, imports)
}

/** The functions of one interface of a jco instance. */
export function jcoInterface(instance: JcoInstance, name: string): Functions {
  const found = instance[name]
  if (found === undefined) throw new Error(`jco exports ${Object.keys(instance).join(", ")}, not ${name}`)
  return found as Functions
}

/** Values as large as the tests move, and time for a busy machine. */
export const limits = {
  deadlineMs: 120_000,
  memoryBytesMax: 512 << 20,
  outputBytesMax: 1 << 30,
  liftBytesMax: 2 ** 33,
  hostCallBytesMax: 1 << 30,
  handlesMax: 1_000_000,
} as const

export async function load(host: Host, { component }: Built, imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Promise<Plugin> {
  return host.load(component, { imports, limits, instances: { reuse: "principal" } })
}
