/** The session of the page. Its cookie cannot be read here; what is kept is only whose it was. */
import { beginSession, client, done, STRANGER } from './api';
import { uploads } from './uploads.svelte';

const KEPT = 'signed-in';
const LAST = 'signed-in-at';

let onSignedIn = () => {};
/** Have `act` called when somebody has signed in, in this tab or another: they share the session. */
export function whenSignedIn(act: () => void): void {
  onSignedIn = act;
}

addEventListener('storage', ({ key, oldValue, newValue }) => {
  // Another tab has signed out, or somebody else in: what is shown here is not theirs.
  if (key === KEPT && oldValue !== null && newValue !== oldValue) begin();
  if (key === LAST) letIn();
});

function letIn(): void {
  beginSession();
  onSignedIn();
}

/** Begin anew, without anything that somebody has written or brought here. */
function begin(): void {
  sessionStorage.clear();
  uploads.list = [];
  location.reload();
}

export function wasSignedIn(): boolean {
  return localStorage.getItem(KEPT) !== null;
}

/** The id of the user whose session it is; empty where this server asks for no keys. */
export function ownId(): string {
  return localStorage.getItem(KEPT) ?? '';
}

/**
 * Open a session. What the page holds of uploads goes on with it, unless somebody else has signed in.
 * Throws a `Problem` where the key is none of a user.
 */
export async function signIn(key: string): Promise<void> {
  const { user } = await done(client.POST('/api/v1/session', { body: { api_key: key } }), STRANGER);
  const before = localStorage.getItem(KEPT);
  localStorage.setItem(KEPT, user ?? '');
  localStorage.setItem(LAST, String(Date.now())); // other tabs are not told of a user who stays the same
  if (before !== null && before !== user) begin();
  else letIn();
}

export async function signOut(): Promise<void> {
  try {
    await done(client.DELETE('/api/v1/session'));
  } finally {
    localStorage.removeItem(KEPT); // other tabs begin anew at that: the session has ended by then
    begin();
  }
}
