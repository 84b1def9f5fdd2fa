/** Calls of the Stable Diffusion web API, which has a document and errors of its own. */
import { asker, base, Problem, problemOf } from '../api';

interface Refusal {
  detail?: string | { loc: (string | number)[]; msg: string }[];
  errors?: string;
}

/** What an error answer says: the server's sentence, or each field that it could not take. */
function sentence(said: Refusal | null, status: number): string {
  if (Array.isArray(said?.detail)) return said.detail.map((one) => `${one.loc.slice(1).join('.')}: ${one.msg}`).join('; ');
  return said?.detail || said?.errors || `HTTP ${status}`;
}

async function answered<T>(call: Promise<Response>): Promise<T> {
  const by = asker();
  let answer;
  try {
    answer = await call;
  } catch (error) {
    throw new Problem(0, 'unreachable', String(error));
  }
  const said = await answer.json().catch(() => null);
  if (answer.ok) return said;
  throw problemOf(answer.status, { detail: sentence(said, answer.status) }, answer.headers.get('retry-after'), by);
}

export function read<T>(path: string, query: Record<string, string> = {}): Promise<T> {
  return answered(fetch(`${base}${path}?${new URLSearchParams(query)}`));
}

export function send<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const all = { 'Content-Type': 'application/json', ...headers };
  return answered(fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers: all }));
}

/** The picture at an address of this server, or a file, as base64. */
export async function encoded(source: Blob | string): Promise<string> {
  let blob = source;
  if (typeof blob === 'string') {
    const by = asker();
    const answer = await fetch(blob);
    if (!answer.ok) throw problemOf(answer.status, await answer.json().catch(() => null), null, by);
    blob = await answer.blob();
  }
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return String(reader.result).split(',')[1] ?? '';
}
