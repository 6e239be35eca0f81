/**
 * What an embedder does first, on every platform alike: load, grant, call, be refused, stop an endless plugin, go on. It
 * uses nothing but what `stele/host` exports, so a page runs it as well as a server. Its lines must be the same
 * everywhere; only how a guest is stopped may differ.
 */
import type * as HostModule from "../../host/mod.ts"

export interface Smoke {
  readonly lines: ReadonlyArray<string>
  /** `epoch` or `fuel slices`. */
  readonly stop: string
  /** The endless plugin: milliseconds beyond its deadline. */
  readonly lateMs: number
}

export type Stele = Pick<typeof HostModule, "Host" | "SteleError" | "memoryKeyValue" | "memoryLog">

/** `bytes`: an example plugin by name. */
export async function smoke({ Host, SteleError }: Stele, bytes: (name: string) => Promise<Uint8Array>): Promise<Smoke> {
  const lines: Array<string> = []
  const host = await Host.open({ cache: false })
  const caught = async (body: () => Promise<unknown>): Promise<string> => {
    try {
      return `answered ${String(await body())}`
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      return `${error.code} ${error.message}`
    }
  }

  const greeter = await bytes("greeter")
  lines.push(await caught(() => host.load(greeter)))
  const plugin = await host.load(greeter, { grants: ["log", "kv:read:prices/*"] })
  lines.push(JSON.stringify(await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])))
  lines.push(JSON.stringify(plugin.callSync("acme:greeter/api#greet", [{ name: "Grace \u{1F44B}" }])))
  lines.push(await caught(() => plugin.call("acme:greeter/api#greet", [{ name: 5 } as never])))
  lines.push(await caught(() => plugin.call("acme:greeter/api#shout", [])))

  const counted = await host.load(greeter, { grants: ["log", "kv:read:prices/*"], metering: "fuel" })
  const { usage } = await counted.callWithUsage("acme:greeter/api#greet", [{ name: "Ada" }])
  lines.push(`fuel ${String(usage.fuel)}`)

  const spinner = await host.load(await bytes("spinner"))
  const started = performance.now()
  lines.push(await caught(() => spinner.call("stele:example-spinner/wheel#spin", [1], { deadlineMs: 100 })))
  const lateMs = performance.now() - started - 100
  lines.push(JSON.stringify(await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])))
  lines.push(await caught(() => host.load(Uint8Array.of(1, 2, 3))))
  const { stop } = spinner.describe().mechanisms
  await host.close()
  lines.push(await caught(() => host.load(greeter)))
  return { lines, stop, lateMs }
}
