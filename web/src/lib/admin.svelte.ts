/** The administrator's key, for as long as the page is open: it is kept nowhere. `dashboard`: the port of Ray's. */
export const admin = $state<{ key: string; dashboard?: number }>({ key: '' });
