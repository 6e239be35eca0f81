import { log } from "wasi:logging/logging@0.1.0-draft"

interface Visitor {
  readonly name: string
  readonly languages: ReadonlyArray<string>
}
interface Welcome {
  readonly text: string
  readonly language: string
}

const welcomes: Readonly<Record<string, string>> = { en: "Welcome", de: "Willkommen", fr: "Bienvenue" }

/** What the world exports: one object for each interface, one function for each of its functions. */
export const api = {
  greet({ name, languages }: Visitor): Welcome {
    // A thrown value is the function's own error.
    if (name.trim() === "") throw "Cannot welcome a visitor without a name"
    const language = languages.find((tag) => Object.hasOwn(welcomes, tag)) ?? "en"
    log("info", "greet", `Welcomed a visitor in ${language}`)
    return { text: `${welcomes[language]}, ${name}!`, language }
  },
}
