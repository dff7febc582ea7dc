/**
 * Makes identical requests in flight one. The flight belongs to nobody: who leaves early takes nothing from the
 * others. Failures are shared with who waits and then forgotten.
 */
export class SingleFlight<Value> {
  readonly #flights = new Map<string, Promise<Value>>();

  get size(): number {
    return this.#flights.size;
  }

  /** Joins the flight of that key, or starts it. */
  run(key: string, start: () => Promise<Value>): Promise<Value> {
    const joined = this.#flights.get(key);
    if (joined !== undefined) return joined;
    const flight = start().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
