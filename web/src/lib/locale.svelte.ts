/** The language of the pages: the browser's, or the one that was chosen. */
import en from './messages/en';
import ko from './messages/ko';

const languages = { en, ko };
export type Language = keyof typeof languages;
export type Message = keyof typeof en;

function first(): Language {
  const chosen = localStorage.getItem('language') ?? navigator.language.slice(0, 2);
  return chosen === 'ko' ? 'ko' : 'en';
}

export const locale = $state<{ language: Language }>({ language: first() });

export function choose(language: Language) {
  locale.language = language;
  localStorage.setItem('language', language);
}

type Values = Record<string, string | number>;

const PLACES = /\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g;

function fill(said: string, values: Values): string {
  return said.replace(PLACES, (_, name: string, one?: string, other?: string) => {
    const value = values[name] ?? '';
    if (one !== undefined && other !== undefined) return isOne(Number(value)) ? one : other;
    return typeof value === 'number' ? count(value) : value;
  });
}

function isOne(number: number): boolean {
  return new Intl.PluralRules(locale.language).select(number) === 'one';
}

/**
 * Say a message in the chosen language; `{name}` stands for a value, of which a number is said as the language does, and
 * `{name|picture|pictures}` for the word that goes with the number.
 */
export function t(message: Message, values: Values = {}): string {
  return fill(languages[locale.language][message], values);
}

/** A `t` that knows messages of its own too: those that the first page need not load. */
export function speaker<Own extends string>(own: Record<Language, Record<Own, string>>) {
  return (message: Message | Own, values: Values = {}): string => {
    const words: Record<string, string> = own[locale.language];
    return fill(words[message] ?? languages[locale.language][message as Message], values);
  };
}

export function count(number: number): string {
  return new Intl.NumberFormat(locale.language).format(number);
}

export function moment(time: string | null | undefined): string {
  if (!time) return '';
  return new Intl.DateTimeFormat(locale.language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(time));
}

/** A day, in words. */
export function day(time: Date): string {
  return new Intl.DateTimeFormat(locale.language, { dateStyle: 'long' }).format(time);
}

/** How long something takes, in the largest unit of which it is one at least. */
export function period(seconds: number): string {
  const [unit, size] = seconds >= 86400 ? (['day', 86400] as const) : seconds >= 3600 ? (['hour', 3600] as const) : (['minute', 60] as const);
  const style = { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 } as const;
  return new Intl.NumberFormat(locale.language, style).format(seconds / size);
}

/** The month of a time, of which the first seven letters are enough. */
export function month(time: string | undefined): string {
  if (!time) return '';
  const [year, number] = time.split('-').map(Number);
  const first = new Date(year ?? 0, (number ?? 1) - 1);
  return new Intl.DateTimeFormat(locale.language, { year: 'numeric', month: 'long' }).format(first);
}

export function bytes(size: number): string {
  const unit = size >= 1e6 ? 'megabyte' : 'kilobyte';
  const style = { style: 'unit', unit, maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(locale.language, style).format(size / (unit === 'megabyte' ? 1e6 : 1e3));
}
