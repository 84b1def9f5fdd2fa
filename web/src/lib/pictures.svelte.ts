/** Pictures of the library, or of an album, read page by page. */
import { client, done, type Picture } from './api';

export class Pictures {
  list = $state.raw<Picture[]>([]);
  isLoading = $state(false);
  error = $state<unknown>();
  #isComplete = false;
  #cursor: string | null = null;
  #round = 0;

  constructor(readonly album: () => string | undefined = () => undefined) {}

  /** Read the next page, or all anew; what was being read then comes too late. */
  async load(anew = false): Promise<void> {
    if (!anew && this.isLoading) return;
    const mine = ++this.#round;
    this.isLoading = true;
    this.error = undefined;
    try {
      const query = { album_id: this.album(), limit: 100, cursor: anew ? undefined : (this.#cursor ?? undefined) };
      const page = await done(client.GET('/api/v1/images', { params: { query } }));
      if (mine !== this.#round) return;
      this.list = anew ? page.items : [...this.list, ...page.items];
      this.#cursor = page.next_cursor;
      this.#isComplete = page.next_cursor === null;
    } catch (problem) {
      if (mine === this.#round) this.error = problem;
    } finally {
      if (mine === this.#round) this.isLoading = false;
    }
  }

  more(): void {
    if (!this.isLoading && !this.#isComplete && !this.error) void this.load();
  }
}
