/** Pictures of the library, or of an album, or those that a search finds, read page by page. */
import { client, done, type Picture, type Schemas } from './api';

/** Which pictures, in which order. */
export interface Wanted {
  album_id?: string;
  q?: string;
  tag?: string;
  issue?: string;
  min_quality?: number;
  sort?: 'added' | 'taken' | 'quality';
}

export class Pictures {
  list = $state.raw<Picture[]>([]);
  isLoading = $state(false);
  error = $state<unknown>();
  #isComplete = false;
  #cursor: string | null = null;
  #round = 0;

  constructor(readonly wanted: () => Wanted = () => ({})) {}

  /** Read the next page, or all anew; what was being read then comes too late. */
  async load(anew = false): Promise<void> {
    if (!anew && this.isLoading) return;
    const mine = ++this.#round;
    this.isLoading = true;
    this.error = undefined;
    try {
      const page = await this.#read(anew ? undefined : (this.#cursor ?? undefined));
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

  #read(cursor: string | undefined): Promise<Schemas['ImageList']> {
    const { q, sort, ...filters } = this.wanted();
    const query = { ...filters, limit: 100, cursor };
    if (q) return done(client.GET('/api/v1/search', { params: { query: { ...query, q } } }));
    return done(client.GET('/api/v1/images', { params: { query: { ...query, sort } } }));
  }
}
