/**
 * The trap that no guest can swallow. `catch_all` and `try_table … catch_all` catch whatever JavaScript throws through
 * an import, but no trap the engine raises itself (WebAssembly core, "Traps": not exceptions, not observable by the
 * program). So a host function never throws to stop its guest: it records why, poisons the call and ends here.
 */

// (module (func (export "t") unreachable)), written out: so little needs no assembler.
const bytes = Uint8Array.of(
  0x00,
  0x61,
  0x73,
  0x6d,
  0x01,
  0x00,
  0x00,
  0x00,
  0x01,
  0x04,
  0x01,
  0x60,
  0x00,
  0x00, // type 0: [] -> []
  0x03,
  0x02,
  0x01,
  0x00, // function 0 of type 0
  0x07,
  0x05,
  0x01,
  0x01,
  0x74,
  0x00,
  0x00, // export "t"
  0x0a,
  0x05,
  0x01,
  0x03,
  0x00,
  0x00,
  0x0b, // unreachable, end
)

// Made at import, not at first use: a trap may be needed where the stack has no room left to compile in.
const unreachable = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports["t"] as () => never

/**
 * Traps: raises a `WebAssembly.RuntimeError` from inside an engine frame. Called by a host function, it unwinds the
 * guest past every handler up to the JavaScript that called the guest.
 */
export function trap(): never {
  return unreachable()
}
