/** Resources that the host implements in generated interfaces; `id` tells one from another. */
export class Held {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
}
export class Resource0 extends Held {}
export class Resource1 extends Held {}
