/** Tags in the language of the pages. The API names them in English; those that its vocabulary lacks stay as they are. */
import { client, done, type Schemas } from './api';
import { locale } from './locale.svelte';

type Other = Schemas['TagWords']['language'];
let words = $state.raw<Record<string, Record<string, string>>>({});
const asked = new Set<Other>();

/** Ask for the words of the language that is chosen, once. */
export async function learnTags(): Promise<void> {
  const { language } = locale;
  if (language === 'en' || asked.has(language)) return;
  asked.add(language);
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
