/** What the server works with, asked once, after the first page is there. */
import { client, done, type Schemas } from './api';

export const server = $state<{ report?: Schemas['CapabilityReport'] }>({});

/** What a page offers before it is known: all but what must be installed. */
export function isLive(route: keyof Schemas['LiveRoutes']): boolean {
  return server.report?.routes[route] ?? (route === 'styles' || route === 'avatars');
}

let asked: Promise<void> | undefined;
export function askCapabilities(): Promise<void> {
  asked ??= done(client.GET('/api/v1/capabilities')).then(
    (report) => {
      server.report = report;
    },
    () => {
      asked = undefined; // asked again by the next page
    },
  );
  return asked;
}
