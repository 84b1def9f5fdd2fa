/** Pictures of the library, or of an album, or those that a search finds, read page by page. */
import { client, done, type Picture, type Schemas } from './api';

/** Which pictures, in which order. */
export interface Wanted {
  album_id?: string;
  q?: string;
  person_id?: string;
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
  async load(anew = false, isKept = false): Promise<void> {
    if (!anew && this.isLoading) return;
    const mine = ++this.#round;
    this.isLoading = true;
    this.error = undefined;
    try {
      const page = await this.read(anew ? undefined : (this.#cursor ?? undefined));
      if (mine !== this.#round) return;
      const rest = isKept ? this.#after(page.items) : [];
      this.list = anew ? [...page.items, ...rest] : [...this.list, ...page.items];
      if (rest.length) return; // its end is where it was
      this.#cursor = page.next_cursor;
      this.#isComplete = page.next_cursor === null;
    } catch (problem) {
      if (mine === this.#round) this.error = problem;
    } finally {
      if (mine === this.#round) this.isLoading = false;
    }
  }

  /** Read anew what begins the list, and keep what follows: who has scrolled far stays there. */
  renew(): Promise<void> {
    return this.load(true, true);
  }

  /** What the list holds behind the last of these. */
  #after(items: Picture[]): Picture[] {
    const here = new Set(items.map((one) => one.id));
    const last = this.list.findIndex((one) => one.id === items.at(-1)?.id);
    return last < 0 ? [] : this.list.slice(last + 1).filter((one) => !here.has(one.id));
  }

  more(): void {
    if (!this.isLoading && !this.#isComplete && !this.error) void this.load();
  }

  protected read(cursor: string | undefined): Promise<Schemas['ImageList']> {
    const { q, sort, ...filters } = this.wanted();
    const query = { ...filters, limit: 100, cursor };
    if (q) return done(client.GET('/api/v1/search', { params: { query: { ...query, q } } }));
    return done(client.GET('/api/v1/images', { params: { query: { ...query, sort } } }));
  }
}
