/** The session of the page. Its cookie cannot be read here; what is kept is only whose it was. */
import { client, done } from './api';

const KEPT = 'signed-in';

export function wasSignedIn(): boolean {
  return localStorage.getItem(KEPT) !== null;
}

/** The id of the user whose session it is; empty where this server asks for no keys. */
export function ownId(): string {
  return localStorage.getItem(KEPT) ?? '';
}

/** Open a session with a key. Throws a `Problem` where it is none of a user. */
export async function openSession(key: string): Promise<void> {
  const { user } = await done(client.POST('/api/v1/session', { body: { api_key: key } }), false);
  localStorage.setItem(KEPT, user ?? '');
}

export async function signIn(key: string): Promise<void> {
  await openSession(key);
  location.reload();
}

export async function signOut(): Promise<void> {
  localStorage.removeItem(KEPT);
  try {
    await done(client.DELETE('/api/v1/session'));
  } finally {
    location.reload();
  }
}
