// The key of who looks, for as long as the tab lives. It is never in an address, a cookie or a log.

const NAME = "dras-key";

/** @returns {string | null} */
export function storedKey() {
  return sessionStorage.getItem(NAME);
}

/** @param {string} key */
export function keepKey(key) {
  sessionStorage.setItem(NAME, key);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
}
