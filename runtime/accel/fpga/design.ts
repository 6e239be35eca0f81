/** The designs, which are what a bitstream is here, and the boards that one could be made for. */
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { FpgaError } from "../../../schemas/error/fpga.ts"
import { shippedFolder } from "../../shipped.ts"

/** Parameters of `rtl/matcher.v`. */
export interface Parameters {
  /** Of text, a clock. */
  readonly BYTES: number
  /** Slots: patterns of one pass. */
  readonly PATTERNS: number
  /** Bytes of the longest pattern. */
  readonly LENGTH: number
  /** Results that wait. */
  readonly DEPTH: number
}

const parameters = {
  standard: { BYTES: 8, PATTERNS: 8, LENGTH: 16, DEPTH: 64 },
  small: { BYTES: 4, PATTERNS: 4, LENGTH: 16, DEPTH: 64 },
} as const satisfies Readonly<Record<string, Parameters>>
export type DesignName = keyof typeof parameters
export const designNames = Object.keys(parameters) as ReadonlyArray<DesignName>

/** What a part with open tools has room for: half of the slots of `standard`. */
const placed = {
  standard: { ...parameters.standard, PATTERNS: 4 },
  small: parameters.small,
} as const satisfies Readonly<Record<DesignName, Parameters>>

/** Of the design alone; the other files drive it. */
const synthesizable = ["matcher.v", "results.v"] as const
export type SourceName = (typeof synthesizable)[number] | "pins.v" | "simulate.cpp" | "simulate.v"

/** SHA-256 of those, name and text, as this release was tested with them. `test/runtime/accel/fpga.test.ts` tells what it is now. */
const sourcesSha256 = "e66722935f29cf4a4902ff75990d173f7687ea52ecc284aa0488d40daca438d8"

export interface Design {
  readonly name: DesignName
  readonly parameters: Parameters
  /** What is placed and routed of it. */
  readonly placed: Parameters
  /** Of its sources and parameters. */
  readonly sha256: string
}

const sha256 = (...parts: ReadonlyArray<string | Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part).update("\0")
  return hash.digest("hex")
}

export const designs = Object.fromEntries(
  designNames.map((name) => [
    name,
    { name, parameters: parameters[name], placed: placed[name], sha256: sha256(sourcesSha256, JSON.stringify(parameters[name])) } satisfies Design,
  ]),
) as Readonly<Record<DesignName, Design>>

/** The SHA-256 of each bitstream, by its design. */
export const bitstreams: Readonly<Record<DesignName, string>> = { standard: designs.standard.sha256, small: designs.small.sha256 }

const knownText = designNames.map((name) => `${bitstreams[name]} (${name})`).join(", ")

/** @throws FpgaError `Bitstream` of a digest that no design has */
export function designOf(digest: string): Design {
  const found = designNames.map((name) => designs[name]).find((design) => design.sha256 === digest)
  if (found === undefined) throw new FpgaError("Bitstream", { sha256: digest, known: knownText })
  return found
}

export type Sources = Readonly<Record<SourceName, Uint8Array>>

export const sourcesDigest = (sources: Sources): string => sha256(...synthesizable.flatMap((name) => [name, sources[name]]))

/** What is shipped, whole: small enough to be read before anything is built of it. */
export async function readSources(folder = shippedFolder("fpga")): Promise<Sources> {
  const names = [...synthesizable, "pins.v", "simulate.cpp", "simulate.v"] as const
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, new Uint8Array(await readFile(join(folder, name)))] as const)),
  ) as unknown as Sources
}

/** @throws FpgaError `Bitstream` of sources that are not those of this release */
export function checkSources({ parameters }: Design, sources: Sources): void {
  const found = sourcesDigest(sources)
  if (found !== sourcesSha256) throw new FpgaError("Bitstream", { sha256: sha256(found, JSON.stringify(parameters)), known: knownText })
}

/** A board that a design could be made for: what its driver would need to know. */
export interface Board {
  readonly name: string
  readonly part: string
  readonly bus: string
  /** What the bus carries at most, a second and one way. */
  readonly busBytesPerSecond: number
  /** Nobody has measured it. */
  readonly clockMhzAssumed: number
  readonly tools: string
  /** Whether anybody has run a design on one. */
  readonly isTried: boolean
}

/** 8 GT/s on 16 lanes, 128 of 130 bits (PCI Express Base 3.0, 4.2.2). */
const pcie3x16 = { bus: "PCIe 3.0 x16", busBytesPerSecond: (8e9 * 16 * 128) / 130 / 8 } as const

export const boards = {
  "alveo-u250": { name: "AMD Alveo U250", part: "xcu250-figd2104-2L-e", ...pcie3x16, clockMhzAssumed: 250, tools: "Vivado, Vitis and XRT", isTried: false },
  "stratix-10": { name: "Intel PAC D5005", part: "Stratix 10 SX 2800", ...pcie3x16, clockMhzAssumed: 250, tools: "Quartus Prime Pro and OPAE", isTried: false },
} as const satisfies Readonly<Record<string, Board>>
export type BoardName = keyof typeof boards

/** Bytes a second of a design on a board, if its clock were what is assumed: never a measurement. */
export function modelled(design: Design, board: Board): { readonly bytesPerSecond: number; readonly limit: "bus" | "clock" } {
  const byClock = design.parameters.BYTES * board.clockMhzAssumed * 1e6
  return byClock <= board.busBytesPerSecond ? { bytesPerSecond: byClock, limit: "clock" } : { bytesPerSecond: board.busBytesPerSecond, limit: "bus" }
}
