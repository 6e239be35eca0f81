import { Visitor, Welcome } from "../bindings/api"
import { Level, log } from "../bindings/logging"
import { err, ok, Result } from "../bindings/runtime"

const welcomes = new Map<string, string>()
welcomes.set("en", "Welcome").set("de", "Willkommen").set("fr", "Bienvenue")

export function greet(visitor: Visitor): Result<Welcome, string> {
  if (visitor.name.trim().length == 0) return err<Welcome, string>("Cannot welcome a visitor without a name")
  let language = "en"
  for (let i = 0; i < visitor.languages.length; i++) {
    if (!welcomes.has(visitor.languages[i])) continue
    language = visitor.languages[i]
    break
  }
  log(Level.info, "greet", `Welcomed a visitor in ${language}`)
  return ok<Welcome, string>(new Welcome(`${welcomes.get(language)}, ${visitor.name}!`, language))
}
