/** Uploads: one file after the other, each with its state and, where it was not taken, the reason. */
import { client, done, Problem, sendForm, type Schemas } from './api';
import { sayProblem } from './problems';

export interface Upload {
  file: File;
  state: 'waiting' | 'checking' | 'sending' | 'stored' | 'known' | 'rejected' | 'failed';
  reason: string;
  /** Seconds until it is tried again; 0: it is not. */
  pause: number;
}

const TRIES = 6;
const LARGEST_HASHED = 256 * 2 ** 20;
/** `stored`: how many have come into the library, for whichever page is open by then. */
export const uploads = $state<{ list: Upload[]; stored: number }>({ list: [], stored: 0 });
let isRunning = false;

export async function add(files: File[]): Promise<void> {
  uploads.list.push(...files.map((file): Upload => ({ file, state: 'waiting', reason: '', pause: 0 })));
  await run();
}

export async function tryAgain(): Promise<void> {
  for (const one of uploads.list) if (one.state === 'failed') one.state = 'waiting';
  await run();
}

/** Whether there are files that the page alone knows. */
export function isUploading(): boolean {
  return uploads.list.some((one) => ['waiting', 'checking', 'sending'].includes(one.state));
}

async function run(): Promise<void> {
  if (isRunning) return;
  isRunning = true;
  try {
    let next;
    while ((next = uploads.list.find((one) => one.state === 'waiting'))) {
      await bring(next);
      if (next.state === 'stored') uploads.stored++;
    }
  } finally {
    isRunning = false;
  }
}

async function bring(upload: Upload): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      upload.state = 'checking';
      if (await findKnown(upload.file)) {
        upload.state = 'known';
        return;
      }
      upload.state = 'sending';
      await send(upload.file);
      upload.state = 'stored';
      return;
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, '', String(error));
      upload.reason = sayProblem(problem);
      const mayPass = problem.status === 0 || problem.status === 429 || problem.status >= 500;
      if (!mayPass || tries === TRIES) {
        upload.state = mayPass || problem.status === 401 ? 'failed' : 'rejected';
        return;
      }
      upload.pause = problem.retryAfter || 2 ** tries;
      await new Promise((resolve) => setTimeout(resolve, upload.pause * 1000));
      upload.pause = 0;
    }
  }
}

/** Find the picture that has these bytes. Browsers hash on https and on this machine only; elsewhere none is found. */
async function findKnown(file: File): Promise<Schemas['ImageDetail'] | undefined> {
  if (!globalThis.crypto?.subtle || file.size > LARGEST_HASHED) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  try {
    return await done(client.GET('/api/v1/images/by-sha256/{sha256}', { params: { path: { sha256 } } }));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return undefined;
    throw error;
  }
}

/** Bring one file into the library, where it is not there yet. -> its id */
export async function bringOne(file: File): Promise<string> {
  const known = await findKnown(file);
  return known?.id ?? (await send(file)).images[0]!.id;
}

function send(file: File): Promise<Schemas['Uploads']> {
  const body = new FormData();
  body.append('file', file, file.name);
  return sendForm('/api/v1/images', body);
}

/** List the files that were dropped, those in folders too. */
export async function dropped(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...data.files];
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    found.push(...(await Promise.all(part.map(filesOf))).flat());
  }
}
