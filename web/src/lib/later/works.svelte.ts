/** Pictures that are being made: each a job, a few at a time. */
import type { Job } from '../api';
import { cancel, follow, patiently } from './patience';

/** What all results of making a picture have. */
export interface Made {
  image_url: string;
  engine: string;
  seed: number;
  warnings?: string[] | null;
}

export class Work {
  state = $state<'waiting' | 'going' | 'made' | 'failed' | 'dropped'>('waiting');
  progress = $state(0);
  result = $state.raw<Made>();
  error = $state<unknown>();
  #job = '';

  /** `ask`: starts it. `name`: of the style or animal. `after`: is done before it counts as made. `started`: is told the job. */
  constructor(
    readonly name: string,
    readonly ask: () => Promise<Job>,
    readonly after: (made: Made) => Promise<void> = async () => {},
    readonly started: (job: string) => void = () => {},
  ) {}

  /** A picture that was made before. */
  static of(name: string, result: Made): Work {
    const work = new Work(name, () => Promise.reject(new Error('made already')));
    work.result = result;
    work.state = 'made';
    return work;
  }

  async make(): Promise<void> {
    this.state = 'going';
    this.error = undefined;
    try {
      this.#job = (await patiently(this.ask, () => this.isDropped)).id;
      this.started(this.#job);
      if (this.isDropped) await cancel(this.#job);
      const result = await follow<Made>(this.#job, (job) => (this.progress = job.progress));
      await this.after(result);
      this.result = result;
      if (!this.isDropped) this.state = 'made';
    } catch (problem) {
      if (this.isDropped) return;
      this.error = problem;
      this.state = 'failed';
    }
  }

  get isDropped(): boolean {
    return this.state === 'dropped';
  }

  drop(): void {
    if (this.state !== 'waiting' && this.state !== 'going') return;
    this.state = 'dropped';
    if (this.#job) void cancel(this.#job);
  }
}

/** Makes works in order, so many at once. */
export class Workshop {
  #all: Work[] = [];
  #going = 0;

  constructor(readonly atOnce: number) {}

  add(work: Work, isNext = false): void {
    if (isNext) this.#all.unshift(work);
    else this.#all.push(work);
    void this.#next();
  }

  /** Forget all that is not made yet. */
  clear(): void {
    for (const work of this.#all) work.drop();
    this.#all = [];
  }

  async #next(): Promise<void> {
    const work = this.#all.find((one) => one.state === 'waiting');
    if (!work || this.#going >= this.atOnce) return;
    this.#going++;
    await work.make();
    this.#going--;
    void this.#next();
  }
}
