/** Whether a page is one: what a browser would forgive is a mistake of ours. */

/** Tags and attributes as XML has them: each closed by its own name, no bare ampersand. @returns the names of elements, and of attributes */
export function wellFormed(text: string, isEmpty: ReadonlySet<string>): { readonly names: ReadonlySet<string>; readonly attributes: ReadonlySet<string> } {
  const open: Array<string> = []
  const [names, attributes] = [new Set<string>(), new Set<string>()]
  const rest = text.replace(/<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+(?:="[^"<]*")?)*)\s*(\/?)>/g, (_, end: string, name: string, of: string, empty: string) => {
    names.add(name)
    for (const [, attribute = ""] of of.matchAll(/\s+([\w:-]+)/g)) if (!/^\d/.test(attribute)) attributes.add(attribute)
    if (end === "/") {
      const last = open.pop()
      if (last !== name) throw new Error(`</${name}> ends <${last}>`)
    } else if (empty === "" && !isEmpty.has(name)) open.push(name)
    return ""
  })
  if (open.length > 0) throw new Error(`<${open.join("><")}> is open`)
  if (/[<>]/.test(rest)) throw new Error(`what is no tag: ${/.{0,40}[<>].{0,40}/.exec(rest)?.[0]}`)
  if (/&(?!amp;|lt;|gt;|quot;|#\d+;)/.test(text)) throw new Error("a bare ampersand")
  return { names, attributes }
}
