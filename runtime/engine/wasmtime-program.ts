/**
 * What runs in the process of the engine `wasmtime`, as text: Python, which drives the published wheel of the engine
 * (`python -c`). The guest's standard streams are the process's own; descriptor 3 is the channel of `program.ts`.
 */
export const wasmtimeProgram = String.raw`
import json, os, signal, struct, threading, time
from wasmtime import Config, Engine, ExitTrap, FuncType, Linker, Module, Store, Trap, TrapCode, ValType, WasiConfig, WasmtimeError

# The terminal's interrupt ends it, wherever it is.
signal.signal(signal.SIGINT, signal.SIG_DFL)
denied = {"wall": 0, "monotonic": 0, "random": 0}
memory = None
store = None


def read_exactly(length):
    parts = []
    while length > 0:
        part = os.read(3, min(length, 1 << 20))
        if not part:
            os._exit(1)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


# Never returns: what the guest left running ends here.
def answer(tag, rest=b""):
    pages = 0 if memory is None else memory.size(store)
    body = struct.pack("<B3xIIII", tag, pages, denied["wall"], denied["monotonic"], denied["random"]) + rest
    data = struct.pack("<I", len(body)) + body
    while data:
        data = data[os.write(3, data):]
    os._exit(0)


def text(error):
    return str(error).encode("utf-8", "replace")[:4096]


head, size = struct.unpack("<II", read_exactly(8))
request = json.loads(read_exactly(head))
binary = read_exactly(size)
config = Config()
config.epoch_interruption = True
config.wasm_threads = False
config.wasm_memory64 = False
config.wasm_relaxed_simd = False
config.max_wasm_stack = max(request["stackBytesMax"], 65536)
engine = Engine(config)
store = Store(engine)
store.set_limits(memory_size=request["memoryBytesMax"], table_elements=request["tableElementsMax"], instances=1, tables=16, memories=1)
store.set_epoch_deadline(1)


def watch(seconds):
    time.sleep(seconds)
    engine.increment_epoch()


# Nobody waits any more when the channel's other end is gone.
def mind():
    os.read(3, 1)
    os._exit(1)


threading.Thread(target=mind, daemon=True).start()
if request["deadlineMs"] is not None:
    threading.Thread(target=watch, args=[request["deadlineMs"] / 1000], daemon=True).start()

try:
    module = Module(engine, binary)
    wasi = WasiConfig()
    wasi.argv = request["args"]
    wasi.env = request["env"]
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for directory in request["directories"]:
        wasi.preopen_dir(directory["host"], directory["guest"], directory["isWritable"])
    store.set_wasi(wasi)
    linker = Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True
    names = {imported.module for imported in module.imports}

    def put(name, params, serve):
        for snapshot in ("wasi_snapshot_preview1", "wasi_unstable"):
            if snapshot in names:
                linker.define_func(snapshot, name, FuncType(params, [ValType.i32()]), serve)

    i32, i64 = ValType.i32(), ValType.i64()
    clocks = [("wall", request["wall"]), ("monotonic", request["monotonic"])]

    # The engine's own serves a program that is granted all of it; it cannot be called from here for one that is not.
    def clock(caller, number, precision, at):
        if number not in (0, 1):
            return 28
        name, granted = clocks[number]
        if not granted:
            denied[name] += 1
            return 76
        now = time.time_ns() if number == 0 else time.monotonic_ns()
        if number == 1 and not request["fine"]:
            now -= now % 100000
        caller["memory"].write(caller, struct.pack("<Q", now), at & 0xFFFFFFFF)
        return 0

    if not (request["wall"] and request["monotonic"] and request["fine"]):
        for snapshot in names & {"wasi_snapshot_preview1", "wasi_unstable"}:
            linker.define_func(snapshot, "clock_time_get", FuncType([i32, i64, i32], [i32]), clock, access_caller=True)

    def deny(name):
        def serve(*_):
            denied[name] += 1
            return 76

        return serve

    if not request["random"]:
        put("random_get", [i32, i32], deny("random"))
    if not request["monotonic"]:
        put("poll_oneoff", [i32, i32, i32, i32], deny("monotonic"))
    instance = linker.instantiate(store, module)
    exports = instance.exports(store)
    memory = exports.get("memory")
    if request["export"] != "_start" and "_initialize" in exports:
        exports["_initialize"](store)
    values = [int(value) if kind in ("i32", "i64") else float(value) for value, kind in zip(request["arguments"], request["params"])]
    value = exports[request["export"]](store, *values)
    kind = request.get("result")
    if kind is None:
        answer(0)
    answer(0, struct.pack({"i32": "<i4x", "i64": "<q", "f32": "<f4x", "f64": "<d"}[kind], value))
except ExitTrap as error:
    answer(1, struct.pack("<I", error.code & 0xFFFFFFFF))
except Trap as error:
    if error.trap_code == TrapCode.INTERRUPT:
        answer(3)
    answer(2, text(error.message.split("Caused by:")[-1].strip() if error.message else error))
except WasmtimeError as error:
    answer(4, text(error))
except Exception as error:
    answer(4, text(error))
`
