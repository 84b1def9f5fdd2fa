/**
 * Previews that this browser has ordered and nobody kept. They lie in the trash, from which one that pleases is taken;
 * those of other pictures than the one that is open are deleted, so that the trash stays what its user threw away.
 */
import { client, done, isGoing, Problem } from '../api';
import { idOf, trash } from './picture.svelte';
import type { Made } from './works.svelte';

const STORED = 'previews';
/** Those whose jobs have not brought them into the trash yet: the page may be closed before. */
const ORDERED = 'ordered previews';
const AT_ONCE = 500; // what the server takes of one action

type Preview = [picture: string, id: string];

function all(list = STORED): Preview[] {
  try {
    return JSON.parse(localStorage.getItem(list) ?? '[]');
  } catch {
    return [];
  }
}

function store(previews: Preview[], list = STORED): void {
  localStorage.setItem(list, JSON.stringify(previews));
}

export function remember(picture: string, id: string): void {
  store([...all(), [picture, id]]);
}

/** `picture`: of which it will be. */
export function order(picture: string, job: string): void {
  store([...all(ORDERED), [picture, job]], ORDERED);
}

/** The picture of this job lies in the trash, or there is none. */
export function settled(job: string): void {
  store(all(ORDERED).filter(([, one]) => one !== job), ORDERED);
}

/** Put into the trash what was made for a page that is no more. */
export async function settle(): Promise<void> {
  for (const [picture, id] of all(ORDERED)) {
    try {
      const job = await done(client.GET('/api/v1/jobs/{job_id}', { params: { path: { job_id: id } } }));
      if (isGoing(job)) continue;
      const made = idOf((job.result as Made | null | undefined)?.image_url);
      if (made) {
        remember(picture, made);
        await trash([made]);
      }
    } catch (problem) {
      if (!(problem instanceof Problem && problem.status === 404)) continue;
    }
    settled(id);
  }
}

/** It was kept: it is a picture as all others. */
export function forget(id: string): void {
  store(all().filter(([, one]) => one !== id));
}

/** Delete those of other pictures than this that still lie in the trash: what was taken out, wherever, is somebody's. */
export async function sweep(picture: string): Promise<void> {
  const others = all().filter(([of]) => of !== picture);
  if (!others.length) return;
  const trash = await done(client.GET('/api/v1/trash', { params: { query: { limit: AT_ONCE } } }));
  const inTrash = new Set(trash.items.map((one) => one.id));
  const ids = others.map(([, id]) => id).filter((id) => inTrash.has(id));
  if (ids.length) await done(client.POST('/api/v1/images/batch', { body: { ids, action: 'delete' } }));
  const over = new Set(trash.next_cursor === null ? others.map(([, id]) => id) : ids);
  store(all().filter(([, id]) => !over.has(id)));
}
