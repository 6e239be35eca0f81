/** One turn of `stele dev`: build, test, and put the new component in the place of the old one. */
import { Host } from "../../host/host.ts"
import type { Plugin } from "../../host/plugin.ts"
import { memoryObserver } from "../../host/port/observer.ts"
import type { LogPort } from "../../host/port/log.ts"
import { build } from "./build.ts"
import { labelled } from "./label.ts"
import { loadOptionsOf, openProject, type Project } from "./project.ts"
import { type Outcome, readTests, runTest } from "./test.ts"
import type { Tools } from "./tools.ts"
import { openUnits, runUnits } from "./unit.ts"

export interface Turn {
  readonly project: Project
  readonly component: Uint8Array
  readonly outcomes: ReadonlyArray<Outcome>
  /** Functions that it exports. */
  readonly exports: ReadonlyArray<string>
  readonly asked: ReadonlyArray<string>
  readonly used: ReadonlyArray<string>
}

/** A plugin that stays loaded while its source changes. */
export class Dev implements AsyncDisposable {
  readonly #folder: string
  readonly #tools: Tools
  readonly #host: Promise<Host>
  #plugin: Plugin | undefined

  /** `log` is where the loaded plugin's own lines go. */
  constructor(folder: string, tools: Tools, log: LogPort) {
    this.#folder = folder
    this.#tools = tools
    this.#host = Host.open({ ports: { log, observer: memoryObserver() } })
  }

  /** The plugin as it was built last; undefined before the first build that worked. */
  get plugin(): Plugin | undefined {
    return this.#plugin
  }

  /** Builds and tests; the loaded plugin is replaced when it builds, whatever its tests say. What fails leaves the old one in place. */
  async turn(): Promise<Turn> {
    const project = await openProject(this.#folder, true)
    const tests = await readTests(project)
    const component = await build(project, this.#tools, labelled)
    const outcomes: Array<Outcome> = []
    for (const test of tests) outcomes.push(await runTest(component, project, test))
    for await (const outcome of runUnits(project, await openUnits(project, this.#tools))) outcomes.push(outcome)
    const options = loadOptionsOf(project.manifest)
    const host = await this.#host
    if (this.#plugin === undefined) this.#plugin = await host.load(component, options)
    else await this.#plugin.replace(component, { ...options, exports: "any" })
    return {
      project,
      component,
      outcomes,
      exports: this.#plugin.describe().exports.map(({ name }) => name),
      asked: options.grants ?? [],
      used: [...new Set(outcomes.flatMap(({ usage }) => Object.keys(usage?.hostCalls ?? {})))].sort(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#plugin?.close()
    await (await this.#host).close()
  }
}
