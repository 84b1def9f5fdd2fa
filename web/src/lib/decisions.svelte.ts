/** Decisions of a page that may be taken back, one at a time, the last one first. */
import { client, done } from './api';
import { t, type Message } from './locale.svelte';

export class Decisions {
  isBusy = $state(false);
  said = $state('');
  error = $state<unknown>();
  #taken: string[] = [];

  /** `show`: reads anew what decisions change. */
  constructor(readonly show: () => Promise<void>) {}

  take(call: () => Promise<{ correction_id: string | null }>, said: Message): Promise<void> {
    return this.#act(async () => {
      const { correction_id } = await call();
      if (correction_id) this.#taken.push(correction_id);
    }, said);
  }

  async undo(): Promise<void> {
    const last = this.#taken.at(-1);
    if (!last) return;
    await this.#act(async () => {
      await done(client.DELETE('/api/v1/corrections/{correction_id}', { params: { path: { correction_id: last } } }));
      this.#taken.pop();
    }, 'undone');
  }

  async #act(act: () => Promise<void>, said: Message): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    this.error = undefined;
    try {
      await act();
      this.said = t(said);
      await this.show();
    } catch (problem) {
      await this.show(); // another tab may have decided meanwhile
      this.error = problem;
    } finally {
      this.isBusy = false;
    }
  }
}
