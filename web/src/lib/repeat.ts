/**
 * Do something when the server tells of a change, and not at all while the page is out of sight. While it tells nothing,
 * now and again: soon where something goes on.
 */
import { hear, isLive, watch, type Kind } from './events';

const BUSY_MS = 1000;
const IDLE_MS = 4000;
const SURE_MS = 60_000; // while changes are told
const watching = new Set<() => void>();

/** Look at once: something has begun or ended here. */
export function lookNow(): void {
  for (const look of watching) look();
}
document.addEventListener('visibilitychange', () => !document.hidden && lookNow());
watch(lookNow);

/** `look`: tells whether something goes on. `kinds`: of changes after which it looks. -> how to end that */
export function repeat(look: () => Promise<boolean>, kinds: readonly Kind[] = ['job']): () => void {
  let timer = 0;
  let isOver = false;
  let isLooking = false;
  let isDue = false;
  async function turn() {
    isDue = true;
    if (isLooking) return;
    isLooking = true;
    clearTimeout(timer);
    let isGoing = false;
    while (isDue && !isOver) {
      isDue = false;
      if (!document.hidden) isGoing = await look();
    }
    isLooking = false;
    if (!isOver) timer = window.setTimeout(turn, isLive() ? SURE_MS : isGoing ? BUSY_MS : IDLE_MS);
  }
  const deafen = hear(kinds, turn);
  watching.add(turn);
  void turn();
  return () => {
    isOver = true;
    deafen();
    watching.delete(turn);
    clearTimeout(timer);
  };
}
