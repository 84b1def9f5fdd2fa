/** Keys that are pressed to decide something. */

/**
 * The key of a press, a letter where it has one on the keyboard: who writes Korean presses the same keys as others.
 * Empty where it is none for a page: with a modifier, within a field, or of a key that is held, for what it decides next
 * has not been seen.
 */
export function keyOf(event: KeyboardEvent): string {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, select, textarea')) return '';
  if (event.repeat && !event.key.startsWith('Arrow')) return '';
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1];
  return letter && !/^[a-z]$/i.test(event.key) ? letter.toLowerCase() : event.key;
}

/** Whether a press ends what is written in a field, and not just a syllable of it. */
export function isEnter(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.isComposing;
}
