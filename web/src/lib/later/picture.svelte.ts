/** The picture that a page works on: named by its address, so that a reload and the way back lead to it. */
import { page } from '$app/state';
import { client, done, type Schemas } from '../api';

export type Chosen = Schemas['ImageDetail'];

/** What the address of the page asks for, behind its `?`. */
export function asked(name: string): string | null {
  return new URLSearchParams(page.url.hash.split('?')[1] ?? '').get(name);
}

/** The address of a page with what it is asked for. */
export function address(route: string, values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return `#${route}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/** The id of the picture that the server has at this address, or that a reference names. */
export function idOf(url: string | null | undefined): string {
  return /img_[0-9a-z]{10,64}/.exec(url ?? '')?.[0] ?? '';
}

export function loadPicture(id: string): Promise<Chosen> {
  return done(client.GET('/api/v1/images/{image_id}', { params: { path: { image_id: id } } }));
}

/** Put pictures into the trash, or take them out of it. */
export async function trash(ids: string[], action: 'trash' | 'restore' = 'trash'): Promise<void> {
  if (ids.length) await done(client.POST('/api/v1/images/batch', { body: { ids, action } }));
}
