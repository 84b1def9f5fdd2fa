/** The picture that a page works on, and what was made of it. */
import { client, done, type Schemas } from '../api';

export type Chosen = Schemas['ImageDetail'];

/** The id of the picture that the server has at this address, or that a reference names. */
export function idOf(url: string | null | undefined): string {
  return /img_[0-9a-z]{10,64}/.exec(url ?? '')?.[0] ?? '';
}

export function loadPicture(id: string): Promise<Chosen> {
  return done(client.GET('/api/v1/images/{image_id}', { params: { path: { image_id: id } } }));
}

const AT_ONCE = 500; // what the server takes of one action

/** `there`: those that are where they should be, without what was deleted meanwhile; `moved`: that were not before. */
export interface Moved {
  there: string[];
  moved: string[];
}

/** Put pictures into the trash, or take them out of it. */
export async function trash(ids: string[], action: 'trash' | 'restore' = 'trash'): Promise<Moved> {
  const all: Moved = { there: [], moved: [] };
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const body = { ids: ids.slice(from, from + AT_ONCE), action };
    const answer = await done(client.POST('/api/v1/images/batch', { body }));
    all.there.push(...answer.done);
    all.moved.push(...(answer.changed ?? []));
  }
  return all;
}
