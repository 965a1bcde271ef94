// The form that asks for a key.

import { Api, Problem } from "./api.js";
import { el, replace } from "./dom.js";

/**
 * @param {string | null} said why the form is shown again
 * @param {(key: string) => Promise<void>} onKey is given a key that opens the service
 */
export function signIn(said, onKey) {
  const told = el("p", { class: "fault", role: "alert", hidden: said === null }, said);
  const key = el("input", {
    id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-hint",
  });
  const button = el("button", { type: "submit", class: "main" }, "Sign in");
  const form = el(
    "form",
    { class: "sign-in", "aria-labelledby": "sign-in-title" },
    el("h2", { id: "sign-in-title" }, "Sign in"),
    el("p", { id: "key-hint", class: "hint" }, "The key that your administrator gave you. It stays in this tab and is forgotten with it."),
    el("label", { for: "key" }, "Key"),
    key,
    button,
    told,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const fault = await refusal(key.value.trim());
    button.disabled = false;
    if (fault === null) return onKey(key.value.trim());
    told.hidden = false;
    replace(told, fault);
    key.select();
  });
  queueMicrotask(() => key.focus());
  return form;
}

/**
 * Say why a key does not open the service; null where it does.
 * @param {string} key
 */
async function refusal(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "This is no key: keys are printable characters without spaces.";
  try {
    await new Api(key).bundles();
    return null;
  } catch (fault) {
    if (!(fault instanceof Problem)) throw fault;
    return fault.status === 401 ? "This key does not open the service. Check that it was copied whole." : fault.message;
  }
}
