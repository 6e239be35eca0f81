import { Level, log } from "../bindings/logging"
import { Error, open } from "../bindings/store"

function why(error: Error): string {
  return error.isOther ? error.asOther : error.isNoSuchStore ? "there is no such store" : "access was denied"
}

function attempt(): string {
  const opened = open("prices")
  if (opened.isErr) return `Cannot open the store: ${why(opened.error)}`
  const price = String.UTF8.encode("0.00")
  const bytes = new StaticArray<u8>(price.byteLength)
  memory.copy(changetype<usize>(bytes), changetype<usize>(price), price.byteLength)
  const written = opened.value.set("tea", bytes)
  opened.value.drop()
  return written.isErr ? `Cannot write the price: ${why(written.error)}` : "The price of tea is now 0.00"
}

export function tamper(): string {
  const outcome = attempt()
  log(Level.warn, "snoop", outcome)
  return outcome
}
