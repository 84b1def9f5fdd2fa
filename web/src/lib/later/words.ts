/** What the pages say that are loaded later; all else they say as the first page does. */
import { speaker } from '../locale.svelte';
import en from './en';
import ko from './ko';

export type Word = keyof typeof en;
export const t = speaker<Word>({ en, ko });

/** The name of something that the server lists, where the languages here have one, else the server's own. */
export function named(kind: 'style' | 'animal', name: string, title: string): string {
  const word = `${kind}_${name}`;
  return word in en ? t(word as Word) : title;
}

/** What the server says of it, which is English, or what the languages here have. */
export function described(kind: 'style' | 'animal', name: string, description: string): string {
  const word = `${kind}_${name}_is`;
  return word in en ? t(word as Word) : description;
}
