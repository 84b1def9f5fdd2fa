/**
 * Previews that this browser has ordered and nobody kept. They lie in the trash, from which one that pleases is taken;
 * those of other pictures than the one that is open are deleted, so that the trash stays what its user threw away.
 */
import { client, done, isGoing, Problem } from '../api';
import { patiently } from './patience';
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

function remember(picture: string, id: string): void {
  if (!all().some(([, one]) => one === id)) store([...all(), [picture, id]]);
}

/** `picture`: of which it will be. */
export function order(picture: string, job: string): void {
  store([...all(ORDERED), [picture, job]], ORDERED);
}

/** The picture of this job lies in the trash, or there is none. */
function settled(job: string): void {
  store(all(ORDERED).filter(([, one]) => one !== job), ORDERED);
}

/** Put what a job has made into the trash, unless another page has: there it may have been kept since. */
async function putOne(picture: string, job: string, id: string): Promise<void> {
  remember(picture, id);
  if (all(ORDERED).some(([, one]) => one === job)) await trash([id]);
  settled(job);
}

/** Put what a job has made into the trash, again and again where the server is away or full. */
export function put(picture: string, job: string, id: string): Promise<void> {
  return patiently(() => putOne(picture, job, id));
}

/** Put into the trash what was made for a page that is no more. Throws the first `Problem`, after all were tried. */
async function putOrdered(told: (id: string) => void): Promise<void> {
  const problems: unknown[] = [];
  for (const [picture, id] of all(ORDERED)) {
    try {
      const job = await done(client.GET('/api/v1/jobs/{job_id}', { params: { path: { job_id: id } } }));
      if (isGoing(job)) continue;
      const made = idOf((job.result as Made | null | undefined)?.image_url);
      if (!made) settled(id);
      else {
        await putOne(picture, id, made);
        told(made);
      }
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 404) settled(id);
      else problems.push(problem);
    }
  }
  if (problems.length) throw problems[0];
}

let round = 0;
/**
 * Put into the trash what was made for a page that is no more. -> once each was tried: what the server did not take is
 * tried again while the page goes on, until another begins with it. `told`: is told of each picture that lies there now.
 */
export function settle(told: (id: string) => void): Promise<void> {
  const mine = ++round;
  return new Promise((tried) => {
    const once = () => putOrdered(told).finally(tried);
    patiently(once, () => mine !== round).catch(() => {}); // the next page begins with it
  });
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
