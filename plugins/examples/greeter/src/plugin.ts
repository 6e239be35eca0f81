import { Greeting, Visitor } from "../bindings/api"
import { Level, log } from "../bindings/logging"
import { err, ok, Result } from "../bindings/runtime"
import { Error, open } from "../bindings/store"

function failed(what: string, error: Error): Result<Greeting, string> {
  const why = error.isOther ? error.asOther : error.isNoSuchStore ? "there is no such store" : "access was denied"
  return err<Greeting, string>(`Cannot ${what}: ${why}`)
}

export function greet(visitor: Visitor): Result<Greeting, string> {
  const name = visitor.name
  if (name.length == 0) return err<Greeting, string>("Cannot greet a visitor without a name")
  const opened = open("prices")
  if (opened.isErr) return failed("open the price list", opened.error)
  const price = opened.value.get("tea")
  // Nothing drops a handle by itself.
  opened.value.drop()
  if (price.isErr) return failed("read the price of tea", price.error)
  log(Level.info, "greeter", `Greeted ${name}`)
  const bytes = price.value
  let text: string | null = null
  if (bytes != null) text = String.UTF8.decodeUnsafe(changetype<usize>(bytes), bytes.length)
  return ok<Greeting, string>(new Greeting(`Hello, ${name}!`, text))
}
