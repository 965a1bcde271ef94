// The page's side of uploads: orders to whoever sends, and what is told back.

import { Sender } from "./sender.js";

/** @import { Picked, Upload } from "../types.js" */
/** @import { Order } from "./sender.js" */

export class Uploads {
  /**
   * @param {string | null} key
   * @param {(uploads: Upload[]) => void} onChange
   */
  constructor(key, onChange) {
    this.key = key;
    this.outlivesThePage = false;
    /** @type {(order: Order) => void} */
    this.order = this.connect(onChange);
    this.order({ do: "hello" });
  }

  /**
   * @param {Picked} picked
   * @param {{ query: string, id: string }} options an `id` given again is the same request
   */
  start({ label, files }, { query, id }) {
    this.order({ do: "start", id, label, files, query });
  }

  /** @param {string} id */
  cancel(id) {
    this.order({ do: "cancel", id });
  }

  /** @param {string} id */
  forget(id) {
    this.order({ do: "forget", id });
  }

  /** End and forget all of this key. */
  leave() {
    this.order({ do: "leave" });
  }

  /**
   * @param {(uploads: Upload[]) => void} onChange
   * @returns {(order: Order) => void}
   */
  connect(onChange) {
    const port = sharedPort();
    if (port === null) {
      const sender = new Sender((_, uploads) => onChange(uploads));
      return (order) => sender.take(this.key, order);
    }
    this.outlivesThePage = true;
    port.onmessage = ({ data }) => onChange(data);
    return (order) => port.postMessage({ key: this.key, order });
  }
}

/** @returns {MessagePort | null} */
function sharedPort() {
  if (typeof SharedWorker === "undefined") return null;
  const options = { type: "module", name: "dras uploads", extendedLifetime: true };
  return new SharedWorker(scriptUrl("/page/upload/worker.js"), /** @type {any} */ (options)).port;
}

/** @type {any} */
let policy; // a policy's name can be taken once, and who signs in again comes here again

/** The one script that is loaded by its address; the page's policy asks for a word that it is meant.
 * @param {string} path */
function scriptUrl(path) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return path;
  policy ??= types.createPolicy("dras", { createScriptURL: (/** @type {string} */ url) => url });
  return policy.createScriptURL(path);
}
