/** Tags in the language of the pages. The API names them in English; those that its vocabulary lacks stay as they are. */
import { client, done } from './api';
import { locale, type Language } from './locale.svelte';

type Other = Exclude<Language, 'en'>;
let words = $state.raw<Record<string, Record<string, string>>>({});
const asked = new Map<Other, Promise<void>>();

/** Ask for the words of the language that is chosen, once. -> when they are known, or could not be asked for */
export async function learnTags(): Promise<void> {
  const { language } = locale;
  if (language === 'en') return;
  if (!asked.has(language)) asked.set(language, learn(language));
  await asked.get(language);
}

async function learn(language: Other): Promise<void> {
  try {
    const found = await done(client.GET('/api/v1/vocabulary', { params: { query: { language } } }));
    words = { ...words, [language]: found.words };
  } catch {
    asked.delete(language); // asked again by the next page
  }
}

/** The words of the language that is chosen, by tag, as far as they are known. */
export function spoken(): Record<string, string> {
  return words[locale.language] ?? {};
}

export function tagName(tag: string): string {
  const known = spoken();
  return Object.hasOwn(known, tag) ? (known[tag] ?? tag) : tag; // somebody's tag may be "constructor"
}

/** The language of what `tagName` says, where it is not that of the page. */
export function tagLanguage(tag: string): string | undefined {
  return locale.language === 'en' || tagName(tag) !== tag ? undefined : 'en';
}
