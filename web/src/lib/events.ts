/**
 * What changes at the server, as its stream of events tells. A browser opens but six connections to a server, so of the
 * tabs that are in sight one holds the stream and tells the others; where the stream is refused or broken, pages ask.
 */
import { base } from './api';

const KINDS = ['job', 'album', 'image', 'duplicate', 'person'] as const;
export type Kind = (typeof KINDS)[number];
/** `all`: changes were missed. `live`, `lost`: of the stream. `who`: asks whoever holds it whether it is live. */
type Word = Kind | 'all' | 'live' | 'lost' | 'who';

const NAME = `darkroom events ${base}`;
const HIDDEN_MS = 60_000;
const TRIES = 5; // of the browser by itself, which goes on after the last event that it saw
const PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 300_000;
const TOLD_MS = 250; // what goes on tells of each step: of all in this time it is told once

const hearers = new Set<(word: Kind | 'all') => void>();
const watchers = new Set<() => void>();
let live = false;
let wasLost = false;

/** Whether changes are told: who is told need not ask. */
export function isLive(): boolean {
  return live;
}

/** Have `act` called when something of these kinds has changed, or may have. -> how to end that */
export function hear(kinds: readonly Kind[], act: () => void): () => void {
  let timer = 0;
  function told(word: Kind | 'all') {
    if (timer || (word !== 'all' && !kinds.includes(word))) return;
    timer = window.setTimeout(() => ((timer = 0), act()), TOLD_MS);
  }
  hearers.add(told);
  return () => {
    hearers.delete(told);
    clearTimeout(timer);
  };
}

/** Have `act` called when changes begin or cease to be told. */
export function watch(act: () => void): void {
  watchers.add(act);
}

function take(word: Word): void {
  if (word === 'live' || word === 'lost') {
    if (live === (word === 'live')) return;
    live = !live;
    for (const act of watchers) act();
    if (live && wasLost) take('all');
    wasLost = !live;
  } else if (word !== 'who') {
    for (const told of hearers) told(word);
  }
}

// Over http from another machine a browser has no locks: then each tab holds a stream of its own, while it is in sight.
const locks = globalThis.navigator.locks as LockManager | undefined;

/** Listen, while the page is in sight. -> how to end that */
export function listen(): () => void {
  const channel = locks && new BroadcastChannel(NAME);
  let source: EventSource | undefined;
  let timer = 0;
  let hiding = 0;
  let pause = PAUSE_MS;
  let end: (() => void) | undefined;

  function say(word: Word) {
    take(word);
    channel?.postMessage(word);
  }
  function connect() {
    let failures = 0;
    source = new EventSource(`${base}/api/v1/events`);
    source.onopen = () => {
      failures = 0;
      pause = PAUSE_MS;
      say('live');
    };
    source.onerror = () => {
      say('lost');
      if (source?.readyState !== EventSource.CLOSED && ++failures < TRIES) return;
      disconnect(); // refused, as one more than a user may have is, or away for long
      timer = window.setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    };
    source.addEventListener('reset', () => say('all'));
    for (const kind of KINDS) source.addEventListener(kind, () => say(kind));
  }
  function disconnect() {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  }
  function begin() {
    if (end) return;
    if (!locks) {
      connect();
      end = () => (disconnect(), take('lost'));
      return;
    }
    const waiting = new AbortController();
    let release = () => {};
    const hold = () => {
      take('lost'); // who held it before is gone, and may not have said so
      connect();
      return new Promise<void>((resolve) => (release = resolve));
    };
    locks.request(NAME, { signal: waiting.signal }, hold).catch(() => {}); // ended while it waited
    channel?.postMessage('who');
    end = () => {
      waiting.abort();
      if (source || timer) say('lost');
      disconnect();
      release();
    };
  }
  function cease() {
    end?.();
    end = undefined;
  }
  function look() {
    clearTimeout(hiding);
    if (!document.hidden) begin();
    else hiding = window.setTimeout(cease, locks ? HIDDEN_MS : 0);
  }
  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<Word>) => {
      if (data !== 'who') take(data);
      else if (source?.readyState === EventSource.OPEN) channel.postMessage('live');
    };
  }
  document.addEventListener('visibilitychange', look);
  if (!document.hidden) begin();
  return () => {
    document.removeEventListener('visibilitychange', look);
    clearTimeout(hiding);
    cease();
    channel?.close();
    take('lost');
  };
}
