/**
 * What `stele dev` builds says so: a custom section `stele:dev` at its end (Binary.md "Custom Sections"). `stele check` refuses
 * it, since it may have been compiled in haste.
 */
const name = new TextEncoder().encode("stele:dev")
const section = Uint8Array.of(0, name.length + 1, name.length, ...name)

export const isLabelled = (component: Uint8Array): boolean =>
  component.length > section.length && section.every((byte, at) => component[component.length - section.length + at] === byte)

/** The component with its label; the same bytes where it has one. */
export function labelled(component: Uint8Array): Uint8Array {
  if (isLabelled(component)) return component
  const out = new Uint8Array(component.length + section.length)
  out.set(component)
  out.set(section, component.length)
  return out
}
