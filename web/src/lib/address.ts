/** What a page shows is named by its address, so that a reload and the way back lead to it. */
import { page } from '$app/state';

/** What the address of the page asks for, behind its `?`. */
export function asked(name: string): string | null {
  return new URLSearchParams(page.url.hash.split('?')[1] ?? '').get(name);
}

/** The address of a page with what it is asked for. */
export function address(route: string, values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length ? `#${route}?${query}` : `#${route}`;
}
