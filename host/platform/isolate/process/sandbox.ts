/**
 * What the system adds below the engine's own permissions, where it is there and works. Each way is tried once in a program, with what
 * every process of it gets; nothing is looked for in PATH, which the program that embeds the host may have from anybody.
 */
import { builtin } from "../../server.ts"
import { residentBytes } from "./usage.ts"
import { commandOf, isSingleFile, type Command } from "./command.ts"
import { endGroup, startGroup } from "./group.ts"

export interface SandboxReport {
  /** Has the engine permissions of its own, and is given none? Bun has not. */
  readonly permissions: boolean
  /** `prlimit` of util-linux: no core files, 64 descriptors; around Node and Bun no file is written, too. */
  readonly prlimit: boolean
  /**
   * Bubblewrap: namespaces of its own, no network, no capability, and of the file system only the system's libraries, the engine and
   * its program, to read. It ends with the host.
   */
  readonly bubblewrap: boolean
  /** Where that does not work, `setpriv` of util-linux: no capability, no new privilege, and it ends with the host. */
  readonly setpriv: boolean
  /** Are descriptors closed that the host itself inherited or opened for its children? Else such a host starts no process. */
  readonly descriptors: boolean
  /** Is resident memory looked at while a call runs? It needs procfs. */
  readonly residentMemory: boolean
}

/** Started instead of a command: the same command, confined. */
export interface Confined {
  readonly file: string
  readonly args: ReadonlyArray<string>
}

/** Where a system keeps its tools. */
const folders = ["/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"]
/** One that answers later counts as not there. A machine that is busy starts an engine within seconds, and must not lose its sandbox for that. */
const toolMsMax = 30_000

const globals = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }

/** An isolate has three descriptors, and its engine some twenty. Deno writes into a folder of its own when it starts. */
const limits = ["--core=0", "--nofile=64", ...(globals.Deno === undefined ? ["--fsize=0"] : [])]
const privileges = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL"]
/** What an engine is linked with. */
const libraries = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store"]
/** Closes what it was started with, but for the three standard ones, and becomes what follows. Shells that read one digit only fail at the first line. */
const closing =
  'exec 50</dev/null 50<&-; for d in /proc/self/fd/* /dev/fd/*; do n=${d##*/}; [ "$n" -gt 2 ] 2>/dev/null && eval "exec $n<&-"; done; unset PWD OLDPWD SHLVL; exec "$@"'

const succeeds = (file: string, args: ReadonlyArray<string>): Promise<boolean> =>
  new Promise((resolve) => {
    try {
      const child = startGroup(file, args, {}, "ignore")
      const timer = setTimeout(() => endGroup(child), toolMsMax)
      const tell = (succeeded: boolean): void => {
        clearTimeout(timer)
        resolve(succeeded)
      }
      child.once("error", () => tell(false))
      child.once("exit", (status) => tell(status === 0))
    } catch {
      resolve(false)
    }
  })

/** The path of a tool that works when it is given `args`. */
async function working(name: string, args: ReadonlyArray<string>): Promise<string | undefined> {
  for (const folder of folders) if (await succeeds(`${folder}/${name}`, args)) return `${folder}/${name}`
  return undefined
}

const bound = (path: string): ReadonlyArray<string> => ["--ro-bind", path, path]

/** `reads`: what of the file system the command needs besides the system's libraries. */
const namespaces = (reads: ReadonlyArray<string>, env: Command["env"]): ReadonlyArray<string> => [
  ...["--clearenv", ...Object.entries(env).flatMap(([name, value]) => ["--setenv", name, value])],
  ...["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
  ...libraries.flatMap((path) => ["--ro-bind-try", path, path]),
  ...["--proc", "/proc", "--dev", "/dev", "--chdir", "/"],
  ...reads.flatMap(bound),
  ...(globals.Deno === undefined ? [] : ["--size", String(16 << 20), "--tmpfs", "/deno", "--setenv", "DENO_DIR", "/deno"]),
  ...["--remount-ro", "/"],
]

/** What was found, and how a command is confined by it. */
export class Sandbox {
  readonly report: SandboxReport
  readonly #prlimit: string | undefined
  readonly #bubblewrap: string | undefined
  readonly #setpriv: string | undefined
  readonly #shell: string | undefined

  constructor(tools: { readonly [K in "prlimit" | "bubblewrap" | "setpriv" | "shell"]: string | undefined }, residentMemory: boolean) {
    this.#prlimit = tools.prlimit
    this.#bubblewrap = tools.bubblewrap
    this.#setpriv = tools.setpriv
    this.#shell = tools.shell
    this.report = {
      permissions: globals.Bun === undefined,
      prlimit: tools.prlimit !== undefined,
      bubblewrap: tools.bubblewrap !== undefined,
      setpriv: tools.setpriv !== undefined,
      descriptors: tools.shell !== undefined,
      residentMemory,
    }
  }

  /** Does the system end a process when this program ends, whatever that does? */
  get endsWithHost(): boolean {
    return this.#bubblewrap !== undefined || this.#setpriv !== undefined
  }

  /** For people: what is in force around each process. */
  get confinement(): ReadonlyArray<string> {
    const { permissions, prlimit, bubblewrap, setpriv, residentMemory } = this.report
    return [
      ...(permissions ? ["engine permissions"] : []),
      ...(prlimit ? ["prlimit"] : []),
      ...(bubblewrap ? ["bubblewrap"] : setpriv ? ["setpriv"] : []),
      ...(residentMemory ? ["resident memory"] : []),
    ]
  }

  /** @throws Error where descriptors would reach the process and nothing here closes them */
  confine({ file, args, reads, env }: Command): Confined {
    let all = [file, ...args]
    if (this.#bubblewrap !== undefined) all = [this.#bubblewrap, ...namespaces([file, ...reads], env), "--", ...all]
    else if (this.#setpriv !== undefined) all = [this.#setpriv, ...privileges, "--", ...all]
    if (this.#prlimit !== undefined) all = [this.#prlimit, ...limits, ...all]
    const open = inheritable()
    if (open === undefined || open.length > 0) {
      if (this.#shell !== undefined) all = [this.#shell, "-c", closing, this.#shell, ...all]
      else if (open !== undefined) throw new Error(`descriptors ${open.join(", ")} of the host would reach it, and there is no shell here that closes them`)
    }
    const [first = file, ...rest] = all
    return { file: first, args: rest }
  }
}

/** `O_CLOEXEC` of Linux, as in `/proc/self/fdinfo`. */
const closeOnExec = 0o2_000_000

/** Descriptors of this program that a program which it starts would have, too; undefined where that cannot be told. */
export function inheritable(): ReadonlyArray<number> | undefined {
  if (process.platform === "win32") return []
  const fs = builtin("node:fs")
  const found: Array<number> = []
  try {
    for (const name of fs.readdirSync("/proc/self/fdinfo")) {
      if (Number(name) <= 2) continue
      try {
        const flags = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${name}`, "latin1"))?.[1]
        if (flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0) found.push(Number(name))
      } catch {
        // Closed meanwhile: the one that the folder was read with is.
      }
    }
    return found
  } catch {
    return undefined
  }
}

/** Nothing where `first` is there. */
const instead = async <A>(first: Promise<A | undefined> | undefined, then: () => Promise<A | undefined>): Promise<A | undefined> =>
  (await first) === undefined ? then() : undefined

async function trySandbox(): Promise<Sandbox> {
  if (process.platform === "win32") return new Sandbox({ prlimit: undefined, bubblewrap: undefined, setpriv: undefined, shell: undefined }, false)
  const { file } = commandOf()
  const isLinux = process.platform === "linux"
  // The engine itself: its libraries may lie elsewhere. A single file answers for itself much later.
  const engine = isSingleFile() ? ["true"] : [file, "--version"]
  // What stands in for another is tried where that is not there: each try is a process more before the first plugin's.
  const namespaced = isLinux ? working("bwrap", [...namespaces([file], {}), "--", ...engine]) : undefined
  const [prlimit, bubblewrap, setpriv, shell] = await Promise.all([
    isLinux ? working("prlimit", [...limits, "true"]) : undefined,
    namespaced,
    isLinux ? instead(namespaced, () => working("setpriv", [...privileges, "--", "true"])) : undefined,
    working("bash", ["-c", closing, "bash", "true"]).then((found) => found ?? working("sh", ["-c", closing, "sh", "true"])),
  ])
  return new Sandbox({ prlimit, bubblewrap, setpriv, shell }, residentBytes(process.pid) !== undefined)
}

let known: Promise<Sandbox> | undefined

/** What this system has, tried once. */
export const sandbox = (): Promise<Sandbox> => (known ??= trySandbox())

/** For doctor. */
export const sandboxReport = async (): Promise<SandboxReport> => (await sandbox()).report
