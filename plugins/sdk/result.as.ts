/**
 * What reading answers: a value or a typed error, as generated bindings have it. In a project this file is those bindings'
 * `Result`, so that what a library answers can be what the plugin returns.
 */
export class Result<A, E> {
  isOk: bool = false
  private success!: A
  private failure!: E
  get isErr(): bool {
    return !this.isOk
  }
  /** Traps where it is an error. */
  get value(): A {
    if (!this.isOk) unreachable()
    return this.success
  }
  /** Traps where it is none. */
  get error(): E {
    if (this.isOk) unreachable()
    return this.failure
  }
  succeed(value: A): this {
    this.isOk = true
    this.success = value
    return this
  }
  fail(error: E): this {
    this.failure = error
    return this
  }
}
export function ok<A, E>(value: A): Result<A, E> {
  return new Result<A, E>().succeed(value)
}
export function err<A, E>(error: E): Result<A, E> {
  return new Result<A, E>().fail(error)
}
