/** Do something now and again: soon while something goes on, and not at all while the page is out of sight. */
const BUSY_MS = 1000;
const IDLE_MS = 4000;
const watching = new Set<() => void>();

/** Look at once: something has begun or ended here. */
export function lookNow(): void {
  for (const look of watching) look();
}
document.addEventListener('visibilitychange', () => !document.hidden && lookNow());

export function repeat(look: () => Promise<boolean>): () => void {
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
    if (!isOver) timer = window.setTimeout(turn, isGoing ? BUSY_MS : IDLE_MS);
  }
  watching.add(turn);
  void turn();
  return () => {
    isOver = true;
    watching.delete(turn);
    clearTimeout(timer);
  };
}
