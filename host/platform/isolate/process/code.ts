/**
 * The isolate's program as text, with what the engine has compiled of it before. Half of a process's start was reading, compiling and
 * running its 330 KB anew. So Node gets, as the first thing on its channel, the text and V8's code cache of it, made by a process that has
 * rehearsed and served nobody; it needs no file to read. Kept in memory, and on disk under the installation's key where the host keeps
 * rewritten modules there. Built programs only: a checkout's is a hundred files.
 */
import { builtin } from "../../server.ts"
import type { CacheStore } from "../../platform.ts"
import { commandOf, type Command, isolateProgram, permissions } from "./command.ts"
import { endGroup, startGroup } from "./group.ts"
import type { Sandbox } from "./sandbox.ts"

/** Runs what comes first on descriptor 0: lengths of text and cache, 1 for a rehearsal, text, cache. */
const boot = `"use strict"
const { readSync } = process.getBuiltinModule("node:fs")
const take = (length) => {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; ) {
    const count = readSync(0, bytes, at, length - at, null)
    if (count === 0) process.exit(0)
    at += count
  }
  return bytes
}
const head = take(12)
const text = take(head.readUInt32LE(0)).toString()
const cachedData = take(head.readUInt32LE(4))
const script = new (process.getBuiltinModule("node:vm").Script)(text, { filename: "stele-isolate.js", ...(cachedData.length > 0 && { cachedData }) })
if (head.readUInt32LE(8) === 1) globalThis.compiled = () => script.createCachedData()
script.runInThisContext()`

/** How long after the first process the one that rehearses is started: the first ones need the processor. */
const rehearseAfterMs = 1_000
const rehearseMsMax = 30_000
const compiledBytesMax = 16 << 20
const macBytes = 32

/** A command, and what is written to it before anything else. */
export interface Started {
  readonly command: Command
  readonly first: Uint8Array | undefined
}

export class Code {
  readonly #text: Uint8Array | undefined
  readonly #store: CacheStore | undefined
  readonly #key: string
  #compiled: Uint8Array | undefined
  #isRehearsed = false

  private constructor(text: Uint8Array | undefined, store: CacheStore | undefined, key: string, compiled: Uint8Array | undefined) {
    this.#text = text
    this.#store = store
    this.#key = key
    this.#compiled = compiled
  }

  static async open(openStore: () => Promise<CacheStore | undefined>): Promise<Code> {
    const program = isolateProgram()
    if (program === undefined) return new Code(undefined, undefined, "", undefined)
    const text = builtin("node:fs").readFileSync(program)
    const { createHash } = builtin("node:crypto")
    const tag = builtin("node:v8").cachedDataVersionTag()
    const key = createHash("sha256").update(`stele-isolate-code ${process.version} ${process.arch} ${tag} `).update(text).digest("hex")
    const store = await openStore()
    return new Code(text, store, key, unsealed(key, await store?.get(key), store))
  }

  /** How a process is started now. */
  start(): Started {
    if (this.#text === undefined) return { command: commandOf(), first: undefined }
    return { command: this.#command(), first: framed(this.#text, this.#compiled, false) }
  }

  #command(): Command {
    return { file: process.execPath, args: [...permissions, "--input-type=commonjs", "-e", boot], reads: [], env: {} }
  }

  /** Has what the engine compiles put by, once, a while from now: called when a process has been started. */
  rehearse(sandbox: Sandbox): void {
    const text = this.#text
    if (text === undefined || this.#compiled !== undefined || this.#isRehearsed) return
    this.#isRehearsed = true
    setTimeout(() => {
      try {
        this.#rehearse(text, sandbox)
      } catch {
        // It is only faster with it: whatever goes wrong, processes start as they did.
      }
    }, rehearseAfterMs).unref()
  }

  #rehearse(text: Uint8Array, sandbox: Sandbox): void {
    const { file, args } = sandbox.confine(this.#command())
    const child = startGroup(file, args, {}, ["pipe", "pipe", "ignore"])
    child.on("error", () => undefined)
    const { stdin, stdout } = child
    if (!stdin || !stdout) return
    const timer = setTimeout(() => endGroup(child), rehearseMsMax)
    timer.unref()
    const chunks: Array<Uint8Array> = []
    let length = 0
    stdin.on("error", () => undefined)
    stdout.on("data", (chunk: Uint8Array) => {
      length += chunk.length
      if (length > compiledBytesMax) endGroup(child)
      else chunks.push(chunk)
    })
    child.on("close", (status) => {
      clearTimeout(timer)
      if (status !== 0 || length === 0) return
      this.#compiled = new Uint8Array(Buffer.concat(chunks))
      void this.#store?.put(this.#key, sealed(this.#key, this.#compiled, this.#store))
    })
    stdin.end(framed(text, undefined, true))
    child.unref()
    for (const stream of [stdin, stdout]) (stream as unknown as { unref?: () => void }).unref?.()
  }
}

function framed(text: Uint8Array, compiled: Uint8Array | undefined, isRehearsal: boolean): Uint8Array {
  const head = new Uint32Array([text.length, compiled?.length ?? 0, Number(isRehearsal)])
  return new Uint8Array(Buffer.concat([new Uint8Array(head.buffer), text, ...(compiled === undefined ? [] : [compiled])]))
}

type Secret = Pick<CacheStore, "secret">

/** Over the key as well: what was compiled of another program, or by another engine, is not taken for this one's. */
const macOf = (key: string, bytes: Uint8Array, { secret }: Secret): Uint8Array =>
  new Uint8Array(builtin("node:crypto").createHmac("sha256", secret).update(`stele-isolate-code ${key} `).update(bytes).digest())

export const sealed = (key: string, bytes: Uint8Array, store: Secret): Uint8Array => new Uint8Array(Buffer.concat([macOf(key, bytes, store), bytes]))

/** What the store holds, if this installation wrote it. */
export function unsealed(key: string, entry: Uint8Array | undefined, store: Secret | undefined): Uint8Array | undefined {
  if (entry === undefined || store === undefined || entry.length <= macBytes) return undefined
  const bytes = entry.subarray(macBytes)
  return builtin("node:crypto").timingSafeEqual(macOf(key, bytes, store), entry.subarray(0, macBytes)) ? bytes : undefined
}
