// The page from its parts: first who looks, then what there is to see.

import { Api, Problem } from "./api.js";
import { el, replace } from "./dom.js";
import { forgetKey, keepKey, storedKey } from "./session.js";
import { signIn } from "./sign_in.js";

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const leave = /** @type {HTMLButtonElement} */ (document.getElementById("sign-out"));

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the address names the study that is shown
  (document.getElementById("result") ?? main).focus();
});
await begin(storedKey());

/**
 * Show the work space where the key opens the service, the form where it does not. A service without
 * authentication is opened by none.
 * @param {string | null} key
 */
async function begin(key) {
  const api = new Api(key);
  try {
    await api.bundles();
  } catch (fault) {
    if (!(fault instanceof Problem)) throw fault;
    if (fault.status === 401) {
      forgetKey();
      askForKey(key === null ? null : "This key does not open the service any more.");
    } else {
      replace(
        main,
        el("p", { class: "fault", role: "alert" }, fault.message),
        el("button", { type: "button", onclick: () => begin(key) }, "Try again"),
      );
    }
    return;
  }
  if (key !== null) keepKey(key);
  const { openWorkspace } = await import("./workspace.js");
  const close = openWorkspace(api, main, {
    onLeft: (why) => {
      close();
      forgetKey();
      leave.hidden = true;
      askForKey(why);
    },
  });
  leave.hidden = key === null;
  leave.onclick = () => {
    close();
    forgetKey();
    location.hash = "";
    location.reload();
  };
}

/** @param {string | null} said */
function askForKey(said) {
  replace(main, signIn(said, begin));
}
