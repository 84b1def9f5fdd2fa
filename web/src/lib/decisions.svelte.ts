/** Decisions of a page that may be taken back, one at a time, the last one first. */
import { client, done } from './api';
import { t, type Message } from './locale.svelte';

interface Taken {
  correction_id: string | null;
}

/** Take decisions back, the last one first; those that were go from the list. */
async function takeBack(made: string[]): Promise<void> {
  for (let correction_id = made.at(-1); correction_id; correction_id = made.at(-1)) {
    await done(client.DELETE('/api/v1/corrections/{correction_id}', { params: { path: { correction_id } } }));
    made.pop();
  }
}

export class Decisions {
  isBusy = $state(false);
  said = $state('');
  error = $state<unknown>();
  /** How each is taken back. */
  #taken = $state.raw<(() => Promise<unknown>)[]>([]);
  mayUndo = $derived(this.#taken.length > 0 && !this.isBusy);

  #last: Promise<void> = Promise.resolve();

  /** `show`: reads anew what decisions change. */
  constructor(readonly show: () => Promise<void>) {}

  take(call: () => Promise<Taken>, said: Message): Promise<void> {
    return this.takeAll([call], said);
  }

  /** Take several, one after the other, that are taken back at once. */
  takeAll(calls: (() => Promise<Taken>)[], said: Message): Promise<void> {
    return this.#act(async () => {
      const made: string[] = [];
      try {
        for (const call of calls) {
          const { correction_id } = await call();
          if (correction_id) made.push(correction_id);
        }
      } finally {
        if (made.length) this.#remember(() => takeBack(made)); // also those before one that failed
      }
    }, t(said));
  }

  /** Take one that says itself what it is about, as a name does: where another is being taken, after it. */
  async takeInTurn(call: () => Promise<Taken>, said: Message): Promise<void> {
    while (this.isBusy) await this.#last;
    await this.take(call, said);
  }

  /** Take one that shows itself what it changed, and knows how that is taken back. It waits for its turn. */
  async takeOwn(call: () => Promise<() => Promise<unknown>>, said: string): Promise<void> {
    while (this.isBusy) await this.#last;
    await this.#act(async () => this.#remember(await call()), said, async () => {});
  }

  async undo(): Promise<void> {
    const last = this.#taken.at(-1);
    if (!last) return;
    await this.#act(async () => {
      await last();
      this.#taken = this.#taken.slice(0, -1);
    }, t('undone'));
  }

  #remember(undo: () => Promise<unknown>): void {
    this.#taken = [...this.#taken, undo];
  }

  #act(act: () => Promise<void>, said: string, show = this.show): Promise<void> {
    if (!this.isBusy) this.#last = this.#decide(act, said, show);
    return this.#last;
  }

  async #decide(act: () => Promise<void>, said: string, show: () => Promise<void>): Promise<void> {
    this.isBusy = true;
    this.error = undefined;
    try {
      await act();
      this.said = said;
      await show();
    } catch (problem) {
      await show().catch(() => {}); // another tab may have decided meanwhile
      this.error = problem;
    } finally {
      this.isBusy = false;
    }
  }
}
