// The shared worker of uploads: one for all tabs of this page. It ends with the last of them, half a minute after
// where the browser grants that, so that a reload finds it.

import { Sender } from "./sender.js";

/** @type {Map<MessagePort, string | null>} */
const ports = new Map();
const sender = new Sender((key, uploads) => {
  for (const [port, owner] of ports) if (owner === key) port.postMessage(uploads);
});

globalThis.addEventListener("connect", (event) => {
  const port = /** @type {MessageEvent} */ (event).ports[0];
  port.onmessage = ({ data: { key, order } }) => {
    ports.set(port, key);
    sender.take(key, order);
  };
  port.start();
});
