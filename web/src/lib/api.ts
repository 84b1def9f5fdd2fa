/** Calls of the API, typed by its OpenAPI document. */
import createClient from 'openapi-fetch';
import type { components, paths } from './schema';

export type Schemas = components['schemas'];
export type Picture = Schemas['ImageItem'];
export type Job = Schemas['Job'];

/** Whether a job has not ended. */
export function isGoing(job: { status: Schemas['JobState']['status'] }): boolean {
  return job.status === 'queued' || job.status === 'running';
}

/** Where the server is: the folder of the document, for a proxy may serve it below a path. */
export const base = location.pathname.replace(/\/[^/]*$/, '');
export const client = createClient<paths>({ baseUrl: base });

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

let onSignedOut = () => {};
export function whenSignedOut(act: () => void) {
  onSignedOut = act;
}

/** Who asks: the session of the page, counted, for what was asked before somebody signed in may be refused after it. */
export type Asker = number;
export const STRANGER: Asker = -1; // with a key that is not that of the session
let session: Asker = 0;
export const asker = (): Asker => session;
export function beginSession(): void {
  session++;
}

interface ProblemBody {
  type?: string;
  title?: string;
  detail?: string;
  rejected?: { code: string; detail: string }[];
}

/** Make the error of an answer that is none of success. `by`: who asked, which ends the session where it is its own. */
export function problemOf(status: number, body: unknown, retryAfter: string | null, by: Asker): Problem {
  if (status === 401 && by === session) onSignedOut();
  const said = (typeof body === 'object' && body !== null ? body : {}) as ProblemBody;
  const first = said.rejected?.[0];
  const code = first?.code ?? said.type?.split('/').pop() ?? String(status);
  return new Problem(status, code, first?.detail ?? said.detail ?? said.title ?? `HTTP ${status}`, Number(retryAfter) || 0);
}

/** Wait for a call; throw a `Problem` where it did not succeed. */
export async function done<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
  by = asker(),
): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (error) {
    throw new Problem(0, 'unreachable', error instanceof Error ? error.message : String(error));
  }
  if (!answer.response.ok) {
    throw problemOf(answer.response.status, answer.error, answer.response.headers.get('retry-after'), by);
  }
  return answer.data as T;
}

/** Send a form with files. */
export async function sendForm<T>(path: string, body: FormData, headers: Record<string, string> = {}): Promise<T> {
  const by = asker();
  let answer;
  try {
    answer = await fetch(base + path, { method: 'POST', body, headers });
  } catch (error) {
    throw new Problem(0, 'unreachable', String(error));
  }
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw problemOf(answer.status, said, answer.headers.get('retry-after'), by);
  return said;
}

/** The address of a file at this server: answers name it in full, a proxy may be known by another name. */
export function local(url: string | undefined): string {
  if (!url) return '';
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

/** The address of a thumbnail of so many pixels. Answers name two sizes, the server makes each of these. */
export function thumbnail(thumbnails: Record<string, string> | undefined, size: 256 | 512 | 1024 | 2048): string {
  return local(Object.values(thumbnails ?? {})[0]).replace(/\bsize=\d+/, `size=${size}`);
}
