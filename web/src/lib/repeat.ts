/** Do something now and again: soon while something goes on, and not at all while the page is out of sight. */
export function repeat(look: () => Promise<boolean>): () => void {
  let timer = 0;
  let isOver = false;
  async function turn() {
    let isGoing = false;
    if (!document.hidden) isGoing = await look();
    if (!isOver) timer = window.setTimeout(turn, isGoing ? 1000 : 8000);
  }
  void turn();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
