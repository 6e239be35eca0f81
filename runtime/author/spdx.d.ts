declare module "spdx-expression-parse" {
  /** @throws Error for what is no SPDX license expression */
  export default function parse(expression: string): object
}
declare module "spdx-license-ids" {
  /** Of licenses that are not deprecated. */
  const identifiers: ReadonlyArray<string>
  export default identifiers
}
