/**
 * What runs in the process of the engine `node-wasi`, as text: so it starts from a checkout, a bundle and a single-file
 * binary alike (`node --eval`). The guest's standard streams are the process's own; descriptor 3 is the channel of
 * `program.ts`.
 */
export const nodeWasiProgram = String.raw`
const fs = require("node:fs")
const { WASI } = require("node:wasi")
const denied = { wall: 0, monotonic: 0, random: 0 }
let memory

function readExactly(length) {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const count = fs.readSync(3, bytes, at, length - at, null)
    if (count === 0) process.exit(1)
    at += count
  }
  return bytes
}

/** Never returns: what the guest left running ends here. */
function answer(tag, rest = Buffer.alloc(0)) {
  const body = Buffer.alloc(20)
  body.writeUInt8(tag, 0)
  body.writeUInt32LE(memory === undefined ? 0 : memory.buffer.byteLength / 65536, 4)
  body.writeUInt32LE(denied.wall, 8)
  body.writeUInt32LE(denied.monotonic, 12)
  body.writeUInt32LE(denied.random, 16)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(20 + rest.length, 0)
  const bytes = Buffer.concat([length, body, rest])
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(3, bytes, at)
  process.exit(0)
}
const text = (error) => Buffer.from(String(error instanceof Error ? error.message : error)).subarray(0, 4096)

function exit(status) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(status >>> 0, 0)
  answer(1, bytes)
}

const lengths = readExactly(8)
const request = JSON.parse(readExactly(lengths.readUInt32LE(0)).toString())
const bytes = readExactly(lengths.readUInt32LE(4))
// Nobody waits any more when the channel's other end is gone: a thread minds it, since the guest has this one.
new (require("node:worker_threads").Worker)(
  'new (require("node:net").Socket)({ fd: 3 }).on("close", () => process.kill(process.pid, "SIGKILL")).resume()',
  { eval: true, env: {} },
).unref()
try {
  const module = new WebAssembly.Module(bytes)
  const wanted = WebAssembly.Module.imports(module).map((one) => one.module)
  const version = wanted.includes("wasi_unstable") ? "unstable" : "preview1"
  const preopens = Object.fromEntries(request.directories.map(({ guest, host }) => [guest, host]))
  const wasi = new WASI({ version, args: request.args, env: Object.fromEntries(request.env), preopens })
  const [name, functions] = Object.entries(wasi.getImportObject())[0]
  const notcapable = 76
  const served = { ...functions, proc_exit: exit, proc_raise: () => 58 }
  served.clock_time_get = (id, precision, at) => {
    if (id > 1) return 28
    const clock = id === 0 ? "wall" : "monotonic"
    if (!request[clock]) {
      denied[clock]++
      return notcapable
    }
    const error = functions.clock_time_get(id, precision, at)
    if (error === 0 && id === 1 && !request.fine) {
      const view = new DataView(memory.buffer)
      const now = view.getBigUint64(at >>> 0, true)
      view.setBigUint64(at >>> 0, now - (now % 100000n), true)
    }
    return error
  }
  served.clock_res_get = (id, at) => (id > 1 ? 28 : functions.clock_res_get(id, at))
  if (!request.random)
    served.random_get = () => {
      denied.random++
      return notcapable
    }
  if (!request.monotonic)
    served.poll_oneoff = () => {
      denied.monotonic++
      return notcapable
    }
  const imports = { [name]: served }
  if (request.caps !== undefined) {
    const budget = (value) => new WebAssembly.Global({ value: "i32", mutable: true }, value)
    const { pages, elements } = request.caps
    imports[request.caps.module] = { ...(pages === undefined ? {} : { pages: budget(pages) }), ...(elements === undefined ? {} : { elements: budget(elements) }) }
  }
  let instance
  try {
    instance = new WebAssembly.Instance(module, imports)
  } catch (error) {
    answer(error instanceof WebAssembly.RuntimeError ? 2 : 4, text(error))
  }
  memory = instance.exports.memory
  try {
    if (request.export === "_start") {
      wasi.start(instance)
      answer(0)
    }
    wasi.initialize(instance)
    const args = request.arguments.map((value, i) => (request.params[i] === "i64" ? BigInt(value) : Number(value)))
    const value = instance.exports[request.export](...args)
    const rest = Buffer.alloc(8)
    if (request.result === "i32") rest.writeInt32LE(value, 0)
    else if (request.result === "i64") rest.writeBigInt64LE(value, 0)
    else if (request.result === "f32") rest.writeFloatLE(value, 0)
    else if (request.result === "f64") rest.writeDoubleLE(value, 0)
    answer(0, rest)
  } catch (error) {
    answer(2, text(error))
  }
} catch (error) {
  answer(4, text(error))
}
`
