/**
 * One small guest that does whatever a test tells it: every function of preview 1 under its own name, and its memory by
 * loads and stores. The same module runs under this host and under `node:wasi`, so that answers can be compared.
 * Signatures are those of witx, written down here apart from the host's.
 */
import { openSync } from "node:fs"
import { WASI } from "node:wasi"
import type { Plugin } from "../../host/mod.ts"
import { wat } from "./component-builder.ts"

/** `i`: i32, `I`: i64. All answer with an i32, but `proc_exit`. */
export const signatures: Readonly<Record<string, string>> = {
  args_get: "ii",
  args_sizes_get: "ii",
  environ_get: "ii",
  environ_sizes_get: "ii",
  clock_res_get: "ii",
  clock_time_get: "iIi",
  fd_advise: "iIIi",
  fd_allocate: "iII",
  fd_close: "i",
  fd_datasync: "i",
  fd_fdstat_get: "ii",
  fd_fdstat_set_flags: "ii",
  fd_fdstat_set_rights: "iII",
  fd_filestat_get: "ii",
  fd_filestat_set_size: "iI",
  fd_filestat_set_times: "iIIi",
  fd_pread: "iiiIi",
  fd_prestat_get: "ii",
  fd_prestat_dir_name: "iii",
  fd_pwrite: "iiiIi",
  fd_read: "iiii",
  fd_readdir: "iiiIi",
  fd_renumber: "ii",
  fd_seek: "iIii",
  fd_sync: "i",
  fd_tell: "ii",
  fd_write: "iiii",
  path_create_directory: "iii",
  path_filestat_get: "iiiii",
  path_filestat_set_times: "iiiiIIi",
  path_link: "iiiiiii",
  path_open: "iiiiiIIii",
  path_readlink: "iiiiii",
  path_remove_directory: "iii",
  path_rename: "iiiiii",
  path_symlink: "iiiii",
  path_unlink_file: "iii",
  poll_oneoff: "iiii",
  proc_raise: "i",
  sched_yield: "",
  random_get: "ii",
  sock_accept: "iii",
  sock_recv: "iiiiii",
  sock_send: "iiiii",
  sock_shutdown: "ii",
  proc_exit: "i",
}

const coreType = (letter: string): string => (letter === "I" ? "i64" : "i32")
const paramsOf = (letters: string): string => (letters === "" ? "" : ` (param ${[...letters].map(coreType).join(" ")})`)
const resultOf = (name: string): string => (name === "proc_exit" ? "" : " (result i32)")

/** The guest, importing `names` from `module`. */
export const machineModule = (module = "wasi_snapshot_preview1", names: ReadonlyArray<string> = Object.keys(signatures)): Promise<Uint8Array> =>
  wat(`(module
    ${names.map((name) => `(import "${module}" "${name}" (func $${name}${paramsOf(signatures[name] as string)}${resultOf(name)}))`).join("\n")}
    (memory (export "memory") 2)
    (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "store8") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
    (func (export "load64") (param i32) (result i64) (i64.load (local.get 0)))
    (func (export "store64") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
    ${names
      .map((name) => {
        const letters = signatures[name] as string
        const args = [...letters].map((_, i) => `(local.get ${i})`).join(" ")
        return `(func (export "${name}")${paramsOf(letters)}${resultOf(name)} (call $${name} ${args}))`
      })
      .join("\n")})`)

type Value = number | bigint

/** A running guest. Addresses below 1024 are for whoever uses `Guest`'s own methods. */
export class Machine {
  readonly #call: (name: string, args: ReadonlyArray<Value>) => Value | undefined

  constructor(call: (name: string, args: ReadonlyArray<Value>) => Value | undefined) {
    this.#call = call
  }

  /** The errno that a function answers. */
  call(name: string, ...args: ReadonlyArray<Value>): number {
    return this.#call(
      name,
      args.map((arg, i) => (signatures[name]?.[i] === "I" ? BigInt.asIntN(64, BigInt(arg)) : Number(arg) | 0)),
    ) as number
  }

  read(at: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => this.#call("load8", [at + i]) as number)
  }

  write(at: number, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) this.#call("store8", [at + i, byte])
  }

  u64(at: number): bigint {
    return BigInt.asUintN(64, this.#call("load64", [at]) as bigint)
  }

  setU64(at: number, value: bigint): void {
    this.#call("store64", [at, BigInt.asIntN(64, value)])
  }

  u32(at: number): number {
    return Number(this.u64(at) & 0xffff_ffffn)
  }

  setU32(at: number, ...values: ReadonlyArray<number>): void {
    for (const [i, value] of values.entries()) this.write(at + i * 4, new Uint8Array(Uint32Array.of(value).buffer))
  }

  text(at: number, length: number): string {
    return new TextDecoder().decode(this.read(at, length))
  }

  /** Writes text to an address and answers with its length in bytes. */
  put(at: number, text: string): number {
    const bytes = new TextEncoder().encode(text)
    this.write(at, bytes)
    return bytes.length
  }
}

/** The guest under this host: `plugin` is loaded with instances that are kept. */
export const machineOf = (plugin: Plugin): Machine => new Machine((name, args) => plugin.callSync(name as never, args as never) as Value | undefined)

export interface NodeOptions {
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly preopens?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly stdout?: string
  readonly version?: "preview1" | "unstable"
}

/** The same guest under `node:wasi`; standard streams are files, which it closes itself when it is collected. */
export async function nodeMachine(bytes: Uint8Array, { args = [], env = {}, preopens = {}, stdin, stdout, version = "preview1" }: NodeOptions) {
  const fds = [openSync(stdin ?? "/dev/null", "r"), openSync(stdout ?? "/dev/null", "w")] as const
  const wasi = new WASI({ version, args: [...args], env: { ...env }, preopens: { ...preopens }, stdin: fds[0], stdout: fds[1], stderr: fds[1] })
  const { instance } = await WebAssembly.instantiate(bytes as BufferSource, wasi.getImportObject() as WebAssembly.Imports)
  wasi.initialize(instance)
  const machine = new Machine((name, values) => (instance.exports[name] as (...of: ReadonlyArray<Value>) => Value | undefined)(...values))
  return machine
}
