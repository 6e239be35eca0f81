/** The host: loads components into plugins and closes them. Promises; `stele/effect` offers the same as services and layers. */
import { ConfigError } from "../schemas/error/config.ts"
import { LimitError } from "../schemas/error/limit.ts"
import { PluginError } from "../schemas/error/plugin.ts"
import { VerifyError } from "../schemas/error/verify.ts"
import type { UntypedExports } from "../schemas/wit/exports.ts"
import type { Engine } from "./call/engine.ts"
import type { Executor, Nesting } from "./call/executor.ts"
import { InlineExecutor } from "./call/inline.ts"
import type { Watchdog } from "./call/watchdog.ts"
import type * as Isolation from "./isolate/mod.ts"
import type { Spares } from "./isolate/spare.ts"
import { type Linked, prepare, PreparedCache } from "./link/prepare.ts"
import type { ModuleCache } from "./meter/cache.ts"
import { injectedNameBytes } from "./meter/needs.ts"
import { digestPattern, type LoadOptions, rejectUnknown, type ResolvedOptions, resolveLoadOptions } from "./options.ts"
import { type Edition, Plugin } from "./plugin.ts"
import { platform } from "./platform/mod.ts"
import { contentKey, memoryPorts, type Ports } from "./port/mod.ts"

export interface HostOptions {
  /** Ports that differ from the ones in memory. */
  readonly ports?: Partial<Ports>
  /** Keep rewritten modules in the user's cache folder between processes. Default true; `false` keeps them in memory only. */
  readonly cache?: boolean
  /** How `deadline` stops a guest: by the watchdog's epoch, or by fuel slices. Default: what costs less on this engine, slices on Bun. */
  readonly stop?: "epoch" | "fuel slices"
  /**
   * Files and folders of the machine that no plugin is given, nor any folder that holds or lies in one, whatever its grants
   * say. A function is asked when a plugin is given a directory. The cache's folder is one of them unasked.
   */
  readonly guarded?: ReadonlyArray<string> | (() => Promise<ReadonlyArray<string>>)
  /** Engines besides `js`, each loaded when a plugin first asks for it. */
  readonly engines?: Engines
  /** Called once, when the host and its plugins are closed: the place to let go of what the ports hold. */
  readonly onClose?: () => void | Promise<void>
}

export type Engines = { readonly [K in "node-wasi" | "wasmtime"]?: () => Promise<Engine> }

const hostKeys = ["ports", "cache", "stop", "guarded", "engines", "onClose"]

/** A component: its bytes, a path, a `file:` or `http(s):` URL, or `sha256:…` of bytes in this host's blob port. */
export type Source = string | URL | Uint8Array | ArrayBuffer | AssembledSource

/** Several sources that are one plugin, such as the modules of an Extism manifest. */
export interface AssembledSource {
  /** The plugin's bytes, from what `read` answers for each source; `digest` is checked where it is given. */
  assemble(read: (source: Exclude<Source, AssembledSource>, digest?: string) => Promise<Uint8Array>): Promise<Uint8Array>
}

const registryPattern = /^[a-z0-9][a-z0-9-]*(?:[/:][a-z0-9-]+)*@[\^~]?\d[\w.+-]*$/i

/** Import module name of the injected meter imports: 110 random bits, so that no guest can name it. Made with the first host. */
let injectedModule = ""
const nameInjected = (): string =>
  (injectedModule ||= Array.from(platform.randomBytes(injectedNameBytes), (byte) => "abcdefghijklmnopqrstuvwxyz012345"[byte & 31]).join(""))

/** Rewritten modules kept on disk, and kept compiled in memory, in bytes of their binaries. */
const diskBytesMax = 1024 ** 3
const moduleBytesMax = 256 * 1024 ** 2

/** Calls on the stack of this thread, over all hosts. */
const nesting: Nesting = { depth: 0, deadlineAtMs: Infinity }

export class Host implements AsyncDisposable {
  readonly ports: Ports
  readonly #watchdog: Watchdog | undefined
  readonly #prepared = new PreparedCache()
  readonly #isOnDisk: boolean
  readonly #guarded: () => Promise<ReadonlyArray<string>>
  readonly #engines: Engines
  readonly #onClose: HostOptions["onClose"]
  #modules: Promise<ModuleCache> | undefined
  readonly #plugins = new Set<Plugin>()
  #isolation: Promise<{ readonly code: typeof Isolation; readonly spares: Spares }> | undefined
  #closing: Promise<void> | undefined

  private constructor(ports: Ports, dog: Watchdog | undefined, isOnDisk: boolean, { guarded = [], engines = {}, onClose }: HostOptions) {
    this.ports = ports
    this.#watchdog = dog
    this.#isOnDisk = isOnDisk
    this.#guarded = typeof guarded === "function" ? guarded : async () => guarded
    this.#engines = engines
    this.#onClose = onClose
  }

  /** Opens a host. Everything is denied, and calls have a deadline, unless a load says otherwise. */
  static async open(options: HostOptions = {}): Promise<Host> {
    rejectUnknown(options, hostKeys, "")
    if (options.stop !== undefined && options.stop !== "epoch" && options.stop !== "fuel slices") {
      throw new ConfigError("Option", { option: "stop", expected: '"epoch" or "fuel slices"', actual: String(options.stop) })
    }
    // The thread boots while the first component is read and compiled. A page that is not isolated has no shared memory, and needs none of it.
    const isWatched = (options.stop ?? platform.stop) === "epoch" && typeof SharedArrayBuffer !== "undefined"
    const dog = isWatched ? (await platform.loadWatchdog()).watchdog(platform) : undefined
    return new Host(memoryPorts(options.ports), dog, options.cache !== false, options)
  }

  /**
   * Loads a component: decoded, checked, linked to its grants, instrumented, compiled. No guest code runs.
   * @throws VerifyError for bytes it does not accept; CapabilityError for imports without a grant, naming it;
   * LimitError; PluginError `NotFound`, `NotBuilt`, `Refused`; ConfigError for options
   */
  async load<E extends object = UntypedExports>(source: Source, options: LoadOptions = {}): Promise<Plugin<E>> {
    const edition = await this.#edition(source, options)
    const plugin = new Plugin<E>(
      edition,
      (next, changed, old) =>
        this.#edition(next, { ...old.given, grants: old.linked.grants.list(), digest: undefined, ...changed, tenant: old.linked.tenant } as LoadOptions),
      (closed) => this.#plugins.delete(closed),
    )
    this.#plugins.add(plugin as unknown as Plugin)
    return plugin
  }

  async #edition(source: Source, options: LoadOptions): Promise<Edition> {
    if (this.#closing !== undefined) throw new PluginError("Closed", { what: "the host" })
    const resolved = resolveLoadOptions(options)
    const engine = resolved.engine === "js" ? undefined : this.#engines[resolved.engine]
    if (resolved.engine !== "js" && engine === undefined)
      throw new PluginError("NotBuilt", { asked: `engine: "${resolved.engine}"`, exists: ["js", ...Object.keys(this.#engines)].map((name) => `"${name}"`) })
    const bytes = await this.#read(source, resolved.limits.componentBytesMax)
    const digest = `sha256:${await platform.sha256(bytes)}`
    if (resolved.digest !== undefined) this.#check(resolved.digest, digest)
    const { admission } = this.ports
    if (admission !== undefined) {
      const decision = await admission.load({ plugin: digest, tenant: resolved.tenant, bytes: bytes.length, grants: resolved.grants })
      if (!decision.admit) throw new PluginError("Refused", { reason: decision.reason, admissionCode: decision.code })
    }
    const isolating = engine === undefined && resolved.isolation !== "inline" ? this.#beginIsolate(resolved) : undefined
    isolating?.catch(() => undefined)
    const linked = await prepare(bytes, digest, resolved, {
      ports: this.ports,
      watchdog: this.#watchdog,
      nowMs: platform.nowMs,
      injected: nameInjected(),
      nesting,
      prepared: this.#prepared,
      modules: () => (this.#modules ??= this.#openModules()),
      sha256: platform.sha256,
      loadRewriter: platform.loadRewriter,
      loadWaiting: () => import("./call/waiting.ts"),
      loadForeign: () => import("./foreign/mod.ts"),
      loadAsync: () => import("./async/mod.ts"),
      loadFileSystem: async () => {
        const own = await platform.loadFileSystem()
        return own === undefined ? undefined : { ...own, guarded: [...own.guarded, ...(await this.#guarded())] }
      },
    })
    try {
      if (this.#closing !== undefined) throw new PluginError("Closed", { what: "the host" })
      const executor =
        engine === undefined
          ? isolating === undefined
            ? new InlineExecutor(linked, resolved)
            : await (
                await isolating
              )(linked, bytes)
          : await (await engine()).open({ linked, options: resolved, loadRewriter: platform.loadRewriter })
      if (this.#closing !== undefined) {
        await executor.close()
        throw new PluginError("Closed", { what: "the host" })
      }
      return { linked, given: options, options: resolved, executor, callees: new Map(), calls: 0 }
    } catch (error) {
      for (const { directory } of linked.wasi.preopens) directory.close()
      throw error
    }
  }

  /** Puts a component into the content store; load it by the digest returned. */
  async store(bytes: Uint8Array): Promise<string> {
    // Copied: nobody can change them between digest and storing.
    const copy = Uint8Array.from(bytes)
    const digest = `sha256:${await platform.sha256(copy)}`
    await this.ports.blob.put(contentKey(digest), copy)
    return digest
  }

  /** Plugins that are loaded now. */
  get plugins(): ReadonlyArray<Plugin> {
    return [...this.#plugins]
  }

  /** Closes every plugin; later loads are refused. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    try {
      for (const plugin of this.#plugins) await plugin.close()
      this.#prepared.clear()
      await (await this.#isolation?.catch(() => undefined))?.spares.close()
      await (await this.#modules)?.flush()
    } finally {
      await this.#onClose?.()
    }
  }

  /** Starts a thread or process, which boots while what it is to run is linked. */
  async #beginIsolate(options: ResolvedOptions): Promise<(linked: Linked, bytes: Uint8Array) => Promise<Executor>> {
    const { isolation } = options
    const { code, spares } = await (this.#isolation ??= this.#openIsolation(isolation))
    spares.begin(isolation as Isolation.Kind, { heapBytesMax: options.limits.residentBytesMax })
    return (linked, bytes) => code.IsolateExecutor.open(linked, options, bytes, spares)
  }

  async #openIsolation(isolation: string) {
    const isolates = await platform.loadIsolates(this.#isOnDisk ? () => platform.openCache(diskBytesMax) : undefined)
    if (isolates === undefined) {
      const { IsolateError } = await import("../schemas/error/isolate.ts")
      throw new IsolateError("Unavailable", { isolation, platform: platform.name })
    }
    const code = await import("./isolate/mod.ts")
    return { code, spares: new code.Spares(isolates) }
  }

  async #openModules(): Promise<ModuleCache> {
    const store = this.#isOnDisk ? await platform.openCache(diskBytesMax) : undefined
    const { createModuleCache, sealedIn } = await platform.loadModuleCache()
    const disk = store === undefined ? undefined : sealedIn?.(store, platform)
    return createModuleCache({ memoryBytesMax: moduleBytesMax, injectedName: nameInjected(), disk, digests: platform })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The bytes, copied: nobody can change them between check and use. */
  #check(expected: string, actual: string): void {
    if (actual !== expected) throw new VerifyError("Digest", { expected, actual })
  }

  async #read(source: Source, bytesMax: number): Promise<Uint8Array> {
    if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
      let view: Uint8Array
      try {
        view = source instanceof ArrayBuffer ? new Uint8Array(source) : new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
      } catch (cause) {
        throw new ConfigError("Option", { option: "source", expected: "bytes that are there", actual: "a detached buffer" }, { cause })
      }
      if (view.length > bytesMax) throw new LimitError("componentBytesMax", { limit: bytesMax, actual: view.length })
      return new Uint8Array(view)
    }
    if (source instanceof URL) return platform.readBytes(source, bytesMax)
    if (typeof source === "object" && source !== null && typeof source.assemble === "function") {
      let left = bytesMax
      const bytes = await source.assemble(async (part, digest) => {
        const read = await this.#read(part, left)
        left -= read.length
        if (digest !== undefined) this.#check(digest, `sha256:${await platform.sha256(read)}`)
        return read
      })
      return this.#read(bytes, bytesMax)
    }
    if (typeof source !== "string")
      throw new ConfigError("Option", { option: "source", expected: "bytes, a path, a URL or a digest", actual: source === null ? "null" : typeof source })
    if (source.startsWith("sha256:")) {
      if (!digestPattern.test(source))
        throw new ConfigError("Option", { option: "source", expected: "sha256: and 64 lowercase hexadecimal digits", actual: JSON.stringify(source) })
      const stored = await this.ports.blob.get(contentKey(source))
      if (stored === undefined) throw new PluginError("NotFound", { source })
      const bytes = Uint8Array.from(stored)
      // The store is not trusted to hold what its key says.
      if (`sha256:${await platform.sha256(bytes)}` !== source) throw new PluginError("NotFound", { source: `${source} (the stored bytes have another digest)` })
      return bytes
    }
    if (registryPattern.test(source) && !source.endsWith(".wasm")) {
      throw new PluginError("NotBuilt", { asked: `a package name such as "${source}"`, exists: ["paths", "URLs", "bytes", "sha256 digests"] })
    }
    return platform.readBytes(source, bytesMax)
  }
}
