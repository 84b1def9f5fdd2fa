/** What a page shows is named by its address, so that a reload and the way back lead to it. */
import { goto } from '$app/navigation';
import { navigating, page } from '$app/state';

/** What the address of the page asks for, behind its `?`. */
export function asked(name: string): string | null {
  return new URLSearchParams(page.url.hash.split('?')[1] ?? '').get(name);
}

/** Whether another page is being opened: who has left this one is not brought back by what it asks for meanwhile. */
export function isLeaving(): boolean {
  const pathOf = (url: URL) => url.hash.split('?')[0];
  return navigating.to !== null && pathOf(navigating.to.url) !== pathOf(page.url);
}

/** The address of a page with what it is asked for. */
export function address(route: string, values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length ? `#${route}?${query}` : `#${route}`;
}

/**
 * Have the address of the page ask for these values too, and no more for those that are empty. `isStep`: the way back
 * leads to what it asked for before.
 */
export function ask(values: Record<string, string | number | null | undefined>, isStep = false): string {
  const [route, query] = page.url.hash.split('?');
  const given = new URLSearchParams(query);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === '') given.delete(name);
    else given.set(name, String(value));
  }
  const wanted = given.size ? `${route}?${given}` : route!;
  if (wanted !== page.url.hash && !isLeaving()) void goto(wanted, { replaceState: !isStep, keepFocus: true, noScroll: true });
  return wanted;
}
