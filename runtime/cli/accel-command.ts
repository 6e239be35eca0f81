/** The commands under `stele accel`, their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Option from "effect/Option"
import { action, port, text } from "./flag.ts"

const mode = text("mode", "MODE", "bitexact (default): the same bits everywhere; fast: may round differently")
const device = text("device", "NAME", "This one alone, as stele accel status names it")

const status = Command.make(
  "status",
  { mode },
  action(async (flags) => (await import("./accel.ts")).status(flags)),
).pipe(
  Command.withDescription("List devices that compute, those that are not there and why, and what each was measured to do."),
  Command.withShortDescription("List devices, and what they were measured to do"),
  Command.withExamples([{ command: "stele accel status" }, { command: "stele accel status --json" }]),
)

const explain = Command.make(
  "explain",
  {
    operation: Argument.String("OPERATION").pipe(
      Argument.withDescription("Such as matmul; without it, all are listed"),
      Argument.optional,
      Argument.map(Option.getOrUndefined),
    ),
    sizes: Argument.String("SIZES").pipe(Argument.withDescription("Numbers in the order of its parameters, or NAME=NUMBER"), Argument.variadic()),
    mode,
    device,
  },
  action(async (flags) => (await import("./accel.ts")).explainChoice(flags)),
).pipe(
  Command.withDescription("Say which device an operation would run on, how long that is predicted to take, and why each other device was not chosen."),
  Command.withShortDescription("Say which device would serve, and why"),
  Command.withExamples([
    { command: "stele accel explain" },
    { command: "stele accel explain matmul 512 512 512" },
    { command: "stele accel explain conv2d 64 64 56 56 padding=1 --mode fast", description: "Parameters with a default may be left out, or named" },
  ]),
)

const calibrate = Command.make(
  "calibrate",
  { mode, device },
  action(async (flags) => (await import("./accel.ts")).calibrateDevices(flags)),
).pipe(
  Command.withDescription("Measure devices anew, about 50 ms each, and keep what was found; what real runs taught is forgotten."),
  Command.withShortDescription("Measure devices anew"),
  Command.withExamples([{ command: "stele accel calibrate" }, { command: "stele accel calibrate --device simd --json" }]),
)

const measure = Command.make(
  "measure",
  {
    operation: Argument.String("OPERATION").pipe(Argument.withDescription("Such as matmul")),
    sizes: text("sizes", "LIST", "Sizes, such as 64,128,256 (default: doublings)"),
    output: text("output", "FILE", "A chart of it, as SVG"),
    mode,
  },
  action(async (flags) => (await import("./accel.ts")).measure(flags)),
).pipe(
  Command.withDescription("Measure an operation by size on every device that can, and say from which size on which is predicted to serve."),
  Command.withShortDescription("Measure an operation by size; draw it"),
  Command.withExamples([{ command: "stele accel measure matmul" }, { command: "stele accel measure add --sizes 1024,65536,1048576 --output add.svg" }]),
)

const serve = Command.make(
  "serve",
  {
    port: port("Where it listens (default 8080; 0: any that is free)"),
    host: text("host", "ADDRESS", "The address it listens on (default 127.0.0.1: this machine alone)"),
    operations: text("operations", "LIST", "What is measured (default matmul,conv2d,softmax,add)"),
    mode: text("mode", "MODE", "fast (default): every device; bitexact: those that have the same bits everywhere"),
  },
  action(async (flags) => (await import("./accel-serve.ts")).serveAccelerator(flags)),
).pipe(
  Command.withDescription(
    "Serve a page of this machine's devices: their states, charts of measured GFLOP/s and GB/s by size, and who serves from which size on. It is measured at the start, and when the page's button asks for it. A browser takes the token of stele up as a password, under any name.",
  ),
  Command.withShortDescription("Serve a page of devices and charts"),
  Command.withExamples([{ command: "stele accel serve --port 8080" }, { command: "stele accel serve --operations matmul,attention" }]),
)

export const accel = Command.make("accel").pipe(
  Command.withDescription("Devices that compute: which there are, how fast they are, and which would be chosen."),
  Command.withShortDescription("Devices that compute, and the choice between them"),
  Command.withSubcommands([status, explain, calibrate, measure, serve]),
)
