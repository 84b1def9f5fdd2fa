/** Pictures of an album that look like one of them. */
import { client, done, Problem, type Picture } from './api';

const MOST = 40;

/** The id of the picture that a reference names: albums name their pictures as they were sent. */
function idOf(reference: string): string {
  return /img_[0-9a-z]{10,64}/.exec(reference)?.[0] ?? '';
}

/** Find them, the likest first. `known`: pictures that need not be asked for. */
export async function likeThis(album: string, picture: Picture, known: Picture[]): Promise<Picture[]> {
  const ask = (image: string) => {
    const params = { path: { album_id: album }, query: { image, limit: MOST } };
    return done(client.GET('/api/v1/albums/{album_id}/similar', { params }));
  };
  const hits = await ask(picture.id).catch((problem) => {
    if (problem instanceof Problem && problem.status === 404) return ask(picture.url); // it was sent by its address
    throw problem;
  });
  const here = new Map(known.map((one) => [one.id, one]));
  const found = hits.results.map(async ({ image }): Promise<Picture> => {
    const id = idOf(image);
    const params = { path: { image_id: id } };
    return here.get(id) ?? { ...(await done(client.GET('/api/v1/images/{image_id}', { params }))), quality: null };
  });
  return Promise.all(found);
}
