/** The devices of a machine behind one accelerator: those that are opened by name, those that are not there, and a search that is the same on all. */
import t from "tap"
import { openAccelerator } from "../../../runtime/accel/mod.ts"
import { fpgaAbsence } from "../../../runtime/accel/fpga/mod.ts"

const utf8 = new TextEncoder()
const text = utf8.encode("a needle in a haystack, a needle again ".repeat(50))
const literals = [utf8.encode("needle"), utf8.encode("hay")]

const absent = await fpgaAbsence()
t.test("a simulated device is opened where it is named, and finds what others find", { skip: absent?.reason ?? false }, async (t) => {
  await using accelerator = await openAccelerator({ memoryPath: undefined, webGpu: false })
  const fpga = () => accelerator.status().find(({ name }) => name === "fpga")
  t.match(fpga(), { state: "closed", reason: "opened when it is named: it is simulated" })
  const expected = await accelerator.search(text, literals)
  t.not(expected.receipt.device, "fpga", "it is never chosen")
  t.equal(expected.matches.length, 150)
  const found = await accelerator.search(text, literals, { device: "fpga" })
  t.equal(found.receipt.device, "fpga")
  t.same(found.matches, expected.matches)
  t.match(fpga(), { state: "ready", reason: "it is simulated", description: /^simulated by .* cycles, [\d.]+ bytes a cycle; clock: / })
  await t.rejects(accelerator.search(text, [utf8.encode("a literal of more than sixteen bytes")], { device: "fpga" }), {
    message: /fpga: a literal of 36 bytes, over its 16/,
  })
  await t.rejects(accelerator.run("relu", { n: 1 }, { x: accelerator.buffer([1]) }, { device: "fpga" }), { message: /fpga: it searches texts only/ })
})

t.test("where no simulator is, it is absent, and says what to install", async (t) => {
  t.match(await fpgaAbsence("/nowhere"), { state: "absent", reason: /no simulator of Verilog .*install verilator with make and g\+\+, or iverilog/ })
})
