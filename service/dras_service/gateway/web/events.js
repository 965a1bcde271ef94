// Server-sent events over fetch: EventSource can send no key. What was missed is asked for by Last-Event-ID.

import { Problem } from "./api.js";

/** @import { Api } from "./api.js" */
/** @import { JobEvent } from "./types.js" */

const LONGEST_WAIT_MS = 15_000;
const SILENCE_MS = 40_000; // the service gives a sign of life every 15 s

/**
 * Follow all jobs until `signal` says no more; comes back by itself after every loss.
 * @param {Api} api
 * @param {{ onOpen: (resumed: boolean) => void, onEvent: (event: JobEvent) => void, onLost: (fault: Problem) => void, signal: AbortSignal }} listener
 */
export async function follow(api, { onOpen, onEvent, onLost, signal }) {
  let last = "";
  let waitMs = 500;
  while (!signal.aborted) {
    try {
      const answer = await api.ask("/v1/events", { headers: last ? { "Last-Event-ID": last } : {}, signal });
      onOpen(last !== "");
      waitMs = 500;
      for await (const { id, data } of messages(/** @type {ReadableStream<Uint8Array>} */ (answer.body))) {
        if (id) last = id;
        onEvent(JSON.parse(data));
      }
    } catch (fault) {
      if (signal.aborted) return;
      onLost(fault instanceof Problem ? fault : new Problem(0, "LOST", "The connection was lost."));
      if (fault instanceof Problem && [401, 403].includes(fault.status)) return;
    }
    await new Promise((done) => setTimeout(done, waitMs));
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  }
}

/**
 * Split a stream into its messages (HTML, 9.2.6); ends with the stream, or after a silence.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<{ id: string, data: string }>}
 */
export async function* messages(stream) {
  const reader = stream.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), SILENCE_MS);
      if (done) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const message = { id: "", data: "" };
        for (const line of part.split("\n")) {
          if (line.startsWith("id: ")) message.id = line.slice(4);
          if (line.startsWith("data: ")) message.data += line.slice(6);
        }
        if (message.data) yield message;
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @returns {Promise<T>}
 */
function within(promise, ms) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Problem(0, "LOST", "The connection has gone silent.")), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
