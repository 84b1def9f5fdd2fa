/** Which pictures the address of the page asks for. */
import { asked } from './address';
import type { Picture } from './api';
import type { Wanted } from './pictures.svelte';

const SORTS = ['added', 'taken', 'quality'] as const;

let last: Wanted = {};
/** The very same object as before where it asks for the same: steps of the history that change nothing read nothing anew. */
export function wantedOf(album_id?: string): Wanted {
  const given = (name: string) => asked(name) || undefined;
  const least = Number(given('min_quality') ?? NaN);
  const next: Wanted = {
    album_id,
    q: given('q'),
    tag: given('tag'),
    issue: given('issue'),
    min_quality: least >= 0 && least <= 1 ? least : undefined, // an address may be typed by hand
    sort: SORTS.find((one) => one === given('sort')),
  };
  if (JSON.stringify(next) !== JSON.stringify(last)) last = next;
  return last;
}

/** Whether it asks for some of them only. */
export function isFiltered(): boolean {
  return ['q', 'tag', 'issue', 'min_quality'].some((name) => asked(name));
}

/** The time by which pictures are in order; undefined where it is another order. */
export function timeOf({ q, sort = 'added' }: Wanted): ((picture: Picture) => string | null | undefined) | undefined {
  if (q || sort === 'quality') return undefined;
  return sort === 'taken' ? (one) => one.taken_at ?? one.created_at : (one) => one.created_at;
}
