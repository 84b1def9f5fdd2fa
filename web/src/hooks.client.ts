import './lib/left'; // looks at the step of the history before the router does

/**
 * The router unescapes the address that the document is opened with before it takes it apart, and no other: after a
 * reload an `&`, `/` or `%` that somebody wrote would be taken for one of the address. For it, it is escaped once more.
 */
function isReadable(address: string): boolean {
  try {
    decodeURIComponent(address);
    return true;
  } catch {
    return false; // typed by hand: what is meant by `%` is that sign
  }
}

const given = location.hash;
const meant = isReadable(given) ? given : given.replaceAll('%', '%25');
if (given.includes('%')) history.replaceState(history.state, '', meant.replaceAll('%', '%25'));
