import { Config } from "../bindings/core"

export class Bucket {
  /** `thousandths` of a token have flowed back besides `tokens`, as of `atMs`. */
  constructor(
    public tokens: u64,
    public thousandths: u64,
    public atMs: u64,
  ) {}
}

export class State {
  nowMs: u64 = 0
  /** In the order in which the keys came: a snapshot has the same. */
  buckets: Map<string, Bucket> = new Map()
  constructor(public config: Config) {}
}
