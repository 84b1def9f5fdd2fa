/** Something that goes on for as long as a key or a button is held. */
const SHORT_MS = 250; // a press that is shorter does what presses do

export class Hold {
  /** Where it goes on; nothing: nowhere. */
  place = $state<string>();
  #timer = 0;

  /** `isLater`: only once it is no short press. */
  begin(place: string | undefined, isLater = false): void {
    this.end();
    if (isLater) this.#timer = window.setTimeout(() => (this.place = place), SHORT_MS);
    else this.place = place;
  }

  /** -> whether it had begun */
  end(): boolean {
    clearTimeout(this.#timer);
    const was = this.place !== undefined;
    this.place = undefined;
    return was;
  }
}
