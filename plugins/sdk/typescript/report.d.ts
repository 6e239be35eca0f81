declare module "stele:test/report@0.1.0" {
  /** Says that the test that runs has failed, and where. */
  export function failed(at: string, message: string): void
}
