/** What a request would rather have. */

/** The form that a header prefers; JSON where it says nothing of pages. RFC 9110 §12.5.1, as far as it is about two types. */
export function preferredForm(accept: string | null): "html" | "json" {
  const weight = (type: string): number => {
    let found = -1
    for (const range of (accept ?? "").toLowerCase().split(",")) {
      const [name = "", ...parameters] = range.split(";").map((part) => part.trim())
      if (name !== type) continue
      const q = parameters.find((parameter) => parameter.startsWith("q="))
      found = Math.max(found, q === undefined ? 1 : Number(q.slice(2)) || 0)
    }
    return found
  }
  const html = weight("text/html")
  return html > 0 && html >= weight("application/json") ? "html" : "json"
}
