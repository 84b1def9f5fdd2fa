/** The administrator's key, for as long as the page is open: it is kept nowhere. */
export const admin = $state({ key: '' });
