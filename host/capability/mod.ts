/**
 * Every capability of this host. A new one is one file that exports a `Capability`, and its name in the list below:
 * grammar, linking, `describe()`, help and errors follow from it.
 */
import { blob } from "./blob.ts"
import type { Capability, HostInterface } from "./capability.ts"
import { call } from "./call.ts"
import { clock } from "./clock.ts"
import { config } from "./config.ts"
import { datagram } from "./datagram.ts"
import { events } from "./event.ts"
import { fileSystem } from "./file-system.ts"
import { http } from "./http.ts"
import { inert } from "./inert.ts"
import { kernel } from "./kernel.ts"
import { keyValue } from "./key-value.ts"
import { log } from "./log.ts"
import { random } from "./random.ts"
import { secret } from "./secret.ts"
import { socket } from "./socket.ts"

export type { CallContext, Capability, HostExport, HostFunction, HostInterface, HostResource, Mode } from "./capability.ts"

export const capabilities: ReadonlyArray<Capability> = [
  log,
  clock,
  random,
  config,
  secret,
  keyValue,
  blob,
  events,
  http,
  socket,
  datagram,
  call,
  kernel,
  fileSystem,
  inert,
]

/** One interface served, with the capability it belongs to. */
export interface Served {
  readonly capability: Capability
  readonly interface: HostInterface
}

const served = new Map<string, ReadonlyArray<Served>>()
const serveAll = (capability: Capability, interfaces: ReadonlyArray<HostInterface>): void => {
  for (const each of interfaces) served.set(each.name, [...(served.get(each.name) ?? []), { capability, interface: each }])
}
for (const capability of capabilities) serveAll(capability, capability.interfaces)

const loading = new Map<Capability, Promise<void>>()

/** Loads the interfaces among these imports that are not there yet, so that `findInterface` finds them. */
export async function loadInterfaces(imports: ReadonlyArray<{ readonly interface: string | undefined }>): Promise<void> {
  const wanted = new Set(imports.map(({ interface: name }) => name?.split("@", 1)[0]))
  for (const capability of capabilities) {
    const { later } = capability
    if (later?.names.some((name) => wanted.has(name)) !== true) continue
    let answer = loading.get(capability)
    if (answer === undefined) loading.set(capability, (answer = later.load().then((interfaces) => serveAll(capability, interfaces))))
    await answer
  }
}

/**
 * Semver compatibility as the component model canonicalises it (Explainer.md, "Canonical Interface Name"): the same
 * major above 0, the same 0.minor below 1, the same 0.0.patch below 0.1; a pre-release matches only itself. Build
 * metadata does not count.
 */
export function isCompatible(wanted: string, offered: string): boolean {
  const [want, offer] = [wanted.split("+", 1)[0] as string, offered.split("+", 1)[0] as string]
  if (want === offer) return true
  const track = (version: string): string | undefined => {
    const match = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.exec(version)
    if (match === null) return undefined
    const [, major, minor, patch] = match
    return major !== "0" ? `${major}` : minor !== "0" ? `0.${minor}` : `0.0.${patch}`
  }
  const of = track(want)
  return of !== undefined && of === track(offer)
}

/** What serves an import: `findInterface("wasi:clocks/wall-clock", "0.2.0")`. */
export function findInterface(name: string, version: string | undefined): Served | undefined {
  return served
    .get(name)
    ?.find((s) => (s.interface.version === undefined || version === undefined ? s.interface.version === version : isCompatible(version, s.interface.version)))
}

/** Versions served under an interface's name, "" for unversioned: for the error when none fits. */
export const versionsOf = (name: string): ReadonlyArray<string> => (served.get(name) ?? []).map((s) => s.interface.version ?? "")
