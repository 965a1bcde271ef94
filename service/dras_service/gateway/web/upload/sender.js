// Uploads under way. They are kept in a shared worker where the browser has one, so that a page that is loaded
// again finds them still running; this class does the work there, or in the page itself.

import { problemOf, unreachable } from "../api.js";
import { body } from "./body.js";

/** @import { PickedFile, Upload } from "../types.js" */
/** @typedef {{ key: string | null, upload: Upload, request: XMLHttpRequest }} Kept */
/** @typedef {{ do: "hello" } | { do: "start", id: string, label: string, files: PickedFile[], query: string } | { do: "cancel" | "forget", id: string } | { do: "leave" }} Order */

const TELL_EVERY_MS = 200;

export class Sender {
  /** @param {(key: string | null, uploads: Upload[]) => void} tell */
  constructor(tell) {
    /** @type {Map<string, Kept>} */
    this.kept = new Map();
    this.tell = tell;
  }

  /**
   * Do what a page asks for in the name of a key. Who has another key sees and touches nothing of it.
   * @param {string | null} key
   * @param {Order} order
   */
  take(key, order) {
    if (order.do === "start") this.start(key, order);
    for (const [id, kept] of [...this.kept]) {
      if (kept.key !== key) continue;
      const meant = order.do === "leave" || ("id" in order && order.id === id);
      if (meant && (order.do === "cancel" || order.do === "leave")) kept.request.abort();
      if (meant && (order.do === "forget" || order.do === "leave")) this.kept.delete(id);
    }
    this.report(key);
  }

  /** @param {string | null} key */
  report(key) {
    const own = [...this.kept.values()].filter((kept) => kept.key === key);
    this.tell(key, own.map(({ upload }) => ({ ...upload })));
  }

  /**
   * @param {string | null} key
   * @param {{ id: string, label: string, files: PickedFile[], query: string }} order
   */
  start(key, { id, label, files, query }) {
    const { content, headers } = body(files);
    const total = files.reduce((sum, { file }) => sum + file.size, 0);
    const request = new XMLHttpRequest(); // fetch tells no progress of what it sends
    /** @type {Upload} */
    const upload = { id, label, state: "sending", sent: 0, total, seconds: 0, fault: null, job: null };
    this.kept.set(id, { key, upload, request });
    const began = performance.now();
    let told = 0;
    request.upload.onprogress = ({ loaded }) => {
      const now = performance.now();
      upload.sent = Math.min(loaded, total);
      upload.seconds = (now - began) / 1e3;
      if (now - told < TELL_EVERY_MS) return;
      told = now;
      this.report(key);
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        Object.assign(upload, { state: "sent", sent: total, job: JSON.parse(request.responseText) });
      } else {
        Object.assign(upload, { state: "failed", fault: problemOf(request.status, request.responseText).message });
      }
      this.report(key);
    };
    request.onerror = () => {
      Object.assign(upload, { state: "failed", fault: unreachable().message });
      this.report(key);
    };
    request.onabort = () => {
      upload.state = "cancelled";
      this.report(key);
    };
    request.open("POST", `/v1/studies${query}`);
    if (key !== null) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.setRequestHeader("Idempotency-Key", `"${id}"`); // sent again after a fault, it is the same job
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(content);
  }
}
