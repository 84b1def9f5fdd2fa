/**
 * Previews that this browser has ordered and nobody kept. They lie in the trash, from which one that pleases is taken;
 * those of other pictures than the one that is open are deleted, so that the trash stays what its user threw away.
 */
import { client, done } from '../api';

const STORED = 'previews';
const AT_ONCE = 500; // what the server takes of one action

type Preview = [picture: string, id: string];

function all(): Preview[] {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? '[]');
  } catch {
    return [];
  }
}

function store(previews: Preview[]): void {
  localStorage.setItem(STORED, JSON.stringify(previews));
}

export function remember(picture: string, id: string): void {
  store([...all(), [picture, id]]);
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
